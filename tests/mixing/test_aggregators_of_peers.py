"""Peers that mix by another rule than the mean are equal to plain loops; what a rule sees, and what it remembers."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from conversation import Conversation
from exam import AVERAGE
from federation import (
    complete,
    final_weights,
    identical,
    make_peer,
    make_peers,
    make_simulator,
    random_models,
    random_shards,
    ring,
    stacked,
    unequal_shards,
)
from liars import FragileTrainer, Liar, WithLiar, claiming, of
from numpy_trainer import NumpyTrainer
from reference import local_epoch

from gossipfl.aggregators import Mean, Median
from gossipfl.algorithms import FedAvg, SynchronousGossip
from gossipfl.engines.virtual.compute_model import ComputeModel
from gossipfl.engines.virtual.simulator import World
from gossipfl.weights import frozen


@dataclass(frozen=True)
class Heaviest:
    """All of the peer whose first weight is the largest."""

    keeps_mean: ClassVar[bool] = False

    def __call__(self, own, received, memory, context):
        chosen = max(received, key=lambda contribution: contribution.vectors["weights"][0])
        return {name: chosen.vectors.get(name, vector) for name, vector in own.vectors.items()}, memory


@dataclass(frozen=True)
class Fading:
    """The mean at first, one's own at last: it looks at the time."""

    keeps_mean: ClassVar[bool] = False

    def __call__(self, own, received, memory, context):
        mean, _ = Mean()(own, received, {}, context)
        share = 1 - context.step / context.num_steps
        return {name: frozen(own.vectors[name] + share * (mean[name] - own.vectors[name])) for name in mean}, memory


@dataclass(frozen=True)
class Steady:
    """Half of the way from where it was in the last step to the median: it remembers."""

    keeps_mean: ClassVar[bool] = False

    def __call__(self, own, received, memory, context):
        median, _ = Median()(own, received, {}, context)
        steady = {name: frozen((memory.get(name, own.vectors[name]) + vector) / 2) for name, vector in median.items()}
        return steady, steady


@dataclass(frozen=True)
class Keeping:
    """The mean, which it remembers."""

    keeps_mean: ClassVar[bool] = True

    def __call__(self, own, received, memory, context):
        mean, _ = Mean()(own, received, {}, context)
        return mean, mean


def in_the_median(graph, peer_id, rows, position):
    return np.median([rows[position[other]] for other in [peer_id, *graph.neighbors(peer_id)]], axis=0)


@pytest.mark.parametrize("graph", [ring(6), complete(5), complete(4)], ids=["ring", "odd", "even"])
def test_gossip_by_the_median_is_the_plain_loop(graph):
    trainer = NumpyTrainer(unequal_shards(graph), momentum=0.9, batch_size=2)
    models, position = random_models(graph), {peer_id: i for i, peer_id in enumerate(graph)}
    simulator = make_simulator(SynchronousGossip(aggregator=Median()), graph, trainer, num_rounds=6, initial=models)
    simulator.run()
    X, velocities = np.stack([models[peer_id].weights for peer_id in graph]), np.zeros((len(graph), 3))
    for _ in range(6):
        Y = []
        for i, peer_id in enumerate(graph):
            y, velocities[i] = local_epoch(trainer, peer_id, X[i], velocities[i])
            Y.append(y)
        X = np.stack([in_the_median(graph, peer_id, Y, position) for peer_id in graph])
    np.testing.assert_allclose(stacked(simulator), X, rtol=0, atol=1e-13)


@pytest.mark.parametrize("step_weight", [1.0, 1e-9])
def test_fedavg_by_the_median_is_the_plain_loop_whatever_clients_say_of_their_steps(step_weight):
    graph = ring(5)
    trainer = NumpyTrainer(unequal_shards(graph), batch_size=2)
    algorithm = WithLiar(FedAvg(aggregator=Median(), weighting="uniform"), "2", claiming(step_weight=step_weight))
    simulator = make_simulator(algorithm, graph, trainer, num_rounds=7)
    simulator.run()
    x = np.zeros(3)
    for _ in range(7):
        x = np.median([local_epoch(trainer, peer_id, x, np.zeros(3))[0] for peer_id in graph], axis=0)
    np.testing.assert_allclose(simulator.peers["server"].weights, x, rtol=0, atol=1e-13)


