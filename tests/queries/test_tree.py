"""The tree of a graph: shortest ways to and from a center."""

import networkx as nx
import pytest
from hypothesis import given, settings
from relaying import graphs

from gossipfl.queries import RelayTree
from gossipfl.topology import canonical, complete, named


@settings(max_examples=60)
@given(graphs(most=14))
def test_ways_are_links_of_the_graph_and_as_short_as_can_be(graph):
    tree = RelayTree.of(graph)
    assert [*tree.places] == [*graph]
    there, back = nx.shortest_path_length(graph, target=tree.root), nx.shortest_path_length(graph, source=tree.root)
    for peer_id, place in tree.places.items():
        assert (place.peer_id, place.above is None, place.source is None) == (peer_id, *[peer_id == tree.root] * 2)
        if place.above is not None:
            assert graph.has_edge(peer_id, place.above)
            assert graph.has_edge(place.source, peer_id)
            assert there[place.above] == there[peer_id] - 1
            assert back[place.source] == back[peer_id] - 1
            assert peer_id in tree.places[place.above].below
            assert peer_id in tree.places[place.source].receivers
        assert [*place.below] == sorted(place.below, key=place.positions.__getitem__)
        assert place.height == max((tree.places[one].height + 1 for one in place.below), default=0)
        assert place.way == max(there.values()) + back[peer_id]
    assert sum(len(place.below) for place in tree.places.values()) == len(graph) - 1
    assert sum(len(place.receivers) for place in tree.places.values()) == len(graph) - 1


@settings(max_examples=60)
@given(graphs(most=14))
def test_the_root_is_a_center(graph):
    def longest(peer_id):
        both = nx.shortest_path_length(graph, source=peer_id), nx.shortest_path_length(graph, target=peer_id)
        return sum(max(lengths.values()) for lengths in both)

    # In a graph of so few, eight looks find one that is a center or, where all look alike, no worse by more than one.
    assert longest(RelayTree.of(graph).root) <= min(longest(peer_id) for peer_id in graph) + 2


@pytest.mark.parametrize(
    ("graph", "root", "depth"),
    [
        (named("line", {"n": 101}), "50", 50),
        (canonical(nx.grid_2d_graph(9, 9), "grid"), "40", 8),
        (canonical(nx.balanced_tree(2, 6), "tree"), "0", 6),
        (named("star"), "0", 1),
        (complete(canonical(nx.path_graph(5000), "complete")), "0", 1),
        (canonical(nx.path_graph(1), "alone"), "0", 0),
    ],
    ids=lambda one: one.name if isinstance(one, nx.Graph) else "",
)
def test_known_centers(graph, root, depth):
    tree = RelayTree.of(graph)
    assert (tree.root, tree.depth) == (root, depth)
