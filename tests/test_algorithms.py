"""The recipes: every algorithm passes one exam."""

import pickle
from dataclasses import FrozenInstanceError, fields
from functools import cache

import networkx as nx
import numpy as np
import pytest
from exam import CANDIDATES
from federation import (
    complete,
    final_weights,
    identical,
    make_simulator,
    random_models,
    random_shards,
    ring,
    stacked,
    unequal_shards,
)
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import (
    ALGORITHMS,
    POOL,
    SERVER,
    Centralized,
    D2Gossip,
    FedAvg,
    LocalOnly,
    PairwiseGossip,
    RelaySumGossip,
    SynchronousGossip,
)
from gossipfl.engines.virtual.network_model import LAN
from gossipfl.engines.virtual.simulator import World
from gossipfl.errors import ConfigurationError
from gossipfl.peers import PushSumPeer
from gossipfl.topology import canonical

SIZE = 8


@pytest.fixture(params=CANDIDATES)
def candidate(request):
    return CANDIDATES[request.param]


def masses(simulator) -> np.ndarray:
    """The push-sum mass of every data holder, 1 where there is none."""
    found = []
    for peer in simulator.peers.values():
        mixing = getattr(peer, "_mixing", None)
        found.append(peer.mass if isinstance(peer, PushSumPeer) else getattr(mixing, "mass", 1.0))
    return np.array(found[: len(stacked(simulator))])


def test_every_algorithm_sits_the_exam():
    assert {type(candidate.recipe) for candidate in CANDIDATES.values()} == set(ALGORITHMS.values())


def test_a_recipe_is_a_frozen_value(candidate):
    recipe = candidate.recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert type(recipe).__name__ in repr(recipe)
    with pytest.raises((FrozenInstanceError, AttributeError)):
        setattr(recipe, fields(recipe)[0].name, None)


def test_a_recipe_says_what_it_does_in_one_sentence(candidate):
    sentence = (type(candidate.recipe).__doc__ or "").split("\n\n")[0]
    assert sentence.endswith(".")
    assert len(sentence) <= 120


def test_every_peer_finishes_its_rounds(candidate):
    graph = candidate.graph(SIZE)
    simulator = make_simulator(
        candidate.recipe, graph, NumpyTrainer(random_shards(graph)), world=World(LAN), num_rounds=6
    )
    history = simulator.run()
    assert all(peer.finished and peer.is_drained and peer.round == 6 for peer in simulator.peers.values())
    assert [evaluation.round for evaluation in history] == list(range(7))
    assert history.num_refused == 0
    assert history.last.average_loss < history.evaluations[0].average_loss


def test_the_same_budget_is_the_same_number_of_local_epochs(candidate):
    graph = candidate.graph(SIZE)
    trainer = NumpyTrainer(random_shards(graph), batch_size=3)
    make_simulator(candidate.recipe, graph, trainer, num_rounds=6).run()
    assert trainer.num_jobs == (6 if candidate.recipe.pools_data else 6 * len(graph))


def test_one_peer_alone_is_local_training(candidate):
    graph = canonical(nx.empty_graph(1), "one")
    shards = {"0": np.arange(6.0).reshape(2, 3)}
    if "Epidemic" in repr(candidate.recipe):
        with pytest.raises(ConfigurationError, match="num_neighbors"):  # there is nobody to choose from
            candidate.recipe.network(graph)
        return
    simulator = make_simulator(candidate.recipe, graph, NumpyTrainer(shards), num_rounds=4)
    simulator.run()
    alone = make_simulator(LocalOnly(), graph, NumpyTrainer(shards), num_rounds=4)
    alone.run()
    assert np.allclose(stacked(simulator), stacked(alone), rtol=0, atol=1e-14) != candidate.has_own_momentum


def test_a_seed_gives_the_same_bits_and_another_one_other_peers(candidate):
    graph = candidate.graph(SIZE)

    def run(seed):
        trainer = NumpyTrainer(random_shards(graph))
        simulator = make_simulator(candidate.recipe, graph, trainer, world=World(LAN), seed=seed)
        simulator.run()
        return final_weights(simulator)

    assert identical(run(3), run(3))
    assert identical(run(3), run(4)) != candidate.is_random


