"""The neighbors of a peer."""

from collections.abc import Container, Mapping
from dataclasses import dataclass

import networkx as nx

from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The peers that one may send to, and those that it may hear from, each with its position in node order."""

    receivers: Mapping[PeerId, int]
    senders: Mapping[PeerId, int]

    @classmethod
    def of(cls, graph: nx.Graph, peer_id: PeerId) -> "Neighbors":
        """The neighbors that a peer has in a graph."""
        positions = graph.nodes(data="position")
        if not graph.is_directed():
            both = {other: positions[other] for other in graph[peer_id]}
            return cls(both, both)
        receivers, senders = graph.succ[peer_id], graph.pred[peer_id]
        return cls({one: positions[one] for one in receivers}, {one: positions[one] for one in senders})

    def without(self, gone: Container[PeerId]) -> "Neighbors":
        """The others than those of `gone`."""
        parts = (self.receivers, self.senders)
        return Neighbors(*({one: position for one, position in part.items() if one not in gone} for part in parts))

    def __contains__(self, peer_id: PeerId) -> bool:
        return peer_id in self.receivers or peer_id in self.senders


def all_neighbors(graph: nx.Graph, peer_id: PeerId) -> list[PeerId]:
    """Everybody whom a link joins with a peer, whichever way it goes, in order of position."""
    if not graph.is_directed():
        return list(graph[peer_id])
    return sorted({*graph.pred[peer_id], *graph.succ[peer_id]}, key=graph.nodes(data="position").__getitem__)
