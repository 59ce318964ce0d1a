"""Who has to do with whom."""

import networkx as nx

from gossipfl.weights import PeerId


def all_neighbors(graph: nx.Graph, peer_id: PeerId) -> list[PeerId]:
    """Everybody whom a link joins with a peer, whichever way it goes, in order of position."""
    if not graph.is_directed():
        return list(graph[peer_id])
    return sorted({*graph.pred[peer_id], *graph.succ[peer_id]}, key=graph.nodes(data="position").__getitem__)
