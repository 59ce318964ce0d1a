"""The tree along which summaries come together and totals go back: the same for everybody who knows the graph.

Its root is a center of the graph: a peer from which the farthest other one is as near as can be. Summaries take
shortest ways to it, totals shortest ways from it. Where links work both ways, these are the same ways; where they go
one way, there are two trees.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import networkx as nx

from gossipfl.weights import PeerId

_MOST_LOOKS = 8
"""Peers whose distances are measured, of which the best becomes the root: in a graph where all look alike (a ring, a
torus) it would take every peer to show that none is better than the first."""


class Place(NamedTuple):
    """One peer's place in the tree.

    Its own summary and those of the peers `below`, in node order, become one, for the peer `above` it; totals come from
    its `source` and go on to its `receivers`. The root has neither `above` nor `source`. Below it, a summary makes
    `height` steps at most on its way here; `way` is how many it takes, at most, until all summaries are at the root,
    and the total is here.
    """

    peer_id: PeerId
    above: PeerId | None
    below: tuple[PeerId, ...]
    source: PeerId | None
    receivers: tuple[PeerId, ...]
    height: int
    way: int
    positions: Mapping[PeerId, int]
    """Everybody's position in node order."""

    @property
    def neighbors(self) -> frozenset[PeerId]:
        """Those whom it talks with."""
        return frozenset((*self.below, *self.receivers, *(one for one in (self.above, self.source) if one is not None)))


@dataclass(frozen=True, slots=True)
class RelayTree:
    """The places of all peers of a graph, in node order, and which of them is the `root`."""

    root: PeerId
    places: Mapping[PeerId, Place]

    @classmethod
    def of(cls, graph: nx.Graph) -> "RelayTree":
        """The tree of a graph in canonical form.

        >>> from gossipfl.topology import named
        >>> tree = RelayTree.of(named("line", {"n": 5}))
        >>> tree.root, tree.places["1"].above, tree.places["1"].below, tree.depth
        ('2', '2', ('0',), 2)
        """
        root = _center(graph)
        outward = _found(graph.adj.__getitem__, root, len(graph))
        inward = _found(graph.pred.__getitem__, root, len(graph)) if graph.is_directed() else outward
        positions = {peer_id: position for position, peer_id in enumerate(graph)}
        below, receivers = _children(inward, positions), _children(outward, positions)
        heights = dict.fromkeys(positions, 0)
        for peer_id, (above, _) in reversed(inward.items()):  # the farthest first
            if above is not None:
                heights[above] = max(heights[above], heights[peer_id] + 1)
        return cls(
            root,
            {
                peer_id: Place(
                    peer_id,
                    inward[peer_id][0],
                    tuple(below.get(peer_id, ())),
                    outward[peer_id][0],
                    tuple(receivers.get(peer_id, ())),
                    heights[peer_id],
                    heights[root] + outward[peer_id][1],
                    positions,
                )
                for peer_id in positions
            },
        )

    @property
    def depth(self) -> int:
        """The links on the longest of the ways to the root."""
        return self.places[self.root].height


_Found = Mapping[PeerId, tuple[PeerId | None, int]]
"""Peers in the order in which they are found from one: from whom, and how far away."""

_Neighbors = Callable[[PeerId], Iterable[PeerId]]


def _found(neighbors: _Neighbors, start: PeerId, num_peers: int) -> dict[PeerId, tuple[PeerId | None, int]]:
    """Everybody, in the order of a search breadth first."""
    found: dict[PeerId, tuple[PeerId | None, int]] = {start: (None, 0)}
    waiting = [start]
    for peer_id in waiting:  # grows meanwhile
        if len(found) == num_peers:  # of a complete graph, not all links are looked at
            break
        distance = found[peer_id][1] + 1
        for neighbor in neighbors(peer_id):
            if neighbor not in found:
                found[neighbor] = peer_id, distance
                waiting.append(neighbor)
    return found


def _children(found: _Found, positions: Mapping[PeerId, int]) -> Mapping[PeerId, list[PeerId]]:
    children: dict[PeerId, list[PeerId]] = {}
    for peer_id in positions:
        parent = found[peer_id][0]
        if parent is not None:
            children.setdefault(parent, []).append(peer_id)
    return children


def _center(graph: nx.Graph) -> PeerId:
    """A peer for which the longest ways from it and to it, together, are as short as can be, the first of several.

    A peer's longest ways are no shorter than those to and from a few others. When these few say of everybody that it is
    no better than the best of them, that is a center (Takes and Kosters, 2013). Else it is one as far as is known.
    """
    ways: list[_Neighbors] = [graph.adj.__getitem__]
    if graph.is_directed():
        ways.append(graph.pred.__getitem__)
    at_least = [dict.fromkeys(graph, 0) for _ in ways]  # by direction: the longest way of each peer, as far as is known
    looked: dict[PeerId, int] = {}

    def look(peer_id: PeerId) -> PeerId:
        """Measure a peer's longest ways; gives the peer at the end of one."""
        found = [_found(neighbors, peer_id, len(graph)) for neighbors in ways]
        for known, there in zip(reversed(at_least), found, strict=True):  # the way from here is the other's way to here
            for other, (_, distance) in there.items():
                known[other] = max(known[other], distance)
        farthest = [next(reversed(there)) for there in found]
        looked[peer_id] = sum(there[end][1] for there, end in zip(found, farthest, strict=True))
        return farthest[0]

    candidate: PeerId | None = next(iter(graph))
    while candidate is not None and len(looked) < _MOST_LOOKS:
        farthest = look(candidate)
        if farthest not in looked:
            look(farthest)
        sums = {peer_id: sum(known[peer_id] for known in at_least) for peer_id in graph if peer_id not in looked}
        candidate = min(sums, key=sums.__getitem__, default=None)
        if candidate is not None and sums[candidate] >= min(looked.values()):
            break
    return min(looked, key=lambda peer_id: (looked[peer_id], graph.nodes[peer_id]["position"]))
