"""A complete graph that does not hold its links: who may talk to whom where everybody may talk to everybody.

As dictionaries, the 50 million links of 10,000 peers take 5 GB.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import networkx as nx

from gossipfl.weights import PeerId

_Attributes: TypeAlias = Mapping[str, Any]


def complete(graph: nx.Graph) -> nx.Graph:
    """The peers of `graph`, each linked with each, in canonical form; frozen, as `networkx.freeze` does it.

    It takes the memory of its peers alone; going through all links takes their number of steps, and a copy holds them.

    >>> links = complete(nx.path_graph(["a", "b", "c"]))
    >>> list(links.edges), list(links["b"])
    ([('a', 'b'), ('a', 'c'), ('b', 'c')], ['a', 'c'])
    """
    links = nx.Graph(**graph.graph)
    links.add_nodes_from(graph.nodes(data=True))
    links._adj = _Everybody(links._node)
    return nx.freeze(links)


class _Everybody(Mapping[PeerId, Mapping[PeerId, _Attributes]]):
    """The neighbors of each of some peers: all others."""

    def __init__(self, peers: Mapping[PeerId, _Attributes]) -> None:
        self._peers = peers

    def __getitem__(self, peer_id: PeerId) -> Mapping[PeerId, _Attributes]:
        if peer_id not in self._peers:
            raise KeyError(peer_id)
        return _Others(self._peers, peer_id)

    def __iter__(self) -> Iterator[PeerId]:
        return iter(self._peers)

    def __len__(self) -> int:
        return len(self._peers)


class _Others(Mapping[PeerId, _Attributes]):
    """All of some peers but one, and the attributes, there are none, of the links with them."""

    def __init__(self, peers: Mapping[PeerId, _Attributes], peer_id: PeerId) -> None:
        self._peers = peers
        self._peer_id = peer_id

    def __getitem__(self, peer_id: PeerId) -> _Attributes:
        if peer_id == self._peer_id or peer_id not in self._peers:
            raise KeyError(peer_id)
        return {}

    def __iter__(self) -> Iterator[PeerId]:
        return (peer_id for peer_id in self._peers if peer_id != self._peer_id)

    def __len__(self) -> int:
        return len(self._peers) - 1
