"""What peers mix: fixed points in closed form, push-sum on directed graphs, relayed sums, schedules."""

from contextlib import suppress

import networkx as nx
import numpy as np
import pytest
from exam import tree
from federation import (
    complete,
    final_weights,
    identical,
    make_peers,
    make_simulator,
    random_models,
    random_shards,
    ring,
    stacked,
)
from numpy_trainer import NumpyTrainer
from reference import own_minimisers

from gossipfl.algorithms import (
    EpidemicLearning,
    RelaySumGossip,
    StochasticGradientPush,
    SynchronousGossip,
)
from gossipfl.compression import encoded
from gossipfl.engines.virtual.compute_model import ComputeModel
from gossipfl.engines.virtual.network_model import Link, NetworkModel
from gossipfl.engines.virtual.simulator import World
from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.schedules import (
    BaseGraph,
    EpidemicLocal,
    EpidemicOracle,
    OnePeerExponential,
    OnePeerHypercube,
    RandomMatchings,
    Static,
    mixing_matrix_at,
)
from gossipfl.topology import canonical, diameter, least_stationary_mass, mixing_matrix, push_matrix

ETA = 0.1


def run(algorithm, graph, *, num_rounds, world=None, seed=0, learning_rate=ETA, initial=None, shards=None, **options):
    trainer = NumpyTrainer(shards or random_shards(graph, num_rows=1), learning_rate=learning_rate, **options)
    simulator = make_simulator(
        algorithm, graph, trainer, world=world, num_rounds=num_rounds, seed=seed, initial=initial
    )
    simulator.run()
    return simulator


@pytest.mark.parametrize("order", ["adapt_then_combine", "combine_then_adapt"])
def test_d_psgd_ends_at_its_fixed_point(order):
    """f_i = ||x - b_i||^2 / 2: x* = (I - (1 - eta) W)^-1 eta W b, or ((1 + eta) I - W)^-1 eta b. Both keep the mean of
    b, and adapting first comes closer to consensus."""
    graph, identity = ring(8), np.eye(8)
    W, b = mixing_matrix(graph).toarray(), own_minimisers(random_shards(graph, num_rows=1))
    expected = {
        "adapt_then_combine": np.linalg.solve(identity - (1 - ETA) * W, ETA * W @ b),
        "combine_then_adapt": np.linalg.solve((1 + ETA) * identity - W, ETA * b),
    }
    X = stacked(run(SynchronousGossip(order=order), graph, num_rounds=400))
    np.testing.assert_allclose(X, expected[order], atol=1e-12)
    np.testing.assert_allclose(X.mean(axis=0), b.mean(axis=0), atol=1e-12)
    first, second = (np.std(fixed, axis=0).sum() for fixed in expected.values())
    assert first < second


def test_combining_first_hides_the_network_behind_training():
    world = World(NetworkModel(link=Link(latency=1.0)), ComputeModel(1.0))
    adapt = run(SynchronousGossip(), ring(5), num_rounds=10, world=world)
    combine = run(SynchronousGossip(order="combine_then_adapt"), ring(5), num_rounds=10, world=world)
    assert adapt.history.last.time == pytest.approx(20.0)
    assert combine.history.last.time == pytest.approx(10.0)


def test_several_gossip_steps_are_a_power_of_the_mixing_matrix():
    graph, models = ring(6), random_models(ring(6))
    X = stacked(run(SynchronousGossip(gossip_steps=3), graph, num_rounds=2, learning_rate=0.0, initial=models))
    W = mixing_matrix(graph).toarray()
    begin = np.stack([model.weights for model in models.values()])
    np.testing.assert_allclose(X, np.linalg.matrix_power(W, 6) @ begin, atol=1e-14)


