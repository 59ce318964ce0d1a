"""The recipes: every algorithm passes one exam."""

import pickle
from dataclasses import FrozenInstanceError, fields

import networkx as nx
import numpy as np
import pytest
from federation import complete, final_weights, identical, make_simulator, random_shards, ring, stacked
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import (
    ALGORITHMS,
    POOL,
    SERVER,
    Centralized,
    FedAvg,
    LocalOnly,
    PairwiseGossip,
    SynchronousGossip,
)
from gossipfl.engines.network_model import LAN
from gossipfl.engines.simulator import World
from gossipfl.errors import ConfigurationError
from gossipfl.topology import canonical


@pytest.fixture(params=ALGORITHMS)
def recipe(request):
    return ALGORITHMS[request.param]()


def test_a_recipe_is_a_frozen_value(recipe):
    assert recipe == type(recipe)()
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert type(recipe).__name__ in repr(recipe)
    with pytest.raises((FrozenInstanceError, AttributeError)):
        setattr(recipe, fields(recipe)[0].name, None)


def test_every_peer_finishes_its_rounds(recipe):
    trainer = NumpyTrainer(random_shards(ring(5)))
    simulator = make_simulator(recipe, ring(5), trainer, world=World(LAN), num_rounds=6)
    history = simulator.run()
    assert all(peer.finished and peer.round == 6 for peer in simulator.peers.values())
    assert [evaluation.round for evaluation in history] == list(range(7))
    assert history.num_refused == 0
    assert history.last.average_loss < history.evaluations[0].average_loss


def test_the_same_budget_is_the_same_number_of_local_epochs(recipe):
    trainer = NumpyTrainer(random_shards(ring(5)), batch_size=3)
    make_simulator(recipe, ring(5), trainer, num_rounds=6).run()
    assert trainer.num_jobs == (6 if recipe.pools_data else 30)


def test_one_peer_alone_is_local_training(recipe):
    graph = canonical(nx.empty_graph(1), "one")
    shards = {"0": np.arange(6.0).reshape(2, 3)}
    simulator = make_simulator(recipe, graph, NumpyTrainer(shards), num_rounds=4)
    simulator.run()
    alone = make_simulator(LocalOnly(), graph, NumpyTrainer(shards), num_rounds=4)
    alone.run()
    np.testing.assert_allclose(stacked(simulator), stacked(alone), atol=1e-15)


def test_a_seed_gives_the_same_bits_and_another_one_other_peers(recipe):
    graph = ring(6)

    def run(seed):
        simulator = make_simulator(recipe, graph, NumpyTrainer(random_shards(graph)), world=World(LAN), seed=seed)
        simulator.run()
        return final_weights(simulator)

    assert identical(run(3), run(3))
    if isinstance(recipe, PairwiseGossip):
        assert not identical(run(3), run(4))


def test_fedavg_adds_its_server_at_the_last_position():
    graph = ring(4)
    star = FedAvg().network(graph)
    assert list(star) == ["0", "1", "2", "3", SERVER]
    assert star.nodes[SERVER]["position"] == 4
    assert set(star.edges) == {(str(k), SERVER) for k in range(4)}
    assert SERVER not in graph
    assert FedAvg.hub == SERVER


def test_gossip_keeps_the_graph_and_the_bounds_have_no_links():
    graph = ring(4)
    assert PairwiseGossip().network(graph) is graph
    assert SynchronousGossip().network(graph) is graph
    assert LocalOnly().network(graph).number_of_edges() == 0
    assert list(LocalOnly().network(graph)) == list(graph)
    assert list(Centralized().network(graph)) == [POOL]


@pytest.mark.parametrize(("recipe", "name"), [(FedAvg(), SERVER), (Centralized(), POOL)])
def test_a_peer_that_bears_a_reserved_name_is_refused(recipe, name):
    graph = canonical(nx.path_graph(["a", name]), "path")
    with pytest.raises(ConfigurationError, match=f"a participant '{name}'.*rename"):
        recipe.network(graph)


def test_centralized_is_training_on_all_data():
    shards = random_shards(complete(4))
    simulator = make_simulator(Centralized(), complete(4), NumpyTrainer(dict(shards)), num_rounds=5)
    simulator.run()
    x = np.zeros(3)
    for _ in range(5):
        x = x - 0.1 * (x - np.concatenate(list(shards.values())).mean(axis=0))
    np.testing.assert_allclose(stacked(simulator)[0], x, atol=1e-15)


def test_patience_is_what_bounds_the_wait():
    assert PairwiseGossip(timeout=3.0).patience == 3.0
    assert SynchronousGossip().patience is None
    assert FedAvg(patience=2.0).patience == 2.0
    assert LocalOnly().patience == 0.0
