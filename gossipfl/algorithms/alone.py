"""What the recipes without any exchange have in common."""

from abc import ABC
from dataclasses import dataclass, field
from typing import ClassVar

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.algorithms.algorithm import Recipe
from gossipfl.peers import LocalModel, LocalOnlyPeer, Peer, Sharing
from gossipfl.randomness import Randomness
from gossipfl.weights import ModelVectors, PeerId


@dataclass(frozen=True, slots=True)
class Alone(Recipe, ABC):
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
        randomness: Randomness,
    ) -> Peer:
        return LocalOnlyPeer(LocalModel(peer_id, work, initial, self.sharing))
