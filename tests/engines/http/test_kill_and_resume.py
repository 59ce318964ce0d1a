"""Peers that are killed without warning, at any moment, and resumed from their checkpoints, were only slow."""

import time

import numpy as np
import pytest
from federation import make_peers, random_models
from one_peer import ALGORITHMS, GRAPHS, LARGE, make_trainer, masked
from processes import Processes, processes

from gossipfl.engines.virtual.simulator import Simulator

NUM_ROUNDS = {3: 120, LARGE: 60}
"""By the size of the model."""

NUM_KILLS = {3: 20, LARGE: 8}
"""At most: where processes start slowly, the peers that were not killed are done before."""


def kill_and_resume(peers: Processes, seed: int, num_kills: int) -> set[str]:
    """Kill one after the other; gives those that were still alive, which are all where a start takes a second."""
    generator = np.random.default_rng(seed)
    peers.start()
    killed = set()
    for _ in range(num_kills // len(peers.names)):
        for victim in map(str, generator.permutation(peers.names)):
            time.sleep(generator.uniform(0.0, 0.15))  # the moment is left to chance
            if peers.is_running(victim):
                peers.kill(victim)
                peers.start(victim)
                killed.add(victim)
    peers.wait()
    return killed


@pytest.mark.parametrize(
    ("algorithm", "graph", "seed", "size"),
    [
        ("pairwise", "ring of 4", 0, 3),
        ("pairwise", "complete of 4", 1, LARGE),
        ("gosgd", "ring of 4", 3, 3),
        ("gosgd", "ring of 4", 4, LARGE),
    ],
)
def test_every_exchange_and_every_push_is_applied_once(tmp_path, algorithm, graph, seed, size):
    options = {"num_rounds": NUM_ROUNDS[size], "learns": False, "think": 0.04, "size": size}
    with processes(tmp_path, graph, algorithm, **options) as peers:
        assert kill_and_resume(peers, seed, NUM_KILLS[size]) == set(peers.names)
        outcomes = [peers.outcome(name) for name in peers.names]
        after = peers.weights()
    assert {outcome["round"] for outcome in outcomes} == {NUM_ROUNDS[size]}
    assert all(outcome["is_drained"] for outcome in outcomes)
    before = np.stack([model.weights for model in random_models(GRAPHS[graph], size=size).values()])
    masses = np.array([outcome["mass"] for outcome in outcomes])
    assert masses.sum() == pytest.approx(len(masses), abs=1e-9)
    np.testing.assert_allclose(masses @ after, before.sum(axis=0), atol=1e-9)
    assert after.std(axis=0).max() < (0.1 if size == 3 else 0.5) * before.std(axis=0).max()


def in_virtual_time(peers, algorithm, defence=""):
    """The weights that these peers have if nothing happens to them."""
    one = peers.settings["0"]
    graph, trainer, recipe = GRAPHS[one.graph], make_trainer(one), ALGORITHMS[algorithm]
    simulated = make_peers(recipe, graph, trainer, num_rounds=one.num_rounds)
    if defence == "secure sums":
        simulated = {name: masked(recipe, graph, peer, one.size) for name, peer in simulated.items()}
    Simulator(simulated, trainer).run()
    return np.stack([peer.standing.weights for peer in simulated.values()])


@pytest.mark.parametrize("size", NUM_ROUNDS)
@pytest.mark.parametrize("algorithm", ["synchronous", "gradient_tracking"])
def test_gossip_in_rounds_keeps_its_bits(tmp_path, algorithm, size):
    num_rounds = NUM_ROUNDS[size]
    options = {"num_rounds": num_rounds, "learns": True, "think": 0.03, "size": size}
    with processes(tmp_path, "ring of 4", algorithm, **options) as peers:
        assert kill_and_resume(peers, 2, NUM_KILLS[size]) == set(peers.names)
        after = peers.weights()
    assert after.tobytes() == in_virtual_time(peers, algorithm).tobytes()


def test_secure_sums_keep_their_bits_whatever_keys_and_masks_there_were(tmp_path):
    options = {"num_rounds": 25, "learns": True, "think": 0.03, "size": LARGE, "defence": "secure sums"}
    with processes(tmp_path, "complete of 4", "synchronous", **options) as peers:
        assert kill_and_resume(peers, 5, 8) == set(peers.names)
        after = peers.weights()
    assert after.tobytes() == in_virtual_time(peers, "synchronous", "secure sums").tobytes()


def test_a_ledger_counts_the_noise_of_each_round_once(tmp_path):
    options = {"num_rounds": NUM_ROUNDS[3], "learns": True, "think": 0.03, "defence": "noise"}
    with processes(tmp_path, "ring of 4", "synchronous", **options) as peers:
        assert kill_and_resume(peers, 6, NUM_KILLS[3]) == set(peers.names)
        assert [peers.outcome(name)["uses"] for name in peers.names] == [NUM_ROUNDS[3]] * 4
