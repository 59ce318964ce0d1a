"""Topologies written out: peers and the links between them."""

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx

from gossipfl.errors import TopologyError
from gossipfl.names.spelling import did_you_mean
from gossipfl.topology.canonical_form import canonical
from gossipfl.weights import PeerId


def from_links(
    peers: Sequence[PeerId] | Mapping[PeerId, Mapping[str, Any]],
    links: Sequence[tuple[PeerId, PeerId]],
    *,
    name: str = "links",
    directed: bool = False,
) -> nx.Graph:
    """The canonical graph of explicit peers, in the order given, and links, each listed once; `directed`: a link goes
    from its first peer to its second only.

    A mapping of peers also carries attributes of each node, such as its `address`. `name` is what errors call the
    topology.

    Raises TopologyError for a peer listed twice, a link to an unknown peer, and a graph that breaks a rule of
    `canonical`.

    >>> list(from_links(["amsterdam", "berlin"], [("amsterdam", "berlin")]))
    ['amsterdam', 'berlin']
    """
    attributes = peers if isinstance(peers, Mapping) else {}
    graph = nx.MultiDiGraph() if directed else nx.MultiGraph()  # keeps repeated links, for `canonical` to refuse
    for peer_id in peers:
        if peer_id in graph:
            raise TopologyError(f"Topology {name!r} lists peer {peer_id!r} twice: remove or rename one.")
        graph.add_node(peer_id)
        graph.nodes[peer_id].update(attributes.get(peer_id, {}))
    for a, b in links:
        for peer_id in (a, b):
            if peer_id not in graph:
                raise TopologyError(
                    f"Topology {name!r} has the link {(a, b)!r}, but there is no peer {peer_id!r}."
                    f"{did_you_mean(peer_id, graph)} Add it to the peers or correct the link."
                )
        graph.add_edge(a, b)
    return canonical(graph, name)
