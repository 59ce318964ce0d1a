"""A complete graph without its links is, for whoever asks, the one with them."""

import pickle
import tracemalloc

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.schedules import EpidemicLocal, EpidemicOracle
from gossipfl.topology import all_neighbors, canonical, complete, summarize


@settings(max_examples=25, deadline=None)
@given(num_peers=st.integers(1, 12))
def test_it_is_the_graph_with_all_links(num_peers):
    graph = canonical(nx.path_graph(num_peers), "some")
    links, full = complete(graph), canonical(nx.complete_graph(num_peers), "some")
    for one in (links, links.copy(), pickle.loads(pickle.dumps(links)), canonical(links, "some")):
        assert dict(one.nodes(data=True)) == dict(full.nodes(data=True))
        assert list(one.edges(data=True)) == list(full.edges(data=True))
        assert one.graph == full.graph
        assert dict(one.degree) == dict(full.degree)
        assert one.number_of_edges() == full.number_of_edges()
        assert [all_neighbors(one, peer_id) for peer_id in one] == [all_neighbors(full, peer_id) for peer_id in full]
    assert not links.has_edge("0", "0")
    assert not links.has_edge("0", "nobody")
    assert summarize(links) == summarize(full)
    directed = links.to_directed(as_view=True)
    assert all(list(directed.successors(p)) == list(directed.predecessors(p)) == list(full[p]) for p in full)
    assert links.to_directed().number_of_edges() == num_peers * (num_peers - 1)


def test_it_cannot_be_changed_but_its_copy_can():
    links = complete(canonical(nx.path_graph(3), "some"))
    for change in (lambda: links.remove_edge("0", "1"), lambda: links.add_edge("0", "3")):
        with pytest.raises(nx.NetworkXError, match="Frozen"):
            change()
    copy = links.copy()
    copy.remove_edge("0", "1")
    assert list(links["0"]) == ["1", "2"]
    assert list(copy["0"]) == ["2"]


@pytest.mark.parametrize("schedule", [EpidemicOracle(4), EpidemicLocal(4)])
def test_who_meets_whom_takes_memory_for_peers_not_for_pairs(schedule):
    """At 4,000 peers, the links are 8 million, of 70 bytes and more each."""
    graph = canonical(nx.cycle_graph(4_000), "ring")
    tracemalloc.start()
    links = schedule.links(graph)
    for step in range(3):
        schedule.meetings(links, "7", 0)(step)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000 * 1_000
