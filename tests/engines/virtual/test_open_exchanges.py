"""What is half applied when a run ends is counted, and said."""

import numpy as np
import pytest
from federation import make_simulator, random_models, random_shards, ring, stacked
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import FedAvg, GoSGD, PairwiseGossip, SynchronousGossip
from gossipfl.engines.virtual.network_model import Link, NetworkModel
from gossipfl.engines.virtual.simulator import Simulator, World
from gossipfl.history import History

LOSSY = NetworkModel(link=Link(latency=0.05, loss=0.7))


def still(algorithm, seed=0, **world) -> tuple[Simulator, np.ndarray]:
    """A run without training, at its end; and the sum of the weights before it."""
    graph = ring(16)
    initial = random_models(graph)
    trainer = NumpyTrainer(random_shards(graph), learning_rate=0.0)
    simulator = make_simulator(
        algorithm, graph, trainer, num_rounds=20, seed=seed, initial=initial, world=World(LOSSY, **world)
    )
    simulator.run()
    return simulator, np.sum([model.weights for model in initial.values()], axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_the_sum_of_pairwise_gossip_is_off_only_where_exchanges_are_said_to_be_open(seed):
    simulator, before = still(PairwiseGossip(), seed)
    error = np.abs(stacked(simulator).sum(axis=0) - before).max()
    assert simulator.history.num_open > 0
    assert error > 1e-3
    patient, _ = still(PairwiseGossip(timeout=1.0, max_backoff=1.0), seed)
    assert patient.history.num_open == 0
    np.testing.assert_allclose(stacked(patient).sum(axis=0), before, atol=1e-12)


def test_mass_that_is_on_its_way_when_a_run_ends_is_counted_by_pushes():
    simulator, _ = still(GoSGD(), linger=0.0)
    pushes = sum(len(peer._pushes.unconfirmed) for peer in simulator.peers.values())
    assert simulator.history.num_open == pushes > 0
    assert sum(peer.mass for peer in simulator.peers.values()) < 16  # some of it has not arrived
    drained, _ = still(GoSGD(timeout=1.0, max_backoff=1.0))
    assert drained.history.num_open == 0
    assert sum(peer.mass for peer in drained.peers.values()) == pytest.approx(16, abs=1e-12)


@pytest.mark.parametrize("algorithm", [PairwiseGossip(), GoSGD(), FedAvg(), SynchronousGossip()], ids=repr)
def test_nothing_is_open_where_nothing_is_lost(algorithm):
    graph = ring(4)
    history = make_simulator(algorithm, graph, NumpyTrainer(random_shards(graph))).run()
    assert history.num_open == 0
    assert history.notes() == []


def test_it_is_said_in_a_sentence():
    said = "pairwise (seed 3): 2 exchanges were open when the run ended, and may be applied at one end only."
    assert History("pairwise", 3, num_open=2).notes() == [said]
    assert "1 exchange was open" in str(History("pairwise", 3, num_open=1).notes())
    assert History("pairwise", 3, num_open=2, interrupted=True).notes() == []
    assert History("pairwise", 3, num_open=2, failure="it diverged").notes() == []


@pytest.mark.parametrize("failure", [None, "it diverged"])
def test_what_was_refused_or_undone_is_said(failure):
    notes = History("fedavg", 3, num_refused=4, num_rollbacks=1, failure=failure).notes()
    assert notes == [
        "fedavg (seed 3): 4 messages were refused, and did not count in full; the log says why.",
        "fedavg (seed 3): once a peer could not train on what it had mixed in, and took it out again.",
    ]
