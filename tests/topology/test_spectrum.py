"""Golden spectral values with Metropolis-Hastings weights, and how mixing rounds follow from them."""

import math

import networkx as nx
import numpy as np
import pytest
from connected_graphs import connected_graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse import linalg

from gossipfl.errors import ConfigurationError, TopologyError
from gossipfl.topology import (
    SCHEMES,
    canonical,
    from_generator,
    mixing_matrix,
    predicted_rounds,
    second_eigenvalue,
    smallest_eigenvalue,
    spectral_gap,
)


def rho(graph: nx.Graph) -> float:
    return second_eigenvalue(mixing_matrix(canonical(graph, "test")))


def ring_rho(n: int) -> float:
    return max(abs(1 / 3 + 2 / 3 * math.cos(2 * math.pi * k / n)) for k in range(1, n))


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (5, 0.539345),
        (8, 0.804738),
        (10, 0.872678),
        (16, 0.949253),
        (25, 0.979055),
        (32, 0.987190),
        (96, 0.998573),
        (100, 0.998684),
    ],
)
def test_ring(n, expected):
    assert rho(nx.cycle_graph(n)) == pytest.approx(expected, abs=5e-7)
    assert rho(nx.cycle_graph(n)) == pytest.approx(ring_rho(n), abs=1e-12)


@pytest.mark.parametrize(("side", "expected"), [(3, 0.4), (4, 0.6), (5, 0.723607), (8, 0.882843), (10, 0.923607)])
def test_torus(side, expected):
    assert rho(nx.grid_2d_graph(side, side, periodic=True)) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("dimension", [2, 3, 4, 5, 6])
def test_hypercube(dimension):
    assert rho(nx.hypercube_graph(dimension)) == pytest.approx((dimension - 1) / (dimension + 1), abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 16, 100])
def test_complete(n):
    assert rho(nx.complete_graph(n)) == 0.0


@pytest.mark.parametrize("n", [3, 10, 16, 100, 501, 1000])
def test_star(n):
    assert rho(nx.star_graph(n - 1)) == pytest.approx(1 - 1 / n, abs=1e-10)


@pytest.mark.parametrize(("degree", "low", "high"), [(3, 0.941, 0.951), (4, 0.864, 0.877), (7, 0.686, 0.725)])
def test_random_regular(degree, low, high):
    for seed in range(5):
        value = rho(from_generator("random_regular_graph", {"d": degree, "n": 96}, seed))
        assert low - 5e-4 <= value <= high + 5e-4


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (nx.cycle_graph(600), ring_rho(600)),
        (nx.path_graph(550), ring_rho(1100)),
        (nx.complete_bipartite_graph(251, 251), 250 / 252),
        (nx.grid_2d_graph(24, 24, periodic=True), 0.6 + 0.4 * math.cos(2 * math.pi / 24)),
    ],
)
def test_large_graphs_agree_with_closed_forms(graph, expected):
    assert len(graph) > 500
    assert rho(graph) == pytest.approx(expected, abs=1e-10)


def test_exact_averaging_among_many_peers():
    assert second_eigenvalue(sparse.csr_array(np.full((501, 501), 1 / 501))) == 0.0


def test_large_graphs_repeat_to_the_bit():
    W = mixing_matrix(from_generator("random_regular_graph", {"d": 4, "n": 600}, 1))
    assert second_eigenvalue(W) == second_eigenvalue(W)


def test_when_lanczos_does_not_converge_the_dense_solver_decides(monkeypatch):
    def give_up(*args, **keywords):
        raise linalg.ArpackNoConvergence("no convergence", np.empty(0), np.empty((0, 0)))

    monkeypatch.setattr(linalg, "eigsh", give_up)
    assert rho(nx.cycle_graph(510)) == pytest.approx(ring_rho(510), abs=1e-12)


