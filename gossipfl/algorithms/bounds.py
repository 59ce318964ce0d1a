"""Training without gossip: the lower and the upper bound of every comparison."""

from abc import ABC
from dataclasses import dataclass, field
from typing import ClassVar

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.algorithms.algorithm import NOBODY, Recipe
from gossipfl.errors import ConfigurationError
from gossipfl.peers import LocalModel, LocalOnlyPeer, Peer, Sharing
from gossipfl.weights import ModelVectors, PeerId

POOL: PeerId = "pool"
"""The name of the one participant that holds all data."""


@dataclass(frozen=True, slots=True)
class _Alone(Recipe, ABC):
    """Participants that train, and neither send nor wait."""

    sharing: Sharing = field(default_factory=Sharing)

    follows_links: ClassVar[bool] = False
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform", "examples"})
    patience: ClassVar[float | None] = 0.0

    def make_peer(
        self,
        peer_id: PeerId,
        network: nx.Graph,
        initial: ModelVectors,
        work: LocalWork,
        seed: int,
        revoked: frozenset[PeerId] = NOBODY,
    ) -> Peer:
        return LocalOnlyPeer(LocalModel(peer_id, work, initial, self.sharing))


@dataclass(frozen=True, slots=True)
class LocalOnly(_Alone):
    """Every peer trains alone on its own shard: what it would have without any exchange (the lower bound)."""

    def network(self, graph: nx.Graph) -> nx.Graph:
        alone = nx.Graph()
        alone.add_nodes_from(graph.nodes(data=True))
        return alone


@dataclass(frozen=True, slots=True)
class Centralized(_Alone):
    """One participant trains on all data for the same epochs: what giving up all data would bring (the upper bound)."""

    pools_data: ClassVar[bool] = True

    def network(self, graph: nx.Graph) -> nx.Graph:
        if POOL in graph:
            raise ConfigurationError(f"Centralized adds a participant {POOL!r}, but a peer has that name; rename it")
        alone = nx.Graph()
        alone.add_node(POOL, position=0)
        return alone
