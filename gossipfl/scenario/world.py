"""The sections of a scenario on its circumstances: network and computing speed in virtual time."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import Field

from gossipfl.codec.sizes import MESSAGE_OVERHEAD
from gossipfl.engines.virtual.compute_model import ComputeModel, drawn_speeds
from gossipfl.engines.virtual.network_model import PRESETS, Link, NetworkModel, Rates
from gossipfl.scenario.section import NonNegative, Positive, Section
from gossipfl.weights import PeerId


class PeerRatesSection(Section):
    """Rates of one peer."""

    uplink: Positive | None = None
    """Bytes per second that it can send; absent: as all peers."""
    downlink: Positive | None = None
    """Bytes per second that it can receive; absent: as all peers."""


class LinkSection(Section):
    """An exception for one pair of peers, both directions."""

    between: tuple[str, str]
    """The two peers."""
    latency: NonNegative | None = None
    """Seconds from the first byte's leaving to its arrival; absent: as everywhere."""
    jitter: NonNegative | None = None
    """Up to so many seconds are added to the latency; absent: as everywhere."""
    loss: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Probability that a message vanishes; absent: as everywhere."""


class OfflineSection(Section):
    """A time in which nothing reaches or leaves a peer; it trains on."""

    peer: str
    """The peer that is offline."""
    start: NonNegative
    """Virtual seconds at which it leaves."""
    end: Positive
    """Virtual seconds at which it is back."""


class NetworkSection(Section):
    """The network in virtual time: a preset, and what differs from it."""

    preset: Literal["IDEAL", "LAN", "WAN"] = "LAN"
    """`IDEAL` (no delay), `LAN` (1 Gbit/s, 0.5 ms) or `WAN` (20 Mbit/s up, 100 Mbit/s down, 40 to 50 ms)."""
    latency: NonNegative | None = None
    """Seconds from the first byte's leaving to its arrival."""
    jitter: NonNegative | None = None
    """Up to so many seconds are added to the latency, uniformly."""
    loss: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Probability that a message vanishes."""
    uplink: Positive | None = None
    """Bytes per second that a peer can send."""
    downlink: Positive | None = None
    """Bytes per second that a peer can receive."""
    overhead: Annotated[int, Field(ge=0)] = MESSAGE_OVERHEAD
    """Bytes that every message costs beside its body, and that count like it; the default is that of HTTP with mutual
    TLS, which is also what peers over HTTP count. 0: bodies only."""
    peers: dict[str, PeerRatesSection] = {}
    """Rates of single participants; `server` is FedAvg's."""
    links: list[LinkSection] = []
    """Exceptions for single pairs of peers."""
    offline: list[OfflineSection] = []
    """Outages of single peers."""
    linger: NonNegative = 3600.0
    """Virtual seconds for draining open exchanges after all peers have finished; what is open then is counted, and may
    be applied at one end only."""

    def model(self) -> NetworkModel:
        """The preset with what differs from it."""
        preset = PRESETS[self.preset]
        rates = _overridden(preset.rates, self, ("uplink", "downlink"))
        link = _overridden(preset.link, self, ("latency", "jitter", "loss"))
        links = {}
        for exception in self.links:
            first, second = exception.between
            links[first, second] = links[second, first] = _overridden(link, exception, ("latency", "jitter", "loss"))
        offline: dict[str, tuple[tuple[float, float], ...]] = {}
        for outage in self.offline:
            offline[outage.peer] = (*offline.get(outage.peer, ()), (outage.start, outage.end))
        peer_rates = {name: _overridden(rates, peer, ("uplink", "downlink")) for name, peer in self.peers.items()}
        return NetworkModel(rates, link, peer_rates, links, offline, self.overhead)

    def named_peers(self) -> set[str]:
        """All participants that the section names."""
        return {*self.peers, *(name for link in self.links for name in link.between), *(o.peer for o in self.offline)}


class ComputeSection(Section):
    """The speed of training in virtual time."""

    seconds_per_example: Positive = 1e-4
    """Virtual seconds that a peer of speed 1 trains on one example."""
    speed_spread: NonNegative = 0.0
    """Speeds are drawn log-normally with this spread; 0: all equal, so that the time of a round can be calculated by
    hand, and peers of `pairwise` exchange at one instant, which mixes about 1.7 times less per exchange than one after
    the other (0.01 is enough for that); 1: stragglers ten times slower than the median."""
    speeds: dict[str, Positive] = {}
    """Speeds of single peers, 1 being normal."""

    def model(self, peers: Sequence[PeerId], generator: np.random.Generator) -> ComputeModel:
        """Speeds drawn for `peers`, those that are given aside."""
        return ComputeModel(self.seconds_per_example, drawn_speeds(peers, self.speed_spread, generator) | self.speeds)


Value = TypeVar("Value", Rates, Link)


def _overridden(value: Value, section: Section, names: Sequence[str]) -> Value:
    given = {name: getattr(section, name) for name in names if getattr(section, name) is not None}
    return replace(value, **given)
