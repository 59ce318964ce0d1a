"""Topologies whose links go one way, from every door to every figure."""

import json
import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.errors import TopologyError
from gossipfl.topology import (
    all_neighbors,
    canonical,
    checked_matrix,
    diameter,
    from_file,
    from_generator,
    from_links,
    mixing_matrix,
    mixing_row,
    named,
    predicted_rounds,
    push_matrix,
    second_modulus,
    summarize,
)

TRIANGLE = [("a", "b"), ("b", "c"), ("c", "a")]


@st.composite
def strongly_connected_graphs(draw: st.DrawFn, max_peers: int = 12) -> nx.DiGraph:
    """A one-way ring in any order, and any further links."""
    num_peers = draw(st.integers(2, max_peers))
    graph = nx.empty_graph(num_peers, create_using=nx.DiGraph)
    nx.add_cycle(graph, draw(st.permutations(range(num_peers))))
    peer = st.integers(0, num_peers - 1)
    graph.add_edges_from((a, b) for a, b in draw(st.lists(st.tuples(peer, peer), max_size=30)) if a != b)
    return canonical(graph, "random")


def exponential(n: int) -> nx.DiGraph:
    """Peer i sends to i + 1, 2, 4, ... modulo n."""
    hops = [2**t for t in range((n - 1).bit_length())]
    return canonical(nx.DiGraph((i, (i + hop) % n) for i in range(n) for hop in hops), "exponential")


def test_one_way_links_keep_their_way_and_attributes():
    given_graph = nx.DiGraph([("b", "a", {"rate": 1}), ("c", "b"), ("a", "c"), ("a", "b", {"rate": 2})])
    graph = canonical(given_graph, "mine")
    assert isinstance(graph, nx.DiGraph)
    assert list(graph.nodes(data="position")) == [("b", 0), ("a", 1), ("c", 2)]
    assert list(graph.edges(data="rate")) == [("b", "a", 1), ("a", "b", 2), ("a", "c", None), ("c", "b", None)]
    assert graph.name == "mine"


@settings(deadline=None)
@given(strongly_connected_graphs())
def test_neighbors_of_both_kinds_are_in_the_order_of_positions(graph):
    again = canonical(graph, graph.name)
    position = dict(graph.nodes(data="position"))
    for peer_id in graph:
        for neighbors in (graph.succ[peer_id], graph.pred[peer_id], all_neighbors(graph, peer_id)):
            assert list(neighbors) == sorted(neighbors, key=position.__getitem__)
        assert set(all_neighbors(graph, peer_id)) == set(nx.all_neighbors(graph, peer_id))
        assert list(again[peer_id]) == list(graph[peer_id])


def test_all_neighbors_of_an_undirected_graph_are_its_neighbors():
    assert all_neighbors(named("ring"), "0") == ["1", "15"]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (nx.DiGraph([(0, 1)]), "not strongly connected: its links lead nowhere from peer '1' to peer '0'"),
        (nx.DiGraph([(1, 0), (0, 2), (2, 0)]), "nowhere from peer '0' to peer '1'.* all others: add links"),
        (nx.DiGraph([(0, 1), (1, 0), (1, 1)]), "links peer '1' to itself"),
        (nx.MultiDiGraph([("a", "b"), ("b", "a"), ("b", "a")]), "'b' and 'a' more than once. Links are one-way"),
    ],
)
def test_a_broken_rule_is_named(graph, message):
    with pytest.raises(TopologyError, match=message):
        canonical(graph, "bad")


def test_links_may_be_listed_as_one_way():
    graph = from_links(["a", "b", "c"], TRIANGLE, directed=True)
    assert list(graph.edges) == TRIANGLE
    assert list(from_links(["a", "b", "c"], TRIANGLE).edges) == [("a", "b"), ("a", "c"), ("b", "c")]
    with pytest.raises(TopologyError, match="more than once"):
        from_links(["a", "b"], [("a", "b"), ("b", "a"), ("a", "b")], directed=True)


def test_generators_make_one_way_links_where_they_can():
    assert list(from_generator("cycle_graph", {"n": 4}, directed=True)["0"]) == ["1"]
    random = from_generator("gnp_random_graph", {"n": 8, "p": 0.5}, 0, directed=True)
    assert random.is_directed()
    assert any(not random.has_edge(b, a) for a, b in random.edges)
    with pytest.raises(TopologyError, match="hypercube_graph cannot make a directed graph; choose another"):
        from_generator("hypercube_graph", {"n": 3}, directed=True)
    with pytest.raises(TopologyError, match=r"petersen_graph\(\) failed: Directed Graph not supported"):
        from_generator("petersen_graph", {}, directed=True)