@pytest.mark.parametrize(
    "schedule",
    [OnePeerExponential(), OnePeerHypercube(), BaseGraph(), BaseGraph(k=2), RandomMatchings(), EpidemicOracle(3)],
    ids=lambda schedule: type(schedule).__name__,
)
@pytest.mark.parametrize("gossip_steps", [1, 2])
def test_peers_mix_as_the_schedule_says(schedule, gossip_steps):
    """X <- W_t X step by step, whatever is early or late on the way."""
    graph, models = ring(8), random_models(ring(8))
    world = World(NetworkModel(link=Link(latency=0.1, jitter=1.0)), ComputeModel(0.01, {"2": 0.01, "5": 0.1}))
    algorithm = SynchronousGossip(schedule, gossip_steps=gossip_steps)
    simulator = run(algorithm, graph, num_rounds=6, learning_rate=0.0, initial=models, world=world, seed=7)
    X = np.stack([model.weights for model in models.values()])
    for step in range(6 * gossip_steps):
        X = mixing_matrix_at(schedule, algorithm.network(graph), step, 7) @ X
    np.testing.assert_allclose(stacked(simulator), X, atol=1e-14)
    assert simulator.history.num_refused == 0


@pytest.mark.parametrize("num_peers", [5, 7, 12])
def test_base_graphs_bring_any_number_of_peers_to_exact_consensus(num_peers):
    graph, models = ring(num_peers), random_models(ring(num_peers))
    X = stacked(run(SynchronousGossip(BaseGraph()), graph, num_rounds=10, learning_rate=0.0, initial=models))
    np.testing.assert_allclose(X, np.broadcast_to(X.mean(axis=0), X.shape), atol=1e-14)
    begin = np.mean([model.weights for model in models.values()], axis=0)
    np.testing.assert_allclose(X[0], begin, atol=1e-14)


def test_epidemic_learning_with_all_others_is_gossip_on_the_complete_graph():
    graph = complete(6)
    epidemic = run(EpidemicLearning(num_neighbors=5), graph, num_rounds=5)
    everybody = run(SynchronousGossip(), graph, num_rounds=5)
    np.testing.assert_allclose(stacked(epidemic), stacked(everybody), atol=1e-15)


# Push-sum


def directed() -> nx.DiGraph:
    """A ring one way round with two chords: out-degrees 1 and 2."""
    graph = nx.DiGraph([(i, (i + 1) % 6) for i in range(6)] + [(0, 3), (2, 5)])
    return canonical(graph, "directed")


def test_push_sum_keeps_the_sums_and_agrees_on_a_directed_graph():
    graph, models = directed(), random_models(directed())
    simulator = run(StochasticGradientPush(Static()), graph, num_rounds=150, learning_rate=0.0, initial=models)
    X, begin = stacked(simulator), np.mean([model.weights for model in models.values()], axis=0)
    masses = np.array([peer._mixing.mass for peer in simulator.peers.values()])
    assert masses.sum() == pytest.approx(6.0, abs=1e-12)
    assert np.ptp(masses) > 0.1  # rows do not sum to 1
    np.testing.assert_allclose(X, np.broadcast_to(begin, X.shape), atol=1e-10)


STAR = canonical(nx.star_graph(5).to_directed(), "star")


@pytest.mark.parametrize("graph", [directed(), STAR], ids=["directed", "star"])
def test_sgp_is_dense_push_sum_with_gradients_at_the_quotient(graph):
    shards = random_shards(graph, num_rows=1)
    simulator = run(StochasticGradientPush(Static()), graph, num_rounds=9, shards=dict(shards))
    peers = list(graph)
    P = np.zeros((6, 6))
    for j, sender in enumerate(peers):
        receivers = [sender, *graph.adj[sender]]
        for receiver in receivers:
            P[peers.index(receiver), j] = 1 / len(receivers)
    V, w, b = np.zeros((6, 3)), np.ones(6), own_minimisers(shards)
    for _ in range(9):
        V = P @ (V - ETA * (V / w[:, None] - b))
        w = P @ w
    np.testing.assert_allclose(stacked(simulator), V / w[:, None], atol=1e-14)


