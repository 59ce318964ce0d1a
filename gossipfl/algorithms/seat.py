"""The seat of one participant in a run: all that a recipe needs to make its peer."""

from dataclasses import dataclass

import networkx as nx
import numpy as np

from gossipfl.actions import LocalWork
from gossipfl.compression import Chain, Leaving, Stage
from gossipfl.mixing import UNPOOLED, Pooling
from gossipfl.peers import LocalModel, Sharing
from gossipfl.peers.local_model import PutAway, kept
from gossipfl.privacy.protection import AnyProtection, protected_by
from gossipfl.randomness import Randomness
from gossipfl.topology import Neighbors
from gossipfl.weights import ModelVectors, PeerId


@dataclass(frozen=True, eq=False, slots=True)
class Seat:
    """The seat of a peer in a `network` (which `Algorithm.network` has given), with all that it begins with."""

    peer_id: PeerId
    network: nx.Graph
    initial: ModelVectors
    work: LocalWork
    randomness: Randomness
    put_away: PutAway = kept
    pooling: Pooling = UNPOOLED
    protection: AnyProtection | None = None

    def neighbors(self) -> Neighbors:
        """The peers that this one may send to, and hear from."""
        return Neighbors.of(self.network, self.peer_id)

    def model(self, sharing: Sharing, extra_vectors: frozenset[str] = frozenset()) -> LocalModel:
        """The model that the peer begins with."""
        protection = protected_by(self.protection, self.randomness.secret.of("noise", self.peer_id))
        return LocalModel(
            self.peer_id, self.work, self.initial, sharing, extra_vectors, self.put_away, self.pooling, protection
        )

    def leaving(self, stages: tuple[Stage, ...]) -> Leaving:
        """The way out of what the peer sends."""
        first = {"weights": self.initial.weights, "statistics": self.initial.statistics}
        return Leaving(Chain(stages), first, self.randomness.of("leaving", self.peer_id))

    def generator(self, purpose: str) -> np.random.Generator:
        """Public random numbers of the peer's own, for one purpose."""
        return self.randomness.public.generator(purpose, self.peer_id)
