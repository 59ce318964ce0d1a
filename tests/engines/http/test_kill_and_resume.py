"""Peers that are killed without warning, at any moment, and resumed from their checkpoints, were only slow."""

import time

import numpy as np
import pytest
from federation import make_simulator, random_models
from one_peer import ALGORITHMS, GRAPHS, make_trainer
from processes import Processes, processes

NUM_KILLS = 20
"""At most: where processes start slowly, the peers that were not killed are done before."""

NUM_ROUNDS = 120


def kill_and_resume(peers: Processes, seed: int) -> set[str]:
    """Kill one after the other; gives those that were still alive, which are all where a start takes a second."""
    generator = np.random.default_rng(seed)
    peers.start()
    killed = set()
    for _ in range(NUM_KILLS // len(peers.names)):
        for victim in map(str, generator.permutation(peers.names)):
            time.sleep(generator.uniform(0.0, 0.15))  # the moment is left to chance
            if peers.is_running(victim):
                peers.kill(victim)
                peers.start(victim)
                killed.add(victim)
    peers.wait()
    return killed


@pytest.mark.parametrize(
    ("algorithm", "graph", "seed"),
    [("pairwise", "ring of 4", 0), ("pairwise", "complete of 4", 1), ("gosgd", "ring of 4", 3)],
)
def test_every_exchange_and_every_push_is_applied_once(tmp_path, algorithm, graph, seed):
    options = {"num_rounds": NUM_ROUNDS, "learns": False, "think": 0.04}
    with processes(tmp_path, graph, algorithm, **options) as peers:
        assert kill_and_resume(peers, seed) == set(peers.names)
        outcomes = [peers.outcome(name) for name in peers.names]
        after = peers.weights()
    assert {outcome["round"] for outcome in outcomes} == {NUM_ROUNDS}
    assert all(outcome["is_drained"] for outcome in outcomes)
    before = np.stack([model.weights for model in random_models(GRAPHS[graph]).values()])
    masses = np.array([outcome["mass"] for outcome in outcomes])
    assert masses.sum() == pytest.approx(len(masses), abs=1e-9)
    np.testing.assert_allclose(masses @ after, before.sum(axis=0), atol=1e-9)
    assert after.std(axis=0).max() < 0.1 * before.std(axis=0).max()


@pytest.mark.parametrize("algorithm", ["synchronous", "gradient_tracking"])
def test_gossip_in_rounds_keeps_its_bits(tmp_path, algorithm):
    options = {"num_rounds": NUM_ROUNDS, "learns": True, "think": 0.03}
    with processes(tmp_path, "ring of 4", algorithm, **options) as peers:
        assert kill_and_resume(peers, seed=2) == set(peers.names)
        after = peers.weights()
    trainer = make_trainer(peers.settings["0"])
    simulator = make_simulator(ALGORITHMS[algorithm], GRAPHS["ring of 4"], trainer, num_rounds=NUM_ROUNDS)
    simulator.run()
    assert after.tobytes() == np.stack([peer.weights for peer in simulator.peers.values()]).tobytes()