def without_training(candidate, num_rounds: int):
    """Where peers that learn nothing begin, and where they are after so many rounds of their algorithm."""
    graph = candidate.graph(SIZE)
    models = random_models(graph)
    trainer = NumpyTrainer(unequal_shards(graph), curvature=dict.fromkeys(graph, 0.0))  # corrections would show
    simulator = make_simulator(
        candidate.recipe, graph, trainer, world=World(LAN), num_rounds=num_rounds, initial=models
    )
    first_masses = masses(simulator)
    begin = np.sum(first_masses[:, None] * stacked(simulator), axis=0) / first_masses.sum()
    simulator.run()
    return begin, stacked(simulator), masses(simulator)


def test_mixing_conserves_the_sum(candidate):
    if candidate.recipe.hub is not None or candidate.recipe.pools_data:
        pytest.skip("its peers begin with the server's model, or there is one only")
    begin, end, mass = without_training(candidate, 7)
    mean = np.sum(mass[:, None] * end, axis=0) / mass.sum()
    assert np.allclose(mean, begin, rtol=0, atol=1e-13) == candidate.conserves


@pytest.mark.long
def test_mixing_leads_to_agreement(candidate):
    if candidate.recipe.pools_data:
        pytest.skip("there is one peer only")
    begin = np.stack([model.weights for model in random_models(candidate.graph(SIZE)).values()])
    _, end, _ = without_training(candidate, 80)
    assert (np.std(end, axis=0).max() < 0.1 * np.std(begin, axis=0).min()) == candidate.agrees


def heterogeneous(graph: nx.Graph) -> tuple[NumpyTrainer, np.ndarray]:
    """Objectives h_i ||x - b_i||^2 / 2 of different curvatures, and the minimiser of their mean."""
    rng = np.random.default_rng(5)
    shards = {peer_id: rng.normal(size=(1, 3)) for peer_id in graph}
    curvature = {peer_id: float(rng.uniform(0.3, 1.5)) for peer_id in graph}
    h = np.array(list(curvature.values()))[:, None]
    b = np.concatenate(list(shards.values()))
    return NumpyTrainer(shards, learning_rate=0.1, curvature=curvature), np.sum(h * b, axis=0) / h.sum()


@cache
def bias(name: str, num_steps: int) -> float:
    """How far the peers end from the minimiser of their mean objective, with full gradients and so many local steps."""
    candidate = CANDIDATES[name]
    graph = candidate.graph(SIZE)
    trainer, minimiser = heterogeneous(graph)
    trainer.steps_per_epoch = lambda peer_id: num_steps
    trainer.batch = lambda peer_id, step: trainer.shards[peer_id]
    simulator = make_simulator(candidate.recipe, graph, trainer, num_rounds=450 // num_steps)
    simulator.run()
    return float(np.linalg.norm(stacked(simulator) - minimiser, axis=1).max())


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, candidate in CANDIDATES.items() if not candidate.recipe.pools_data])
def test_corrected_algorithms_are_unbiased_with_many_local_steps_and_others_are_not(name):
    """Gradient tracking and SCAFFOLD are exact where D-PSGD, FedAvg and D2 are not."""
    assert (bias(name, 2) < 1e-4) == (CANDIDATES[name].unbiased == "many")


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, candidate in CANDIDATES.items() if candidate.unbiased != "never"])
def test_corrected_algorithms_are_unbiased_with_one_local_step(name):
    """D2 and exact diffusion are exact where D-PSGD is not."""
    assert bias(name, 1) < 1e-5
    assert bias("synchronous", 1) > 1e-2


# What single recipes say


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


def test_an_algorithm_is_refused_where_it_is_not_sound():
    with pytest.raises(ConfigurationError, match=r"D2 diverges on topology 'ring'.*-0\.333.*exact_diffusion"):
        D2Gossip().network(ring(16))
    with pytest.raises(ConfigurationError, match=r"RelaySum needs a tree, but topology 'ring' has 5 peers and 5 links"):
        RelaySumGossip().network(ring(5))
