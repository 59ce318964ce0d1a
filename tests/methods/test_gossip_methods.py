"""Corrections of synchronous gossip: the recursions of their papers, their invariants, and what they reduce to."""

import networkx as nx
import numpy as np
import pytest
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

from gossipfl.actions import LocalWork
from gossipfl.algorithms import (
    D2Gossip,
    DFedAvgM,
    DiLoCo,
    ExactDiffusion,
    FedAvg,
    GradientTrackingGossip,
    LocalSGD,
    QuasiGlobalMomentumGossip,
    Seat,
    SynchronousGossip,
)
from gossipfl.engines.virtual.simulator import Simulator
from gossipfl.errors import ConfigurationError
from gossipfl.methods.server_optimizers import ServerSGD
from gossipfl.peers import Sharing
from gossipfl.randomness import Randomness
from gossipfl.schedules import BaseGraph, EpidemicLocal, Static
from gossipfl.topology import canonical, mixing_matrix

ETA = 0.1
BIPARTITE = canonical(nx.complete_bipartite_graph(4, 4), "K44")


def trainer_on(graph, **options):
    return NumpyTrainer(random_shards(graph, num_rows=1), **{"learning_rate": ETA} | options)


def run(algorithm, graph, num_rounds, **options):
    simulator = make_simulator(algorithm, graph, trainer_on(graph, **options), num_rounds=num_rounds)
    simulator.run()
    return simulator


@pytest.mark.parametrize(
    ("algorithm", "graph", "lazy"),
    [(D2Gossip(), ring(7), False), (ExactDiffusion(), ring(8), True), (ExactDiffusion(), BIPARTITE, True)],
    ids=["D2", "exact diffusion", "exact diffusion on K44"],
)
def test_d2_is_the_recursion_of_its_paper(algorithm, graph, lazy):
    """x^{t+1} = W (2 x^t - x^{t-1} - eta g^t + eta g^{t-1}), x^1 = W (x^0 - eta g^0)."""
    W, b = mixing_matrix(graph).toarray(), own_minimisers(random_shards(graph, num_rows=1))
    if lazy:
        W = (W + np.eye(len(graph))) / 2
    before = np.zeros_like(b)
    X = W @ (before - ETA * (before - b))
    for _ in range(11):
        before, X = X, W @ (2 * X - before - ETA * (X - b) + ETA * (before - b))
    np.testing.assert_allclose(stacked(run(algorithm, graph, 12)), X, atol=1e-13)


def test_d2_diverges_where_it_is_refused_and_exact_diffusion_does_not():
    """K_{4,4} has the eigenvalue -0.6 with Metropolis weights."""
    with pytest.raises(ConfigurationError, match=r"eigenvalue -0\.600.*exact_diffusion"):
        D2Gossip().network(BIPARTITE)
    # Its method on this graph all the same, in the place of the recipe's check:
    trainer = trainer_on(BIPARTITE)
    peers = make_peers(ExactDiffusion(), BIPARTITE, trainer, num_rounds=200)
    for peer_id, peer in peers.items():
        peer._meetings = Static().meetings(BIPARTITE, peer_id, 0)
        peer._meeting = peer._meetings(0)
    diverged = Simulator(peers, trainer)
    diverged.run()
    assert np.abs(stacked(diverged)).max() > 1e20
    X = stacked(run(ExactDiffusion(), BIPARTITE, 400))
    np.testing.assert_allclose(X, np.broadcast_to(X.mean(axis=0), X.shape), atol=1e-12)


def memories(simulator, name):
    return np.stack([peer._memory[name] for peer in simulator.peers.values()])


