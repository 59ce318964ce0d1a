"""Asynchronous gossip in random pairs."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.peers import Backoff, LocalModel, PairwiseGossipPeer, Peer, Sharing
from gossipfl.randomness import generator
from gossipfl.weights import ModelVectors, PeerId


@dataclass(frozen=True, slots=True)
class PairwiseGossip:
    """Train, average with one random neighbor, train on (AD-PSGD; Lian et al., 2018): no rounds, no barrier.

    `timeout` (seconds) is how long a peer waits for the neighbor it asked. Higher: fewer exchanges repeated on slow
    links, at the expense of idle time when a neighbor is gone; it should exceed a round trip with the weights.
    A neighbor that does not answer is left alone for up to `max_backoff` seconds.
    """

    timeout: Annotated[
        float,
        "Seconds that a peer waits for the neighbor it asked. Higher: fewer repeated exchanges on slow links, at the "
        "expense of idle time when a neighbor is gone.",
    ] = 30.0
    max_backoff: Annotated[float, "At most so many seconds a silent neighbor is left alone."] = 600.0
    sharing: Sharing = field(default_factory=Sharing)

    hub: ClassVar[PeerId | None] = None
    pools_data: ClassVar[bool] = False
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform"})
    extra_vectors: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        Backoff(self.timeout, self.max_backoff)

    @property
    def patience(self) -> float | None:
        return self.timeout

    def network(self, graph: nx.Graph) -> nx.Graph:
        return graph

    def make_peer(self, peer_id: PeerId, network: nx.Graph, initial: ModelVectors, work: LocalWork, seed: int) -> Peer:
        positions = {neighbor: network.nodes[neighbor]["position"] for neighbor in network.neighbors(peer_id)}
        return PairwiseGossipPeer(
            LocalModel(peer_id, work, initial, self.sharing),
            network.nodes[peer_id]["position"],
            positions,
            Backoff(self.timeout, self.max_backoff),
            generator(seed, "pairwise", peer_id),
        )