@pytest.mark.parametrize("suffix", ["graphml", "json"])
def test_files_of_other_tools_say_whether_links_go_one_way(tmp_path, suffix):
    path = tmp_path / f"triangle.{suffix}"
    graph = nx.DiGraph(TRIANGLE)
    if suffix == "graphml":
        nx.write_graphml(graph, path)
    else:
        path.write_text(json.dumps(nx.node_link_data(graph, edges="edges")))
    assert list(from_file(path).edges) == TRIANGLE
    assert named(str(path)).is_directed()


def test_toml_files_say_whether_links_go_one_way(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('directed = true\npeers = ["a", "b", "c"]\nlinks = [["a", "b"], ["b", "c"], ["c", "a"]]\n')
    assert list(named(str(path)).edges) == TRIANGLE
    path.write_text('directed = true\ngenerator = "cycle_graph"\narguments = { n = 4 }\n')
    assert list(named(str(path))["3"]) == ["0"]
    path.write_text('directed = 1\ngenerator = "cycle_graph"\narguments = { n = 4 }\n')
    with pytest.raises(TopologyError, match="'directed' is true or false, got 1"):
        named(str(path))


def test_symmetric_mixing_is_refused_with_a_way_out():
    graph = named("directed-ring-chords")
    for call in (
        lambda: mixing_row(graph, "0"),
        lambda: mixing_matrix(graph),
        lambda: checked_matrix(graph, np.eye(16)),
    ):
        with pytest.raises(TopologyError, match=r"'directed-ring-chords' is directed.*push-sum \(sgp, gosgd\)"):
            call()


@settings(deadline=None)
@given(strongly_connected_graphs())
def test_a_push_shares_everything_out_along_the_links(graph):
    P = push_matrix(graph).toarray()
    np.testing.assert_allclose(P.sum(axis=0), 1, atol=1e-12)
    adjacency = nx.to_numpy_array(graph, weight=None).astype(bool)
    np.testing.assert_array_equal(P > 0, adjacency.T | np.eye(len(graph), dtype=bool))
    assert all(len(set(column[column > 0])) == 1 for column in P.T)


@pytest.mark.parametrize("n", [6, 8, 10, 16, 32, 96, 512])
def test_the_second_modulus_of_exponential_graphs(n):
    hops = (n - 1).bit_length()
    assert second_modulus(push_matrix(exponential(n))) == pytest.approx((hops - 1) / (hops + 1), abs=1e-10)


def test_the_second_modulus_of_other_graphs():
    assert second_modulus(push_matrix(exponential(25))) == pytest.approx(0.510861, abs=5e-7)
    ring = from_generator("cycle_graph", {"n": 12}, directed=True)
    assert second_modulus(push_matrix(ring)) == pytest.approx(math.cos(math.pi / 12), abs=1e-12)
    assert second_modulus(push_matrix(canonical(nx.empty_graph(1, create_using=nx.DiGraph), "one"))) == 0.0
    both_ways = canonical(nx.complete_graph(5, create_using=nx.DiGraph), "complete")
    assert second_modulus(push_matrix(both_ways)) == 0.0


def test_push_sum_agrees_at_the_predicted_speed():
    graph = named("directed-ring-chords")
    P = push_matrix(graph).toarray()
    x = np.random.default_rng(0).standard_normal((16, 3))
    value, mass, distances = x.copy(), np.ones((16, 1)), []
    for _ in range(120):
        value, mass = P @ value, P @ mass
        distances.append(np.linalg.norm(value / mass - x.mean(axis=0)))
    factor = (distances[-1] / distances[-61]) ** (1 / 60)
    assert factor == pytest.approx(second_modulus(push_matrix(graph)), rel=0.01)


@settings(deadline=None)
@given(strongly_connected_graphs())
def test_the_diameter_is_that_of_networkx(graph):
    assert diameter(graph) == nx.diameter(graph)


def test_the_diameter_of_large_graphs():
    assert diameter(from_generator("cycle_graph", {"n": 600}, directed=True)) == 599
    assert diameter(exponential(520)) == nx.diameter(exponential(520))


def test_a_summary_counts_links_by_their_way_and_degrees_of_sending():
    graph = named("directed-ring-chords")
    summary = summarize(graph)
    assert (summary.num_peers, summary.num_edges, summary.min_degree, summary.max_degree) == (16, 23, 1, 4)
    assert summary.mean_degree == 23 / 16
    assert summary.diameter == nx.diameter(graph)
    assert summary.rho == second_modulus(push_matrix(graph))
    assert summary.predicted_rounds == predicted_rounds(summary.rho)
