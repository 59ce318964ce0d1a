"""Peers that pool their statistics average moments: whatever the algorithm, of all inputs together."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from exam import CANDIDATES
from federation import make_simulator, random_shards, ring
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import Algorithm
from gossipfl.algorithms.seat import Seat
from gossipfl.engines.evaluation import EvaluationPlan, average_model, standings_of
from gossipfl.mixing import Pooling
from gossipfl.weights import ModelVectors, frozen

TWO = Pooling(((0, 2, 2),))
PLAN = EvaluationPlan(pooling=TWO)
SHARING = [name for name, candidate in CANDIDATES.items() if candidate.agrees]


@dataclass(frozen=True)
class WithPooling:
    recipe: Algorithm

    def __getattr__(self, name):
        return getattr(self.recipe, name)

    def make_peer(self, seat: Seat):
        return self.recipe.make_peer(replace(seat, pooling=TWO))


def different_models(peer_ids) -> dict[str, ModelVectors]:
    """A server begins as the first peer does."""
    rng = np.random.default_rng(0)
    models = {
        peer_id: ModelVectors(frozen(rng.normal(size=3)), frozen(np.concatenate([rng.normal(size=2), rng.random(2)])))
        for peer_id in peer_ids
    }
    return models | {"server": models["0"]}


def run(name, num_rounds) -> tuple[list, dict]:
    """Peers that do not train, but only mix: how they end, and how they began."""
    candidate = CANDIDATES[name]
    graph = candidate.graph(8)
    models = different_models(graph)
    trainer = NumpyTrainer(random_shards(graph), learning_rate=0.0)
    recipe = WithPooling(candidate.recipe)
    simulator = make_simulator(recipe, graph, trainer, num_rounds=num_rounds, initial=models, plan=PLAN)
    simulator.run()
    return [peer for peer_id, peer in simulator.peers.items() if peer_id in graph], models


def moments(model: ModelVectors) -> np.ndarray:
    return TWO.moments(model.statistics)


@pytest.mark.parametrize("name", SHARING)
def test_all_come_to_agree_on_statistics_that_are_some(name):
    peers, models = run(name, 40)
    if len(peers) < 2:
        return
    ends = np.stack([peer.standing.model.statistics for peer in peers])
    begins = np.stack([models[peer.peer_id].statistics for peer in peers])
    assert (ends[:, 2:] >= 0).all()
    assert np.std(ends, axis=0).max() < 0.2 * np.std(begins, axis=0).min()
    # variances of all inputs together: more than the mean of the peers' own, which the spread of their means adds to
    assert (ends[:, 2:].mean(axis=0) > begins[:, 2:].min(axis=0)).all()


@pytest.mark.parametrize(
    "name", ["synchronous", "synchronous, combine then adapt", "dfedavgm", "diloco", "epidemic_learning"]
)
def test_the_mean_of_the_moments_is_kept(name):
    peers, models = run(name, 4)
    begin = np.mean([moments(models[peer.peer_id]) for peer in peers], axis=0)
    np.testing.assert_allclose(np.mean([moments(peer.standing.model) for peer in peers], axis=0), begin, atol=1e-12)
    average = average_model(standings_of(peers), PLAN)
    np.testing.assert_allclose(moments(average), begin, atol=1e-12)


def test_a_server_pools_what_its_clients_send():
    peers, models = run("fedavg", 1)
    first = {**models, **{peer.peer_id: models["server"] for peer in peers}}
    expected = np.mean([moments(first[peer.peer_id]) for peer in peers], axis=0)
    for peer in peers:
        np.testing.assert_allclose(moments(peer.standing.model), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["local", "gossip_learning", "pairwise", "gosgd"])
def test_what_training_gave_is_taken_over_to_the_bit(name):
    graph = ring(3)
    models = different_models(graph)
    trainer = NumpyTrainer(random_shards(graph), learning_rate=0.0)
    recipe = WithPooling(CANDIDATES[name].recipe)
    simulator = make_simulator(recipe, graph, trainer, num_rounds=1, initial=models, plan=PLAN)
    local = simulator.peers["0"].local
    job = local.train()
    (update,) = trainer.train([job])
    local.finish(update)
    before = local.statistics
    trained = local.trained(update)
    assert local.statistics is before
    local.take_over(update)
    assert local.statistics is update.statistics
    np.testing.assert_array_equal(trained["statistics"], TWO.moments(update.statistics))
