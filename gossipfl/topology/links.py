"""Topologies written out: peers and the links between them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import networkx as nx

from gossipfl.errors import TopologyError
from gossipfl.names.spelling import did_you_mean
from gossipfl.topology.canonical_form import canonical
from gossipfl.weights import PeerId


class WrittenOut(NamedTuple):
    """A graph as `from_links` takes it, and what it was taken for."""

    peers: dict[PeerId, dict[str, Any]]
    links: list[tuple[PeerId, PeerId]]
    directed: bool
    taken_for: str


def written_out(graph: nx.Graph) -> WrittenOut:
    """A graph of networkx written out; of its attributes, `address` and `listen` of a peer are kept, because nothing
    else is read, and `taken_for` says which ones are not used.

    >>> written_out(nx.path_graph(3)).links
    [('0', '1'), ('1', '2')]

    Raises TopologyError for a graph that breaks a rule of `canonical`.
    """
    result = canonical(graph, graph.name or "given as a graph")
    nodes = dict(result.nodes(data=True))
    kept = {peer: {name: of[name] for name in ("address", "listen") if name in of} for peer, of in nodes.items()}
    unused = sorted({str(name) for of in nodes.values() for name in of} - {"address", "listen", "position"})
    unused += [f"{name} of links" for name in sorted({str(n) for *_, of in result.edges(data=True) for n in of})]
    taken_for = f"a graph of networkx{f', {graph.name}' if graph.name else ''}"
    taken_for += "; links go one way" if result.is_directed() else ""
    taken_for += f"; not used: {', '.join(unused)}" if unused else ""
    return WrittenOut(kept, list(result.edges), result.is_directed(), taken_for)


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
