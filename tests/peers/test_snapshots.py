"""A peer that is replaced by its restored snapshot, at any event, goes on to the same bits."""

import json
from dataclasses import replace

import numpy as np
import pytest
from federation import final_weights, identical, make_peer, make_simulator, random_shards, ring
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import (
    Centralized,
    FedAvg,
    FedNova,
    FedProx,
    GoSGD,
    GossipLearning,
    LocalOnly,
    PairwiseGossip,
    Scaffold,
    SynchronousGossip,
)
from gossipfl.engines.compute_model import ComputeModel
from gossipfl.engines.network_model import Link, NetworkModel, Rates
from gossipfl.engines.simulator import World
from gossipfl.peers import Sharing
from gossipfl.peers.snapshot import Snapshot
from gossipfl.server_optimizers import ServerSGD, ServerYogi

AVERAGE = Sharing(optimizer_state="average")
ALGORITHMS = {
    "pairwise": PairwiseGossip(timeout=0.2, max_backoff=1.0),
    "pairwise, averaged optimizer": PairwiseGossip(timeout=0.2, max_backoff=1.0, sharing=AVERAGE),
    "gosgd": GoSGD(push_probability=0.8, timeout=0.2, max_backoff=1.0),
    "gosgd, averaged optimizer": GoSGD(timeout=0.2, max_backoff=1.0, sharing=AVERAGE),
    "gossip learning": GossipLearning(),
    "gossip learning, averaged optimizer": GossipLearning("limited", sharing=AVERAGE),
    "synchronous": SynchronousGossip(patience=0.2),
    "synchronous, averaged optimizer": SynchronousGossip(patience=0.2, sharing=AVERAGE),
    "fedavg": FedAvg(client_fraction=0.6, patience=0.5, server_optimizer=ServerSGD(0.7, momentum=0.5)),
    "fedavg, averaged optimizer": FedAvg(patience=0.5, sharing=AVERAGE),
    "fedprox": FedProx(server_optimizer=ServerYogi(), mu=0.5, patience=0.5),
    "scaffold": Scaffold(client_fraction=0.6),
    "fednova": FedNova(local_momentum=0.9, patience=0.5),
    "local": LocalOnly(),
    "centralized": Centralized(),
}
GRAPH = ring(5)
WORLD = World(
    NetworkModel(
        rates=Rates(uplink=20_000, downlink=30_000),
        link=Link(latency=0.02, jitter=0.05, loss=0.15),
        offline={"3": ((0.3, 0.6),)},
    ),
    ComputeModel(0.02, {"1": 0.5, "4": 0.8}),
)
LOSSLESS = replace(WORLD, network=replace(WORLD.network, link=Link(latency=0.02, jitter=0.05)))


def world(name: str) -> World:
    """Whoever waits for ever needs a network that loses nothing."""
    return LOSSLESS if ALGORITHMS[name].patience is None else WORLD


def new_trainer() -> NumpyTrainer:
    return NumpyTrainer(random_shards(GRAPH), momentum=0.9, batch_size=3, has_statistics=True)


def through_a_file(snapshot: Snapshot) -> Snapshot:
    arrays, values = snapshot
    return {name: np.array(array) for name, array in arrays.items()}, json.loads(json.dumps(values, allow_nan=False))


def rows(simulator):
    return list(simulator.history.rows())


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_restored_peer_goes_on_to_the_same_bits(name, seed):
    undisturbed = make_simulator(ALGORITHMS[name], GRAPH, new_trainer(), world=world(name), seed=seed)
    undisturbed.run()

    trainer = new_trainer()
    simulator = make_simulator(ALGORITHMS[name], GRAPH, trainer, world=world(name), seed=seed)
    rng = np.random.default_rng(seed)
    step = simulator.step

    def step_and_replace() -> None:
        step()
        peer_id = str(rng.choice(list(simulator.peers)))
        snapshot = through_a_file(simulator.peers[peer_id].snapshot())
        twin = make_peer(ALGORITHMS[name], GRAPH, trainer, peer_id, seed=seed)
        twin.restore(snapshot)
        simulator.peers[peer_id] = twin

    simulator.step = step_and_replace
    simulator.run()
    assert simulator.num_events == undisturbed.num_events >= 5
    assert identical(final_weights(simulator), final_weights(undisturbed))
    assert rows(simulator) == rows(undisturbed)
    for peer_id, peer in simulator.peers.items():
        other = undisturbed.peers[peer_id]
        assert peer.local.statistics.tobytes() == other.local.statistics.tobytes()
        assert json.dumps(peer.snapshot()[1]) == json.dumps(other.snapshot()[1])


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_restored_peer_shares_nothing_writeable(name):
    trainer = new_trainer()
    simulator = make_simulator(ALGORITHMS[name], GRAPH, trainer, world=world(name))
    simulator.next()
    for _ in range(12):
        if simulator._heap:
            simulator.step()
    for peer_id, peer in simulator.peers.items():
        twin = make_peer(ALGORITHMS[name], GRAPH, trainer, peer_id)
        twin.restore(through_a_file(peer.snapshot()))
        assert not any(array.flags.writeable for array in twin.snapshot()[0].values() if array.dtype == np.float64)
