"""A peer that is replaced by its restored snapshot, at any event, goes on to the same bits."""

import json
from dataclasses import replace

import numpy as np
import pytest
from exam import CANDIDATES
from federation import final_weights, identical, make_peer, make_simulator, random_shards
from numpy_trainer import NumpyTrainer

from gossipfl.engines.virtual.compute_model import ComputeModel
from gossipfl.engines.virtual.network_model import Link, NetworkModel, Rates
from gossipfl.engines.virtual.simulator import World
from gossipfl.errors import ConfigurationError
from gossipfl.peers import Sharing
from gossipfl.snapshot import Snapshot

AVERAGE = Sharing(optimizer_state="average")
SIZE = 8

WORLD = World(
    NetworkModel(
        rates=Rates(uplink=20_000, downlink=30_000),
        link=Link(latency=0.02, jitter=0.05, loss=0.15),
        offline={"3": ((0.3, 0.6),)},
    ),
    ComputeModel(0.02, {"1": 0.5, "4": 0.8}),
)
LOSSLESS = replace(WORLD, network=replace(WORLD.network, link=Link(latency=0.02, jitter=0.05)))


@pytest.fixture(params=["keep", "average"])
def exam(request, name):
    """An algorithm of the table, its graph and a world that it can live in: whoever waits for ever needs a network that
    loses nothing."""
    candidate = CANDIDATES[name]
    algorithm = candidate.patient or candidate.recipe
    if request.param == "average":
        try:
            algorithm = replace(algorithm, sharing=AVERAGE)
        except ConfigurationError:
            pytest.skip("its momentum starts afresh")
    return algorithm, candidate.graph(SIZE), LOSSLESS if algorithm.patience is None else WORLD


def new_trainer(graph) -> NumpyTrainer:
    return NumpyTrainer(random_shards(graph), momentum=0.9, batch_size=3, has_statistics=True, has_local=True)


def through_a_file(snapshot: Snapshot) -> Snapshot:
    arrays, values = snapshot
    return {name: np.array(array) for name, array in arrays.items()}, json.loads(json.dumps(values, allow_nan=False))


def rows(simulator):
    return list(simulator.history.rows())


@pytest.mark.long
@pytest.mark.parametrize("name", CANDIDATES)
def test_a_restored_peer_goes_on_to_the_same_bits(exam):
    algorithm, graph, world = exam
    undisturbed = make_simulator(algorithm, graph, new_trainer(graph), world=world)
    undisturbed.run()

    trainer = new_trainer(graph)
    simulator = make_simulator(algorithm, graph, trainer, world=world)
    rng = np.random.default_rng(0)
    step = simulator.step

    def step_and_replace() -> None:
        step()
        peer_id = str(rng.choice(list(simulator.peers)))
        snapshot = through_a_file(simulator.peers[peer_id].snapshot())
        twin = make_peer(algorithm, graph, trainer, peer_id)
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
        assert peer.local.model.local.tobytes() == other.local.model.local.tobytes()
        assert json.dumps(peer.snapshot()[1]) == json.dumps(other.snapshot()[1])


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_restored_peer_shares_nothing_writeable(exam):
    algorithm, graph, world = exam
    trainer = new_trainer(graph)
    simulator = make_simulator(algorithm, graph, trainer, world=world)
    simulator.next()
    for _ in range(12):
        if simulator._heap:
            simulator.step()
    for peer_id, peer in simulator.peers.items():
        twin = make_peer(algorithm, graph, trainer, peer_id)
        twin.restore(through_a_file(peer.snapshot()))
        assert not any(array.flags.writeable for array in twin.snapshot()[0].values() if array.dtype == np.float64)
