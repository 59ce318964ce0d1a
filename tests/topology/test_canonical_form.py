import networkx as nx
import pytest
from connected_graphs import connected_graphs
from hypothesis import given, settings

from gossipfl.errors import ConfigurationError, TopologyError
from gossipfl.topology import canonical


def test_labels_become_text_and_positions_keep_the_order_of_nodes():
    graph = canonical(nx.cycle_graph(12), "ring")
    assert list(graph) == [str(i) for i in range(12)]
    assert [position for _, position in graph.nodes(data="position")] == list(range(12))
    assert graph.name == "ring"


def test_order_is_that_of_nodes_and_never_that_of_names():
    graph = canonical(nx.Graph([("10", "2"), ("2", "a"), ("10", "a")]), "three")
    assert list(graph) == ["10", "2", "a"]
    assert list(graph["a"]) == ["10", "2"]


def test_neighbors_are_in_the_order_of_positions():
    graph = nx.empty_graph(6)
    graph.add_edges_from([(3, 5), (3, 0), (4, 3), (1, 3), (2, 1)])
    assert list(canonical(graph, "g")["3"]) == ["0", "1", "4", "5"]


def test_a_graph_of_tuples_is_labelled_by_position():
    graph = canonical(nx.grid_2d_graph(2, 2), "grid")
    assert list(graph) == ["0", "1", "2", "3"]
    assert set(graph.edges) == {("0", "1"), ("0", "2"), ("1", "3"), ("2", "3")}


def test_attributes_are_kept_and_the_given_graph_is_left_alone():
    graph = nx.Graph()
    graph.add_node("a", address="https://a.example.org", position="wrong")
    graph.add_edge("a", "b", rate=5)
    result = canonical(graph, "pair")
    assert result.nodes["a"] == {"address": "https://a.example.org", "position": 0}
    assert result.edges["a", "b"] == {"rate": 5}
    assert graph.nodes["a"]["position"] == "wrong"
    result.nodes["a"]["address"] = "elsewhere"
    assert graph.nodes["a"]["address"] == "https://a.example.org"


def test_one_peer_is_a_topology():
    assert list(canonical(nx.empty_graph(1), "alone")) == ["0"]


def test_a_multigraph_without_repeated_links_is_accepted():
    graph = canonical(nx.MultiGraph([("a", "b"), ("b", "c")]), "path")
    assert not graph.is_multigraph()
    assert list(graph.edges) == [("a", "b"), ("b", "c")]


@settings(deadline=None)
@given(connected_graphs())
def test_a_canonical_graph_comes_back_equal(graph):
    again = canonical(graph, graph.name)
    assert list(again.nodes(data=True)) == list(graph.nodes(data=True))
    assert [list(again[peer_id]) for peer_id in again] == [list(graph[peer_id]) for peer_id in graph]


@settings(deadline=None)
@given(connected_graphs())
def test_neighbors_and_positions_agree_in_any_graph(graph):
    for peer_id in graph:
        positions = [graph.nodes[neighbor]["position"] for neighbor in graph[peer_id]]
        assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (nx.empty_graph(0), "no peers"),
        (nx.Graph([(0, 1), (1, 1)]), "links peer '1' to itself"),
        (nx.MultiGraph([("a", "b"), ("b", "a")]), "'a' and 'b' more than once"),
        (nx.Graph([(1, "1"), (1, 2)]), "two peers called '1'"),
        (nx.Graph([("a", "b c")]), "called 'b c'"),
        (nx.Graph([("a", "")]), "called ''"),
        (nx.Graph([("a", "b" * 65)]), "1 to 64 characters"),
        (nx.Graph([("a", "b\n")]), "called 'b\\\\n'"),
        (nx.Graph([(0, 1), (2, 3)]), "not connected: peers '0' and '2' cannot reach each other.*one component"),
    ],
)
def test_a_broken_rule_is_named(graph, message):
    with pytest.raises(TopologyError, match=message):
        canonical(graph, "bad")


def test_a_topology_error_is_a_configuration_error():
    assert issubclass(TopologyError, ConfigurationError)
