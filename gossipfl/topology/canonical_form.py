"""The one form of a topology that everything else relies on.

A topology is a plain `networkx.Graph`, or a `networkx.DiGraph` where links go one way, and nothing more. In canonical
form

* every node is a peer id: a string of 1 to 64 characters from A-Z a-z 0-9 . _ -
* the order of peers is the order of the nodes, written down as the node attribute `position` (0 to n-1) and never
  the order of their names ("10" < "2"); the neighbors of a peer (predecessors and successors, where links go one
  way) are in that order too
* there is at least one peer, what it knows can reach every other one along the links, and there are no self-loops and
  no parallel links; two links of opposite directions are not parallel.
"""

import re
from collections.abc import Hashable, Set

import networkx as nx

from gossipfl.errors import TopologyError
from gossipfl.weights import PeerId

_PEER_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def canonical(graph: nx.Graph, name: str) -> nx.Graph:
    """A copy of `graph` in canonical form, called `name`; attributes of nodes and links are kept.

    Labels become strings, except that a graph whose labels are all tuples (the lattices of networkx) is labelled by
    position. A canonical graph comes back equal.

    Raises TopologyError naming the first peers that break a rule of the form.
    """
    labels = _peer_ids(graph, name)
    position = {node: index for index, node in enumerate(graph)}
    ends = ((position[a], position[b], attributes) for a, b, attributes in graph.edges(data=True))
    if not graph.is_directed():
        ends = ((min(a, b), max(a, b), attributes) for a, b, attributes in ends)
    # Adding the links by position leaves the neighbors of every peer in the order of positions.
    links = sorted(ends, key=lambda link: link[:2])
    peers = list(labels.values())
    result = nx.DiGraph(name=name) if graph.is_directed() else nx.Graph(name=name)
    for index, (node, peer_id) in enumerate(labels.items()):
        result.add_node(peer_id)
        result.nodes[peer_id].update(graph.nodes[node], position=index)
    for a, b, attributes in links:
        if a == b:
            raise TopologyError(
                f"Topology {name!r} links peer {peers[a]!r} to itself. A peer always keeps a share of its own weights: "
                "remove the self-loop."
            )
        if result.has_edge(peers[a], peers[b]):
            raise TopologyError(
                f"Topology {name!r} links peers {peers[a]!r} and {peers[b]!r} more than once. Links are "
                f"{'one-way' if graph.is_directed() else 'undirected'}: list each one once."
            )
        result.add_edge(peers[a], peers[b])
        result.edges[peers[a], peers[b]].update(attributes)
    _check_connected(result, name)
    return result


def _peer_ids(graph: nx.Graph, name: str) -> dict[Hashable, PeerId]:
    """The peer id of every node, in node order."""
    if len(graph) == 0:
        raise TopologyError(f"Topology {name!r} has no peers; it needs at least one.")
    by_position = all(isinstance(node, tuple) for node in graph)
    node_of: dict[PeerId, Hashable] = {}
    for index, node in enumerate(graph):
        peer_id = str(index) if by_position else str(node)
        if not _PEER_NAME.fullmatch(peer_id):
            raise TopologyError(
                f"Topology {name!r} has a peer called {peer_id!r}. The name of a peer has 1 to 64 characters from "
                "A-Z, a-z, 0-9, '.', '_' and '-': rename it."
            )
        if peer_id in node_of:
            raise TopologyError(
                f"Topology {name!r} has two peers called {peer_id!r} (labels {node_of[peer_id]!r} and {node!r}). "
                "Names of peers are text: rename one."
            )
        node_of[peer_id] = node
    return {node: peer_id for peer_id, node in node_of.items()}


def _check_connected(graph: nx.Graph, name: str) -> None:
    first = next(iter(graph))
    unreached = _first_other(graph, first, nx.descendants(graph, first))
    if not graph.is_directed():
        if unreached is not None:
            raise TopologyError(
                f"Topology {name!r} is not connected: peers {first!r} and {unreached!r} cannot reach each other. "
                "Gossip needs one component: add links, change the seed of a random graph, or choose a generator whose "
                "graphs are always connected."
            )
        return
    not_reaching = _first_other(graph, first, nx.ancestors(graph, first))
    if unreached is not None or not_reaching is not None:
        start, end = (not_reaching, first) if unreached is None else (first, unreached)
        raise TopologyError(
            f"Topology {name!r} is not strongly connected: its links lead nowhere from peer {start!r} to peer {end!r}. "
            "What one peer learns must reach all others: add links, or let them work both ways."
        )


def _first_other(graph: nx.Graph, peer_id: PeerId, those: Set[PeerId]) -> PeerId | None:
    """The first peer in node order that is neither this one nor among those."""
    return next((other for other in graph if other != peer_id and other not in those), None)