def test_push_sum_reaches_the_mean_by_examples_that_gossip_cannot():
    """With a mass of n_i at first, the peers end at the minimiser of sum_i n_i f_i, as FedAvg by examples does."""
    graph = complete(4)
    rng = np.random.default_rng(0)
    shards = {peer_id: rng.normal(size=(k + 1, 3)) for k, peer_id in enumerate(graph)}
    everything = np.concatenate(list(shards.values())).mean(axis=0)
    options = {"num_rounds": 500, "learning_rate": 0.02, "shards": shards}
    by_examples = run(StochasticGradientPush(weighting="examples"), graph, **options)
    uniform = run(StochasticGradientPush(), graph, **options)
    np.testing.assert_allclose(stacked(by_examples).mean(axis=0), everything, atol=0.02)
    expected = own_minimisers(shards).mean(axis=0)
    np.testing.assert_allclose(stacked(uniform).mean(axis=0), expected, atol=1e-4)
    assert np.abs(expected - everything).max() > 0.1


def test_sgp_on_a_regular_schedule_is_d_psgd():
    graph = ring(8)
    pushed = run(StochasticGradientPush(OnePeerExponential()), graph, num_rounds=6)
    mixed = run(SynchronousGossip(OnePeerExponential()), graph, num_rounds=6)
    np.testing.assert_allclose(stacked(pushed), stacked(mixed), atol=1e-15)


@pytest.mark.parametrize(
    "schedule", [Static(lazy=True), Static("max_degree"), BaseGraph(), RandomMatchings(), EpidemicOracle()]
)
def test_sgp_where_links_go_both_ways_is_d_psgd_with_the_schedules_weights(schedule):
    graph = canonical(nx.lollipop_graph(4, 3), "lollipop") if schedule.follows_links else ring(7)
    pushed = run(StochasticGradientPush(schedule), graph, num_rounds=9)
    mixed = run(SynchronousGossip(schedule), graph, num_rounds=9)
    np.testing.assert_allclose(stacked(pushed), stacked(mixed), atol=1e-14)
    assert [peer._mixing.mass for peer in pushed.peers.values()] == pytest.approx([1.0] * 7)


def test_a_graph_that_leaves_a_peer_hardly_any_mass_is_refused():
    """A chain whose peers all point back to its first: the last one keeps 2^-k of the mass."""
    n = 12
    chain = nx.DiGraph([(i, i + 1) for i in range(n - 1)] + [(i, 0) for i in range(1, n)])
    graph = canonical(chain, "chain")
    least = least_stationary_mass(push_matrix(graph))
    settled = np.linalg.matrix_power(push_matrix(graph).toarray(), 10_000) @ np.ones(n)
    assert least == pytest.approx(settled.min(), rel=1e-6)
    with pytest.raises(ConfigurationError, match="push-sum leaves a peer of topology 'chain'"):
        StochasticGradientPush(Static()).network(graph)
    StochasticGradientPush(OnePeerExponential()).network(graph)
    StochasticGradientPush(Static()).network(directed())


def test_only_push_sum_takes_a_directed_graph():
    with pytest.raises(ConfigurationError, match=r"topology 'directed' is directed.*'sgp', 'gosgd'"):
        SynchronousGossip().network(directed())


# RelaySum


@pytest.mark.parametrize("num_peers", [1, 2, 7, 15])
def test_relayed_sums_are_exact_after_as_many_steps_as_the_diameter(num_peers):
    graph = tree(num_peers)
    models = random_models(graph)
    mean = np.mean([model.weights for model in models.values()], axis=0)
    simulator = make_simulator(
        RelaySumGossip(), graph, NumpyTrainer(random_shards(graph), learning_rate=0.0), num_rounds=diameter(graph) + 2
    )
    # The models stand still: what is put into the mix in every round is the first one.
    for peer_id, peer in simulator.peers.items():
        peer._method = _StandStill(models[peer_id].weights)
    simulator.run()
    X = stacked(simulator)
    np.testing.assert_allclose(X, np.broadcast_to(mean, X.shape), atol=1e-14)


class _StandStill:
    mixed = frozenset()

    def __init__(self, weights):
        self.weights = weights

    def begin(self, x, memory):
        from gossipfl.actions import Correction

        return Correction()

    def emit(self, x, update, memory):
        return {"weights": self.weights}

    def absorb(self, x, emitted, mixed, memory):
        return mixed["weights"], memory


