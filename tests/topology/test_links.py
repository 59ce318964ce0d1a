import pytest

from gossipfl.errors import TopologyError
from gossipfl.topology import from_links


def test_peers_keep_their_order_and_links_work_both_ways():
    graph = from_links(["c", "a", "b"], [("a", "b"), ("b", "c")])
    assert list(graph) == ["c", "a", "b"]
    assert list(graph["b"]) == ["c", "a"]
    assert graph.has_edge("c", "b")


def test_a_mapping_carries_attributes():
    graph = from_links({"a": {"address": "https://a.example.org"}, "b": {}}, [("a", "b")], name="pair")
    assert graph.nodes["a"]["address"] == "https://a.example.org"
    assert graph.nodes["b"] == {"position": 1}
    assert graph.name == "pair"


@pytest.mark.parametrize(
    ("peers", "links", "message"),
    [
        (["berlin", "cairo"], [("berlin", "cario")], "there is no peer 'cario'. Did you mean 'cairo'"),
        (["a", "b"], [("a", "b"), ("b", "a")], "'a' and 'b' more than once"),
        (["a", "b"], [("a", "b"), ("b", "b")], "links peer 'b' to itself"),
        (["a", "b", "a"], [("a", "b")], "lists peer 'a' twice"),
        (["a", "b", "c"], [("a", "b")], "not connected: peers 'a' and 'c'"),
        ([], [], "no peers"),
    ],
)
def test_errors_name_the_peers(peers, links, message):
    with pytest.raises(TopologyError, match=message):
        from_links(peers, links)