@pytest.mark.parametrize("algorithm", [ExactDiffusion(), GradientTrackingGossip(), GradientTrackingGossip(BaseGraph())])
def test_corrections_sum_to_zero_in_every_round(algorithm):
    graph = ring(6)
    trainer = NumpyTrainer(random_shards(graph), learning_rate=ETA, batch_size=2, momentum=0.5)
    simulator = make_simulator(algorithm, graph, trainer, num_rounds=8)
    for evaluation in simulator:
        if evaluation.round:
            np.testing.assert_allclose(memories(simulator, "c").sum(axis=0), 0, atol=1e-14)


def test_gradient_tracking_with_one_step_is_the_tracker_of_its_paper():
    """x^{t+1} = W (x^t - eta q^t), q^{t+1} = W q^t + g^{t+1} - g^t, q^0 = g^0; sum q = sum g."""
    graph = ring(6)
    W, b = mixing_matrix(graph).toarray(), own_minimisers(random_shards(graph, num_rows=1))
    X = np.zeros_like(b)
    q = g = X - b
    for _ in range(10):
        X = W @ (X - ETA * q)
        q, g = W @ q + (X - b) - g, X - b
        np.testing.assert_allclose(q.sum(axis=0), g.sum(axis=0), atol=1e-13)
    np.testing.assert_allclose(stacked(run(GradientTrackingGossip(), graph, 10)), X, atol=1e-13)


def test_gradient_tracking_sends_twice_the_weights():
    graph, size = ring(6), 10_000
    shards = random_shards(graph, size=size)
    plain, tracked = (
        make_simulator(algorithm, graph, NumpyTrainer(dict(shards)), num_rounds=3).run().last.num_bytes
        for algorithm in (SynchronousGossip(), GradientTrackingGossip())
    )
    assert tracked == pytest.approx(2 * plain, rel=0.03)


def test_quasi_global_momentum_alone_is_a_damped_heavy_ball():
    """n = 1: m <- (1 - (1 - mu)^2) m + (1 - mu) g, x <- x - eta (mu m + g)."""
    graph, mu = canonical(nx.empty_graph(1), "one"), 0.9
    b = own_minimisers(random_shards(graph, num_rows=1))
    x, m = np.zeros_like(b), np.zeros_like(b)
    for _ in range(20):
        g = x - b
        x, m = x - ETA * (mu * m + g), (1 - (1 - mu) ** 2) * m + (1 - mu) * g
    X = stacked(run(QuasiGlobalMomentumGossip(LocalSGD(ETA), momentum=mu), graph, 20))
    np.testing.assert_allclose(X, x, rtol=0, atol=1e-13)


def test_quasi_global_momentum_is_its_recursion():
    """x <- W (x - eta (g + mu m)), m <- mu m + (1 - mu) (x_old - x) / eta."""
    graph, mu = ring(5), 0.8
    W, b = mixing_matrix(graph).toarray(), own_minimisers(random_shards(graph, num_rows=1))
    X, m = np.zeros_like(b), np.zeros_like(b)
    for _ in range(12):
        new = W @ (X - ETA * (X - b + mu * m))
        X, m = new, mu * m + (1 - mu) * (X - new) / ETA
    simulator = run(QuasiGlobalMomentumGossip(LocalSGD(ETA), momentum=mu), graph, 12)
    np.testing.assert_allclose(stacked(simulator), X, atol=1e-13)
    np.testing.assert_allclose(memories(simulator, "m"), m, atol=1e-13)


@pytest.mark.parametrize(
    "reduced",
    [QuasiGlobalMomentumGossip(LocalSGD(ETA), momentum=0.0), DiLoCo(outer_learning_rate=1.0, outer_momentum=0.0)],
    ids=["quasi-global momentum 0", "outer step 1"],
)
def test_without_their_momentum_they_are_d_psgd_bit_for_bit(reduced):
    graph = ring(6)
    options = {"momentum": 0.5}
    assert identical(
        final_weights(run(reduced, graph, 6, **options)), final_weights(run(SynchronousGossip(), graph, 6, **options))
    )


