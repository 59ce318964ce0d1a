"""Random connected graphs for property tests."""

import networkx as nx
from hypothesis import strategies as st

from gossipfl.topology import canonical


@st.composite
def connected_graphs(draw: st.DrawFn, max_peers: int = 12) -> nx.Graph:
    """A canonical graph: a random tree, and any further links."""
    num_peers = draw(st.integers(1, max_peers))
    graph = nx.empty_graph(num_peers)
    for peer in range(1, num_peers):
        graph.add_edge(draw(st.integers(0, peer - 1)), peer)
    peer = st.integers(0, num_peers - 1)
    graph.add_edges_from((a, b) for a, b in draw(st.lists(st.tuples(peer, peer), max_size=20)) if a != b)
    return canonical(graph, "random")