@pytest.mark.parametrize("recipe", [SynchronousGossip(), FedAvg(weighting="uniform")], ids=["gossip", "server"])
def test_a_rule_that_chooses_takes_all_of_one_peer(recipe):
    """Weights, statistics and momenta: what the peers end with is what one of them has trained."""
    graph = complete(4)
    trainer = NumpyTrainer(random_shards(graph), momentum=0.5, has_statistics=True)
    trained = []
    train = trainer.train
    trainer.train = lambda jobs: [trained.append(update) or update for update in train(jobs)]
    simulator = make_simulator(replace(recipe, aggregator=Heaviest(), sharing=AVERAGE), graph, trainer, num_rounds=3)
    simulator.run()
    last = [update for update in trained if update.job == 2]
    assert len(last) == 4
    chosen = max(last, key=lambda update: update.weights[0])
    for peer in simulator.peers.values():
        local = peer.local
        assert [local.weights.tobytes(), local.statistics.tobytes(), local.state["optimizer"].tobytes()] == [
            chosen.weights.tobytes(),
            chosen.statistics.tobytes(),
            chosen.state["optimizer"].tobytes(),
        ]


def test_the_silent_are_left_out():
    graph = complete(4)
    trainer = NumpyTrainer(random_shards(graph))
    world = World(compute=ComputeModel(0.01, {"3": 1e-6}))  # years behind
    algorithm = SynchronousGossip(aggregator=Median(), patience=1.0)
    simulator = make_simulator(algorithm, graph, trainer, world=world, num_rounds=4)
    while not all(simulator.peers[peer_id].finished for peer_id in "012"):
        simulator.step() if simulator._heap else simulator.next()
    x = np.zeros((3, 3))
    for _ in range(4):
        Y = [local_epoch(trainer, str(i), x[i], np.zeros(3))[0] for i in range(3)]
        x = np.broadcast_to(np.median(Y, axis=0), (3, 3))
    np.testing.assert_allclose(stacked(simulator)[:3], x, atol=1e-14)


@pytest.mark.parametrize("recipe", [SynchronousGossip(), FedAvg(weighting="uniform")], ids=["gossip", "server"])
def test_a_liar_pulls_a_mean_and_no_median(recipe):
    graph = complete(5)
    far = {}
    for aggregator in (Mean(), Median()):
        lying = WithLiar(replace(recipe, aggregator=aggregator), "2", of(50.0))
        simulator = make_simulator(lying, graph, NumpyTrainer(random_shards(graph)), num_rounds=10)
        simulator.run()
        far[aggregator] = np.abs(stacked(simulator)[[0, 1, 3, 4]]).max()
    assert far[Mean()] > 10
    assert far[Median()] < 2


def test_a_rule_is_told_the_time():
    graph, models = complete(4), random_models(complete(4))
    algorithm = SynchronousGossip(aggregator=Fading(), gossip_steps=2)
    trainer = NumpyTrainer(random_shards(graph), learning_rate=0.0)
    simulator = make_simulator(algorithm, graph, trainer, num_rounds=3, initial=models)
    simulator.run()
    X = np.stack([model.weights for model in models.values()])
    for step in range(6):
        X = X + (1 - step / 6) * (X.mean(axis=0) - X)
    np.testing.assert_allclose(stacked(simulator), X, atol=1e-14)


@pytest.mark.parametrize("recipe", [SynchronousGossip(), FedAvg(weighting="uniform")], ids=["gossip", "server"])
def test_what_a_rule_remembers_is_in_the_snapshot(recipe):
    """Peers that are replaced by their restored snapshots, after every event, go on to the same bits."""
    graph = ring(4)

    def run(aggregator, is_replaced):
        algorithm = replace(recipe, aggregator=aggregator)
        trainer = NumpyTrainer(random_shards(graph), momentum=0.9, has_statistics=True)
        simulator = make_simulator(algorithm, graph, trainer)
        step = simulator.step

        def step_and_replace():
            step()
            for peer_id, peer in simulator.peers.items():
                arrays, values = peer.snapshot()
                twin = make_peer(algorithm, graph, trainer, peer_id)
                twin.restore(
                    ({name: np.array(array) for name, array in arrays.items()}, json.loads(json.dumps(values)))
                )
                simulator.peers[peer_id] = twin

        if is_replaced:
            simulator.step = step_and_replace
        simulator.run()
        return final_weights(simulator)

    undisturbed = run(Steady(), is_replaced=False)
    assert identical(run(Steady(), is_replaced=True), undisturbed)
    assert not identical(run(Median(), is_replaced=False), undisturbed)


def test_a_rule_remembers_nothing_of_what_is_taken_out_again():
    graph = ring(4)
    trainer = FragileTrainer(random_shards(graph), momentum=0.5)
    peers = make_peers(SynchronousGossip(aggregator=Keeping()), graph, trainer)
    conversation = Conversation(peers, lambda job: trainer.train([job])[0])
    conversation.start()
    conversation.peers["1"] = Liar(conversation.peers["1"], of(99.0))
    conversation.train_all()
    conversation.deliver_all()
    peer, job = conversation.peers["0"], conversation.jobs["0"]
    assert peer.snapshot()[0]["mixing/weights"].max() > 20
    with pytest.raises(Exception, match="NaN") as caught:
        trainer.train([job])
    peer.completed(caught.value, 0.0)
    assert "mixing/weights" not in peer.snapshot()[0]
