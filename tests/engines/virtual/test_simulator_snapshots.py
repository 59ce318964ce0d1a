"""A simulation that is stopped at any event goes on from its snapshot to the same bits."""

import json

import numpy as np
import pytest
from federation import final_weights, identical, make_simulator, random_shards, ring
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import (
    Centralized,
    FedAvg,
    GoSGD,
    LocalOnly,
    LocalSGD,
    PairwiseGossip,
    QuasiGlobalMomentumGossip,
    SynchronousGossip,
)
from gossipfl.engines.evaluation import EvaluationPlan
from gossipfl.engines.virtual.compute_model import ComputeModel
from gossipfl.engines.virtual.network_model import Link, NetworkModel, Rates
from gossipfl.engines.virtual.simulator import Simulator, World
from gossipfl.methods.server_optimizers import ServerSGD
from gossipfl.peers import Sharing
from gossipfl.schedules import BaseGraph
from gossipfl.snapshot import Snapshot

ALGORITHMS = {
    "pairwise": PairwiseGossip(timeout=0.2, max_backoff=1.0, sharing=Sharing(optimizer_state="average")),
    "gosgd": GoSGD(timeout=0.2, max_backoff=1.0),
    "synchronous": SynchronousGossip(patience=0.2),
    "quasi-global momentum on base graphs": QuasiGlobalMomentumGossip(
        LocalSGD(0.1), schedule=BaseGraph(), patience=0.2
    ),
    "fedavg": FedAvg(client_fraction=0.6, patience=0.5, server_optimizer=ServerSGD(0.7, momentum=0.5)),
    "local": LocalOnly(),
    "centralized": Centralized(),
}
GRAPH = ring(4)
QUEUES = Rates(uplink=20_000, downlink=30_000)
WORLDS = {
    "queues, loss and an outage": World(
        NetworkModel(QUEUES, Link(latency=0.02, jitter=0.05, loss=0.15), offline={"3": ((0.3, 0.6),)}),
        ComputeModel(0.02, {"1": 0.5}),
    ),
    "ideal": World(),
}


def new_simulator(algorithm: str, world: str) -> Simulator:
    trainer = NumpyTrainer(random_shards(GRAPH), momentum=0.9, batch_size=3, has_statistics=True)
    plan = EvaluationPlan(every=2, peers=None if algorithm == "centralized" else ("1", "2"))
    return make_simulator(ALGORITHMS[algorithm], GRAPH, trainer, world=WORLDS[world], seed=1, plan=plan)


def through_a_file(snapshot: Snapshot) -> Snapshot:
    arrays, values = snapshot
    return {name: np.array(array) for name, array in arrays.items()}, json.loads(json.dumps(values))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_simulation_stopped_at_any_event_goes_on_to_the_same_bits(algorithm, world):
    undisturbed = new_simulator(algorithm, world)
    snapshots = [through_a_file(undisturbed.snapshot())]
    step = undisturbed.step

    def step_and_keep():
        step()
        snapshots.append(through_a_file(undisturbed.snapshot()))

    undisturbed.step = step_and_keep
    undisturbed.run()

    assert len(snapshots) == undisturbed.num_events + 1
    for snapshot in snapshots:
        resumed = new_simulator(algorithm, world)
        resumed.restore(snapshot)
        resumed.run()
        assert identical(final_weights(resumed), final_weights(undisturbed))
        assert list(resumed.history.rows()) == list(undisturbed.history.rows())
        assert resumed.history.link_traffic == undisturbed.history.link_traffic
        assert resumed.history.peer_bytes == undisturbed.history.peer_bytes
        assert (resumed.now, resumed.num_events) == (undisturbed.now, undisturbed.num_events)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_round_is_announced_once_and_after_its_evaluation(algorithm):
    simulator = new_simulator(algorithm, "ideal")
    rounds = []

    def on_round(round):
        newest = simulator.history.last.round
        assert newest == (round if round % 2 == 0 else round - 1)
        rounds.append(round)

    simulator.on_round = on_round
    simulator.run()

    assert rounds == sorted(set(rounds))
    assert rounds[:2] == [1, 2]


def test_a_snapshot_of_a_finished_simulation_is_finished():
    finished = new_simulator("synchronous", "ideal")
    finished.run()
    again = new_simulator("synchronous", "ideal")
    again.restore(through_a_file(finished.snapshot()))

    assert again.next() is None
    assert list(again.history.rows()) == list(finished.history.rows())
