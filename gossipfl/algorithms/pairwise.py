"""Asynchronous gossip in random pairs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import networkx as nx

from gossipfl.algorithms.algorithm import Algorithm, Family
from gossipfl.algorithms.rounds import check_undirected
from gossipfl.algorithms.seat import Seat
from gossipfl.peers import Backoff, PairwiseGossipPeer, Peer, Sharing


@dataclass(frozen=True, slots=True)
class PairwiseGossip(Algorithm):
    """Train, average with a neighbor, train on (AD-PSGD, Lian et al., 2018; SwarmSGD, Nadiradze et al., 2021).

    No rounds, no barrier: nobody waits for anybody but the random neighbor it has asked. `timeout` should exceed a
    round trip with the weights. The sum of all weights moves by training alone, so peers end at the uniform mean.
    Peers of exactly equal speed exchange all at one instant, which mixes less per exchange than one after the other.
    """

    timeout: Annotated[
        float,
        "Seconds that a peer waits for the neighbor it asked. Higher: fewer repeated exchanges on slow links, at the "
        "expense of idle time when a neighbor is gone.",
    ] = 30.0
    max_backoff: Annotated[float, "At most so many seconds a silent neighbor is left alone."] = 600.0
    sharing: Sharing = field(default_factory=Sharing)

    takes_no: ClassVar[Mapping[str, str]] = {
        "aggregator": (
            "an exchange gives one peer what it takes from the other, and no other rule keeps the sum of the two"
        ),
        "outgoing": (
            "the two of a pair add and take off half of one difference, and what a stage made of it would be another"
        ),
    }
    family: ClassVar[Family] = "asynchronous gossip"

    def __post_init__(self) -> None:
        Backoff(self.timeout, self.max_backoff)

    @property
    def patience(self) -> float | None:
        return self.timeout

    def network(self, graph: nx.Graph) -> nx.Graph:
        """Raises ConfigurationError for a directed graph: an exchange needs a reply."""
        check_undirected(graph)
        return graph

    def make_peer(self, seat: Seat) -> Peer:
        return PairwiseGossipPeer(
            seat.model(self.sharing),
            seat.network.nodes[seat.peer_id]["position"],
            seat.neighbors(),
            Backoff(self.timeout, self.max_backoff),
            seat.generator("pairwise"),
        )