def test_relay_sum_on_two_peers_is_their_mean():
    graph = complete(2)
    relayed, mixed = run(RelaySumGossip(), graph, num_rounds=5), run(SynchronousGossip(), graph, num_rounds=5)
    np.testing.assert_allclose(stacked(relayed), stacked(mixed), atol=1e-15)


def test_relay_sum_with_patience_lives_with_lost_messages():
    graph = tree(7)
    world = World(NetworkModel(link=Link(latency=0.01, loss=0.2)), ComputeModel(0.01))
    simulator = run(RelaySumGossip(patience=0.5), graph, num_rounds=60, world=world)
    b = own_minimisers(random_shards(graph, num_rows=1))
    assert all(peer.finished for peer in simulator.peers.values())
    assert np.abs(stacked(simulator) - b.mean(axis=0)).mean() < 0.4 * np.abs(b - b.mean(axis=0)).mean()


def test_patience_that_is_never_tried_changes_no_bit():
    patient = run(SynchronousGossip(BaseGraph(), patience=1e6), ring(7), num_rounds=8)
    assert identical(final_weights(patient), final_weights(run(SynchronousGossip(BaseGraph()), ring(7), num_rounds=8)))


@pytest.mark.parametrize("schedule", [OnePeerExponential(), BaseGraph(), EpidemicOracle(), RandomMatchings()])
def test_changing_schedules_with_patience_live_with_lost_messages_and_stragglers(schedule):
    world = World(
        NetworkModel(link=Link(latency=0.01, jitter=0.05, loss=0.2), offline={"3": ((0.3, 2.0),)}),
        ComputeModel(0.02, {"1": 0.05}),
    )
    simulator = run(SynchronousGossip(schedule, patience=0.2), ring(8), num_rounds=40, world=world)
    assert all(peer.finished and peer.round == 40 for peer in simulator.peers.values())
    assert all(len(peer._received) <= 3 + 2 * 3 for peer in simulator.peers.values())
    assert np.std(stacked(simulator), axis=0).max() < 0.7


def test_combining_first_diverges_on_negative_eigenvalues_with_much_local_work_and_lazily_does_not():
    """K_{4,4} has the eigenvalue -0.6; training that shrinks the way by a has the modes lambda + a - 1."""
    graph = canonical(nx.complete_bipartite_graph(4, 4), "K44")
    combine = {"order": "combine_then_adapt"}
    a_little = run(SynchronousGossip(**combine), graph, num_rounds=80, learning_rate=0.35)  # a = 0.65
    too_much = run(SynchronousGossip(**combine), graph, num_rounds=80, learning_rate=0.55)  # a = 0.45
    lazy = run(SynchronousGossip(Static(lazy=True), **combine), graph, num_rounds=80, learning_rate=0.55)
    assert np.abs(stacked(a_little)).max() < 10
    assert np.abs(stacked(too_much)).max() > 1e3
    assert np.abs(stacked(lazy)).max() < 10


@pytest.mark.parametrize(
    "schedule", [Static(), OnePeerExponential(), BaseGraph(), RandomMatchings(), EpidemicOracle(), EpidemicLocal(2)]
)
def test_a_straggler_skips_ahead_to_those_who_lost_patience(schedule):
    world = World(compute=ComputeModel(1.0, {"3": 0.1}))
    graph = ring(8)
    trainer = NumpyTrainer(random_shards(graph, num_rows=1))
    simulator = make_simulator(SynchronousGossip(schedule, patience=1.0), graph, trainer, world=world, num_rounds=40)
    simulator.run()
    assert simulator.peers["3"].local.num_jobs < 20
    assert simulator.history.last.time < 200


def test_a_neighbor_cannot_fill_the_memory_of_a_peer():
    trainer = NumpyTrainer(random_shards(ring(8)))
    peers = make_peers(SynchronousGossip(OnePeerExponential()), ring(8), trainer, num_rounds=5000)
    vectors = encoded(peers["1"].local.shared())
    num_taken = 0
    for step in range(5000):
        with suppress(RemoteProtocolError):
            peers["0"].receive(Message("1", "0", Kind.MODEL, step, None, vectors, {"num_examples": 4}), 0.0)
            num_taken += 1
    assert 1 <= num_taken <= 6
