"""Processes that die for good, stand still for a while, or are told to end, in the middle of a run."""

import signal

import numpy as np
import pytest
from federation import random_models
from one_peer import GRAPHS, LARGE
from processes import Processes, processes

NUM_ROUNDS = 20
THINK = 0.03

STILL = {"num_rounds": NUM_ROUNDS, "learns": False, "think": THINK}


def models(graph: str, names: list[str], size: int = 3) -> np.ndarray:
    """What the peers began with."""
    initial = random_models(GRAPHS[graph], size=size)
    return np.stack([initial[name].weights for name in names])


@pytest.mark.parametrize("size", [3, LARGE])
@pytest.mark.parametrize("algorithm", ["pairwise", "patient"])
def test_half_of_the_peers_may_die(tmp_path, algorithm, size):
    graph = "complete of 6"
    survivors, dead = ["0", "2", "4"], ["1", "3", "5"]
    with processes(tmp_path, graph, algorithm, **STILL, linger=0.5, size=size) as peers:
        peers.start()
        peers.wait_for_round(5, "0")
        for name in dead:
            peers.kill(name)
        peers.wait(*survivors)
        outcomes = [peers.outcome(name) for name in survivors]
        after = peers.weights(*survivors)
        assert max(peers.round(name) for name in dead) < NUM_ROUNDS
    assert {outcome["round"] for outcome in outcomes} == {NUM_ROUNDS}
    contacts = [contact for outcome in outcomes for contact in outcome["contacts"]]
    assert {neighbor for _, neighbor, event in contacts if event == "unreachable"} >= set(dead)
    assert after.std(axis=0).max() < 0.5 * models(graph, survivors, size).std(axis=0).max()


def test_one_that_stands_still_holds_up_nobody_and_catches_up(tmp_path):
    graph = "complete of 4"
    with processes(tmp_path, graph, "pairwise", **STILL) as peers:
        peers.start()
        peers.wait_for_round(5)
        peers.send("3", signal.SIGSTOP)
        stopped_at = peers.round("3")
        peers.wait_for_round(NUM_ROUNDS, "0", "1", "2")
        assert peers.round("3") == stopped_at
        peers.send("3", signal.SIGCONT)
        peers.wait()
        check_that_nothing_was_lost(peers, graph)


@pytest.mark.parametrize("size", [3, LARGE])
def test_one_that_is_told_to_end_says_so_and_can_be_resumed(tmp_path, size):
    graph = "ring of 4"
    with processes(tmp_path, graph, "pairwise", **STILL, size=size) as peers:
        peers.start()
        peers.wait_for_round(5)
        peers.send("2", signal.SIGTERM)
        peers.wait("2")
        ended = peers.outcome("2")
        assert 5 <= ended["round"] == peers.round("2") < NUM_ROUNDS
        peers.kill("2")
        peers.start("2")
        peers.wait()
        check_that_nothing_was_lost(peers, graph, size)
        for name in ("1", "3"):
            events = [event for _, neighbor, event in peers.outcome(name)["contacts"] if neighbor == "2"]
            assert events == ["left", "reachable"]


def check_that_nothing_was_lost(peers: Processes, graph: str, size: int = 3) -> None:
    outcomes = [peers.outcome(name) for name in peers.names]
    assert {outcome["round"] for outcome in outcomes} == {NUM_ROUNDS}
    assert all(outcome["is_drained"] for outcome in outcomes)
    before = models(graph, peers.names, size).sum(axis=0)
    np.testing.assert_allclose(peers.weights().sum(axis=0), before, atol=1e-9)
