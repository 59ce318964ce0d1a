"""A peer that agrees with others, or a whole simulation of them, goes on from any snapshot to the same bits."""

import json

import numpy as np
import pytest
from agreeing import agreeing_simulator, own_place, plan_of
from federation import identical, make_peer, random_shards, ring
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import FedAvg, GossipLearning, PairwiseGossip, SynchronousGossip
from gossipfl.engines.virtual.compute_model import ComputeModel
from gossipfl.engines.virtual.network_model import Link, NetworkModel
from gossipfl.engines.virtual.simulator import World
from gossipfl.scores import LOSS
from gossipfl.stopping.agreeing_peer import AgreeingPeer
from gossipfl.stopping.rule import StopRule
from gossipfl.topology import Neighbors
from gossipfl.training.trainer import outcomes_of

GRAPH = ring(5)
RECIPES = {
    "synchronous": SynchronousGossip(),
    "combine then adapt": SynchronousGossip(order="combine_then_adapt", gossip_steps=2),
    "with patience": SynchronousGossip(patience=0.2),
    "pairwise": PairwiseGossip(timeout=0.2, max_backoff=1.0),
    "gossip_learning": GossipLearning(),
    "fedavg": FedAvg(),
}
RULE = StopRule(LOSS, patience=1)
ROUGH = World(NetworkModel(link=Link(latency=0.02, jitter=0.05)), ComputeModel(0.02, {"1": 0.5}))


class SometimesNoGood(NumpyTrainer):
    """The model of round 0 has no score that is a number."""

    def evaluate(self, models, part="test", examples=None):
        scores = super().evaluate(models, part, examples)
        return [
            type(score)(np.nan, score.metrics) if not model.weights.any() else score
            for model, score in zip(models, scores, strict=True)
        ]


def through_a_file(snapshot):
    arrays, values = snapshot
    return {name: np.array(array) for name, array in arrays.items()}, json.loads(json.dumps(values))


def new_simulator(name, trainer=None):
    trainer = trainer or SometimesNoGood(random_shards(GRAPH), momentum=0.9)
    return agreeing_simulator(RECIPES[name], GRAPH, trainer, num_rounds=24, every=2, rule=RULE, world=ROUGH)


def outcome(simulator):
    weights = {peer_id: peer.inner.weights for peer_id, peer in simulator.peers.items()}
    stopped = [peer.standing.stopped for peer in simulator.peers.values()]
    agreed = [(one, known.num_peers) for one, known in simulator.history.agreed.items()]
    return weights, (stopped, agreed, [peer.round for peer in simulator.peers.values()])


@pytest.mark.parametrize("name", RECIPES)
def test_a_peer_goes_on_from_any_snapshot(name):
    undisturbed = new_simulator(name)
    undisturbed.run()
    trainer = SometimesNoGood(random_shards(GRAPH), momentum=0.9)
    simulator = new_simulator(name, trainer)
    plan = plan_of(RECIPES[name], GRAPH, own_place(GRAPH, trainer), every=2, num_rounds=24, rule=RULE)
    rng = np.random.default_rng(0)
    step = simulator.step

    def step_and_replace():
        step()
        peer_id = str(rng.choice(list(simulator.peers)))
        inner = make_peer(RECIPES[name], GRAPH, trainer, peer_id, num_rounds=24)
        twin = AgreeingPeer(inner, plan, Neighbors.of(RECIPES[name].network(GRAPH), peer_id))
        snapshot = simulator.peers[peer_id].snapshot()
        assert json.dumps(snapshot[1], allow_nan=False)
        twin.restore(through_a_file(snapshot))
        simulator.peers[peer_id] = twin

    simulator.step = step_and_replace
    simulator.run()
    assert undisturbed.history.stopped is not None
    weights, others = outcome(simulator)
    expected_weights, expected = outcome(undisturbed)
    assert identical(weights, expected_weights)
    assert others == expected


@pytest.mark.parametrize("name", RECIPES)
def test_a_simulation_goes_on_from_any_event(name):
    undisturbed = new_simulator(name)
    snapshots = []
    step = undisturbed.step

    def step_and_keep():
        step()
        if undisturbed.num_events % 13 == 0:
            snapshots.append(through_a_file(undisturbed.snapshot()))

    undisturbed.step = step_and_keep
    undisturbed.run()
    expected_weights, expected = outcome(undisturbed)
    assert snapshots
    for snapshot in snapshots:
        resumed = new_simulator(name)
        resumed.restore(snapshot)
        resumed.run()
        weights, others = outcome(resumed)
        assert identical(weights, expected_weights)
        assert others == expected
        assert resumed.history.stopped == undisturbed.history.stopped


def test_a_peer_that_begins_again_asks_again_for_its_score():
    trainer = NumpyTrainer(random_shards(GRAPH))
    plan = plan_of(SynchronousGossip(order="combine_then_adapt"), GRAPH, own_place(GRAPH, trainer))
    recipe = SynchronousGossip(order="combine_then_adapt")
    peers = [AgreeingPeer(make_peer(recipe, GRAPH, trainer, "1"), plan, Neighbors.of(GRAPH, "1")) for _ in range(2)]
    (first,) = peers[0].start(0.0)
    peers[1].restore(through_a_file(peers[0].snapshot()))
    (again,) = peers[1].start(0.0)
    assert first.is_held_out
    assert again.is_held_out
    assert (first.job, first.part) == (again.job, again.part)
    outcomes = outcomes_of(trainer, [first, again])
    answers = [peer.completed(outcome, 0.0) for peer, outcome in zip(peers, outcomes, strict=True)]
    assert [type(action).__name__ for action in answers[0]] == ["Train", "Send", "Send"]
    for one, other in zip(answers[0][1:], answers[1][1:], strict=True):
        left, right = one.message.vectors["scores"], other.message.vectors["scores"]
        assert left.arrays["values"].tobytes() == right.arrays["values"].tobytes()
