import networkx as nx
import numpy as np
import pytest
from connected_graphs import connected_graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from gossipfl.errors import TopologyError
from gossipfl.topology import SCHEMES, canonical, checked_matrix, from_links, mixing_matrix, mixing_row

PATH = from_links(["a", "b", "c"], [("a", "b"), ("b", "c")], name="path")


def test_metropolis_hastings_by_hand():
    assert mixing_row(PATH, "a") == pytest.approx({"a": 2 / 3, "b": 1 / 3})
    assert mixing_row(PATH, "b") == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})
    star = canonical(nx.star_graph(3), "star")
    assert mixing_row(star, "1") == {"0": 0.25, "1": 0.75}


def test_max_degree_by_hand():
    star = canonical(nx.Graph([(0, 1), (0, 2), (0, 3), (3, 4)]), "g")
    assert mixing_row(star, "4", "max_degree") == {"3": 0.25, "4": 0.75}
    assert mixing_row(star, "3", "max_degree") == {"0": 0.25, "3": 0.5, "4": 0.25}


def test_two_peers_take_the_mean_and_one_peer_keeps_its_weights():
    pair = canonical(nx.path_graph(2), "pair")
    assert mixing_matrix(pair).toarray().tolist() == [[0.5, 0.5], [0.5, 0.5]]
    for scheme in SCHEMES:
        assert mixing_row(canonical(nx.empty_graph(1), "one"), "0", scheme) == {"0": 1.0}


def test_a_row_is_in_the_order_of_positions():
    graph = canonical(nx.cycle_graph(12), "ring")
    assert list(mixing_row(graph, "10")) == ["9", "10", "11"]
    assert list(mixing_row(graph, "0")) == ["0", "1", "11"]


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(deadline=None)
@given(graph=connected_graphs())
def test_a_mixing_matrix_is_symmetric_stochastic_and_sparse_as_the_graph(scheme, graph):
    W = mixing_matrix(graph, scheme)
    assert W.dtype == np.float64
    dense = W.toarray()
    np.testing.assert_array_equal(dense, dense.T)
    np.testing.assert_allclose(dense.sum(axis=0), 1, atol=1e-12)
    assert (dense.diagonal() > 0).all()
    links = nx.to_numpy_array(graph, weight=None).astype(bool)
    np.testing.assert_array_equal(dense > 0, links | np.eye(len(graph), dtype=bool))
    np.testing.assert_array_equal(checked_matrix(graph, W).toarray(), dense)


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(deadline=None)
@given(graph=connected_graphs())
def test_rows_are_those_of_the_matrix_to_the_bit(scheme, graph):
    W = mixing_matrix(graph, scheme)
    for position, peer_id in enumerate(graph):
        row = mixing_row(graph, peer_id, scheme)
        assert row == mixing_row(graph, peer_id, W)
        assert list(row) == list(mixing_row(graph, peer_id, W))
        assert list(row.values()) == [weight for weight in W.toarray()[position] if weight > 0]


@settings(deadline=None)
@given(graph=connected_graphs(), data=st.data())
def test_mixing_keeps_the_mean(graph, data):
    x = np.array(data.draw(st.lists(st.floats(-1e6, 1e6), min_size=len(graph), max_size=len(graph))))
    mixed = mixing_matrix(graph) @ x
    assert mixed.mean() == pytest.approx(x.mean(), abs=1e-8)
    assert x.min() - 1e-8 <= mixed.min()
    assert mixed.max() <= x.max() + 1e-8


def test_a_given_matrix_is_used_as_it_is():
    lazy = (np.eye(3) + mixing_matrix(PATH).toarray()) / 2
    W = checked_matrix(PATH, lazy)
    assert isinstance(W, sparse.csr_array)
    assert mixing_row(PATH, "a", W) == pytest.approx({"a": 5 / 6, "b": 1 / 6})
    np.testing.assert_array_equal(mixing_matrix(PATH, W).toarray(), lazy)


def test_the_identity_means_that_nobody_mixes():
    identity = checked_matrix(PATH, np.eye(3))
    assert mixing_row(PATH, "b", identity) == {"a": 0.0, "b": 1.0, "c": 0.0}


def test_checking_leaves_the_given_matrix_alone():
    given_matrix = sparse.csr_array(([1.0, 0.0, 1.0, 1.0], [0, 1, 1, 2], [0, 2, 3, 4]), shape=(3, 3))
    assert checked_matrix(PATH, given_matrix).nnz == 3
    assert given_matrix.nnz == 4


THIRD = 1 / 3


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(2), r"shape \(2, 2\), but topology 'path' has 3 peers"),
        (np.ones((3, 2)), r"shape \(3, 2\)"),
        ([1.0, 0.0, 0.0], r"shape \(3,\)"),
        ([["x", "y", "z"]] * 3, "not a matrix of numbers"),
        ([[1, 0, 0], [0, np.nan, 0], [0, 0, 1]], "weight nan to 'b' at 'b': weights are finite"),
        ([[1.5, -0.5, 0], [-0.5, 1.5, 0], [0, 0, 1]], "weight -0.5 to 'b' at 'a'.*nonnegative"),
        ([[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]], "weight 0.5 to 'c' at 'a': they are not linked"),
        ([[0.5, 0.5, 0], [0.4, 0.6, 0], [0, 0, 1]], "weight 0.5 to 'b' at 'a': the other way it is 0.4"),
        ([[0.5, 0.4, 0], [0.4, 0.6, 0], [0, 0, 1]], "sums to 0.9 in the row of 'a'"),
        ([[2 / 3, THIRD, 0], [THIRD, THIRD, THIRD], [0, THIRD, 2 / 3 + 1e-6]], "in the row of 'c'"),
    ],
)
def test_a_bad_matrix_is_refused_at_its_first_offender(matrix, message):
    with pytest.raises(TopologyError, match=message):
        checked_matrix(PATH, matrix)


def test_unknown_peers_and_schemes_are_named():
    with pytest.raises(TopologyError, match=r"no peer 'aa' in topology 'path'. Did you mean 'a'"):
        mixing_row(PATH, "aa")
    for call in (lambda: mixing_row(PATH, "a", "metropolis"), lambda: mixing_matrix(PATH, "metropolis")):
        with pytest.raises(TopologyError, match=r"no mixing scheme 'metropolis'. Did you mean 'metropolis_hastings'"):
            call()


def test_a_matrix_of_another_graph_is_refused():
    other = mixing_matrix(from_links(["a", "b", "c"], [("a", "c"), ("c", "b")]))
    with pytest.raises(TopologyError, match=r"no neighbors of 'a'.*another graph"):
        mixing_row(PATH, "a", other)
    with pytest.raises(TopologyError, match="shape"):
        mixing_row(PATH, "a", sparse.csr_array(np.eye(4)))
