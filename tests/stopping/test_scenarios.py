"""A scenario says that peers agree, and whether they or an engine end a run."""

import pytest
from softmax_trainer import run_without_tensorflow

from gossipfl import Scenario
from gossipfl.errors import ConfigurationError
from gossipfl.results.running import compare, simulate
from gossipfl.results.simulation import initialize
from gossipfl.stopping.agreeing_peer import AgreeingPeer


@pytest.fixture(autouse=True)
def no_tensorflow(monkeypatch):
    run_without_tensorflow(monkeypatch)


def scenario(**fields):
    defaults = {"model": "softmax", "data": {"max_train": 300, "max_test": 100}, "algorithms": ["synchronous"]}
    return Scenario(topology={"generator": "cycle_graph", "arguments": {"n": 5}}, **{**defaults, **fields})


def test_nothing_is_wrapped_unless_it_is_wanted():
    peers = initialize(scenario(rounds=2, stop={"patience": 1})).simulator.peers
    assert not any(isinstance(peer, AgreeingPeer) for peer in peers.values())


@pytest.mark.parametrize("on", ["global", "own", "both"])
def test_what_peers_agree_on_is_what_the_engine_measures(on):
    history = simulate(scenario(rounds=5, evaluation={"agreed": True, "on": on, "peers": "all"}))
    measured = {one.round: one for one in history}
    assert [agreed.round for agreed in history.agreed] == [0, 1, 2, 3]
    for agreed in history.agreed:
        own = measured[agreed.round]
        assert agreed.loss.mean == pytest.approx(own.mean_loss, rel=1e-12)
        assert agreed.metrics["accuracy"].deciles == pytest.approx(own.metrics["accuracy"].deciles)
    assert history.stopped is None


def test_the_bounds_are_ended_by_the_engine_where_peers_end_the_others():
    comparison = compare(scenario(rounds=8, stop={"value": 0.01, "by": "peers"}))
    assert [history.last.round for history in comparison.histories] == [2, 0, 0]  # two links to the farthest
    assert "in round 2: by the scores of round 0, the accuracy in the mean" in comparison["synchronous"].stopped
    assert not comparison["local"].agreed


def test_peers_judge_by_what_they_tell_each_other():
    wrong = scenario(evaluation={"on": "both"}, stop={"metric": "own_accuracy", "patience": 1, "by": "peers"})
    with pytest.raises(ConfigurationError, match=r"'own_accuracy', and peers .* tell each other loss, acc"):
        initialize(wrong)
