"""Schedules reckon with positions 0, ..., n-1; here these become links between peers, and meetings of peers."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import networkx as nx

from gossipfl.schedules.schedule import Meeting
from gossipfl.weights import PeerId


def linked(graph: nx.Graph, pairs: Iterable[tuple[int, int]]) -> nx.Graph:
    """The peers of `graph` with links between these pairs of positions only; (i, j) with i < j, sorted."""
    links = nx.Graph(**graph.graph)
    links.add_nodes_from(graph.nodes(data=True))
    peers = tuple(graph)
    links.add_edges_from((peers[i], peers[j]) for i, j in pairs)
    return links


# One tuple for all peers of a process: 10,000 of them with a copy each would hold 800 MB. Graphs go by identity, and
# are not changed once they are in canonical form.
@lru_cache(maxsize=8)
def peers_of(links: nx.Graph) -> tuple[PeerId, ...]:
    """The peers by position."""
    return tuple(links)


def meeting(peers: tuple[PeerId, ...], row: Mapping[int, float], receivers: Iterable[int]) -> Meeting:
    """The meeting in which these positions have these shares."""
    return Meeting({peers[other]: row[other] for other in sorted(row)}, tuple(peers[other] for other in receivers))
