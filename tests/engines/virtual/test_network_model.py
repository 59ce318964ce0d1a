from dataclasses import replace
from math import inf, nan

import pytest

from gossipfl.engines.virtual.network_model import IDEAL, LAN, PRESETS, WAN, Link, NetworkModel, Rates
from gossipfl.errors import ConfigurationError


@pytest.mark.parametrize("name", ["uplink", "downlink"])
@pytest.mark.parametrize("rate", [0.0, -1.0, nan, -inf])
def test_an_impossible_rate_is_refused(name, rate):
    with pytest.raises(ConfigurationError, match=f"{name} must be above 0"):
        Rates(**{name: rate})


@pytest.mark.parametrize("name", ["latency", "jitter"])
@pytest.mark.parametrize("seconds", [-0.1, inf, nan])
def test_an_impossible_delay_is_refused(name, seconds):
    with pytest.raises(ConfigurationError, match=f"{name} must be at least 0"):
        Link(**{name: seconds})


@pytest.mark.parametrize("loss", [-0.1, 1.0, 1.5, nan])
def test_an_impossible_loss_is_refused(loss):
    with pytest.raises(ConfigurationError, match="loss is a probability"):
        Link(loss=loss)


@pytest.mark.parametrize("interval", [(-1.0, 1.0), (2.0, 1.0), (1.0, 1.0), (0.0, inf), (nan, 1.0)])
def test_an_impossible_outage_is_refused(interval):
    with pytest.raises(ConfigurationError, match="offline interval of peer a"):
        NetworkModel(offline={"a": (interval,)})


def test_an_impossible_overhead_is_refused():
    with pytest.raises(ConfigurationError, match="overhead must be at least 0 bytes per message, got -1"):
        NetworkModel(overhead=-1)


def test_an_outage_holds_from_its_first_second_to_its_last():
    network = NetworkModel(offline={"a": ((1.0, 2.0), (4.0, 5.0))})
    assert [network.is_offline("a", time) for time in (0.9, 1.0, 1.9, 2.0, 4.5, 5.0)] == [
        False,
        True,
        True,
        False,
        True,
        False,
    ]
    assert not network.is_offline("b", 1.5)


def test_presets_are_plain_values():
    assert {"IDEAL": IDEAL, "LAN": LAN, "WAN": WAN} == PRESETS
    assert IDEAL.rates == Rates(inf, inf)
    assert not any(network.loses_messages for network in PRESETS.values())
    lossy = replace(WAN, link=replace(WAN.link, loss=0.1))
    assert lossy.loses_messages
    assert replace(LAN, links={("a", "b"): Link(loss=0.1)}).loses_messages
    assert WAN.rates.uplink < WAN.rates.downlink < LAN.rates.uplink