def test_dfedavgm_is_d_psgd_whose_momentum_starts_afresh():
    graph = ring(5)
    afresh = SynchronousGossip(sharing=Sharing(optimizer_state="reset"))
    shards = random_shards(graph, num_rows=6)

    def final(algorithm):
        trainer = NumpyTrainer(dict(shards), learning_rate=ETA, momentum=0.9, batch_size=2)
        simulator = make_simulator(algorithm, graph, trainer)
        simulator.run()
        return final_weights(simulator)

    assert identical(final(DFedAvgM(LocalSGD(momentum=0.9))), final(afresh))
    assert not identical(final(DFedAvgM(LocalSGD(momentum=0.9))), final(SynchronousGossip()))


@pytest.mark.parametrize("nesterov", [True, False])
def test_diloco_on_the_complete_graph_is_fedavg_with_its_outer_optimizer_at_the_server(nesterov):
    graph = complete(5)
    outer = DiLoCo(outer_learning_rate=0.7, outer_momentum=0.9, nesterov=nesterov)
    server = FedAvg(server_optimizer=ServerSGD(0.7, 0.9, nesterov), weighting="uniform")
    gossip, central = run(outer, graph, 7), run(server, graph, 7)
    expected = np.broadcast_to(central.peers["server"].weights, (5, 3))
    np.testing.assert_allclose(stacked(gossip), expected, atol=1e-14)


def test_the_mean_under_an_outer_optimizer_does_not_depend_on_the_graph():
    X, Y = stacked(run(DiLoCo(), ring(6), 9)), stacked(run(DiLoCo(), complete(6), 9))
    np.testing.assert_allclose(X.mean(axis=0), Y.mean(axis=0), atol=1e-14)


@pytest.mark.long
@pytest.mark.parametrize("nesterov", [True, False])
def test_the_bound_on_diloco_is_where_disagreement_begins_to_grow(nesterov):
    """K_{4,4} has the eigenvalue -0.6: with b = 0.9 the bound is 2 (1 + b) / (1 + 2 b) / 1.6, or 2 (1 + b) / 1.6."""
    bound = 2 * 1.9 / (2.8 if nesterov else 1.0) / 1.6
    with pytest.raises(ConfigurationError, match=rf"has to be below {bound:.3f} there"):
        DiLoCo(outer_learning_rate=bound + 1e-9, nesterov=nesterov).network(BIPARTITE)

    def spread(rate):
        models = random_models(BIPARTITE)
        recipe, trainer = DiLoCo(outer_learning_rate=rate, nesterov=nesterov), trainer_on(BIPARTITE, learning_rate=0.0)
        peers = {
            peer_id: recipe.make_peer(Seat(peer_id, BIPARTITE, model, LocalWork(1, 1, 400), Randomness.of_seed(0)))
            for peer_id, model in models.items()
        }
        simulator = Simulator(peers, trainer)
        simulator.run()
        return np.std(stacked(simulator), axis=0).max()

    assert spread(0.97 * bound) < 1e-3
    assert spread(1.03 * bound) > 1e3


def test_diloco_takes_a_changing_schedule_only_with_its_exact_mean():
    with pytest.raises(ConfigurationError, match=r"DiLoCo may diverge on the schedule BaseGraph, whose 1 gossip steps"):
        DiLoCo(schedule=BaseGraph()).network(ring(10))
    steps = BaseGraph().period(10)
    exact, complete_ = DiLoCo(schedule=BaseGraph(), gossip_steps=steps), run(DiLoCo(), complete(10), 6)
    np.testing.assert_allclose(stacked(run(exact, ring(10), 6)), stacked(complete_), atol=1e-13)
    DiLoCo(schedule=Static(lazy=True), outer_learning_rate=1.3).network(BIPARTITE)


def test_trackers_need_a_schedule_that_keeps_the_mean():
    with pytest.raises(ConfigurationError, match="EpidemicLocal does not keep the mean"):
        GradientTrackingGossip(EpidemicLocal(2))