@pytest.mark.parametrize("n", [4, 600])
def test_peers_that_never_mix(n):
    identity = sparse.csr_array(sparse.eye_array(n))
    assert second_eigenvalue(identity) == pytest.approx(1.0)
    assert spectral_gap(identity) == pytest.approx(0.0, abs=1e-12)
    assert predicted_rounds(second_eigenvalue(identity)) is None


def test_the_largest_absolute_value_counts():
    swap = sparse.csr_array(np.array([[0.1, 0.9], [0.9, 0.1]]))  # eigenvalues 1 and -0.8
    assert second_eigenvalue(swap) == pytest.approx(0.8)
    assert spectral_gap(swap) == pytest.approx(0.2)


def test_an_asymmetric_matrix_is_refused():
    with pytest.raises(TopologyError, match="not symmetric"):
        second_eigenvalue(sparse.csr_array(np.array([[0.5, 0.5], [0.2, 0.8]])))


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(deadline=None)
@given(graph=connected_graphs(), seed=st.integers(0, 2**32 - 1))
def test_every_round_contracts_the_consensus_distance_by_rho_at_least(scheme, graph, seed):
    W = mixing_matrix(graph, scheme)
    factor = second_eigenvalue(W)
    assert factor == pytest.approx(np.linalg.norm(W.toarray() - 1 / len(graph), 2), abs=1e-10)
    assert factor < 1
    x = np.random.default_rng(seed).standard_normal((len(graph), 3))
    for _ in range(3):
        before = np.linalg.norm(x - x.mean(axis=0))
        x = W @ x
        assert np.linalg.norm(x - x.mean(axis=0)) <= factor * before + 1e-12


@settings(deadline=None)
@given(graph=connected_graphs())
def test_the_predicted_rounds_are_enough_for_the_slowest_start(graph):
    W = mixing_matrix(graph)
    values, vectors = np.linalg.eigh(W.toarray() - 1 / len(graph))
    x = slowest = vectors[:, np.argmax(np.abs(values))]
    rounds = predicted_rounds(second_eigenvalue(W), 0.05)
    for _ in range(rounds):
        x = W @ x
    start = np.linalg.norm(slowest - slowest.mean())
    assert np.linalg.norm(x - x.mean()) <= 0.05 * start * (1 + 1e-6) + 1e-12


@pytest.mark.parametrize(
    ("value", "factor", "expected"),
    [
        (0.0, 1e-3, 1),
        (1e-15, 1e-3, 1),
        (1e-3, 1e-3, 1),
        (0.1, 1e-3, 3),
        (0.5, 1e-3, 10),
        (0.5, 0.5, 1),
        (0.5, 0.25, 2),
        (0.5, 0.9, 1),
        (0.949253, 1e-3, 133),
        (1.0, 1e-3, None),
        (1 - 1e-15, 1e-3, None),
        (1.5, 1e-3, None),
    ],
)
def test_predicted_rounds(value, factor, expected):
    assert predicted_rounds(value, factor) == expected


@pytest.mark.parametrize(("value", "factor"), [(0.5, 0), (0.5, 1), (0.5, -1), (-0.1, 0.5), (math.nan, 0.5)])
def test_impossible_predictions_are_refused(value, factor):
    with pytest.raises(ConfigurationError, match="must be"):
        predicted_rounds(value, factor)


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (nx.cycle_graph(16), -1 / 3),
        (nx.cycle_graph(600), -1 / 3),
        (nx.complete_bipartite_graph(4, 4), -0.6),
        (nx.complete_graph(5), 0.0),
        (nx.empty_graph(1), 1.0),
    ],
    ids=["ring of 16", "ring of 600", "K44", "complete", "alone"],
)
def test_the_smallest_eigenvalue(graph, expected):
    """D2 needs it above -1/3; even rings sit on the border."""
    W = mixing_matrix(canonical(graph, "test"))
    assert smallest_eigenvalue(W) == pytest.approx(expected, abs=1e-8)
