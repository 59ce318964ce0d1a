"""Asynchronous push-sum."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import networkx as nx

from gossipfl.algorithms.algorithm import Algorithm, Family
from gossipfl.algorithms.seat import Seat
from gossipfl.errors import ConfigurationError
from gossipfl.messages import NumberSchema
from gossipfl.mixing.push_sum import SMALLEST_MASS
from gossipfl.peers import Backoff, Peer, PushSumPeer, Sharing


@dataclass(frozen=True, slots=True)
class GoSGD(Algorithm):
    """Push one's model and half of one's mass to a random neighbor, and never wait (GoSGD; Blot et al., 2016).

    It runs over links that work in one direction, too. A step of training counts by the mass w_i of its peer, and
    masses settle where as much flows in as out: on a graph with links both ways, w_i times the rounds per second of
    peer i is proportional to its number of neighbors. So the peers minimise sum_i degree_i f_i(x), whatever their
    speeds: on regular graphs the uniform mean of their objectives. Masses forget with which values they began, so a
    weighting by examples cannot be kept.
    """

    push_probability: Annotated[
        float,
        "Probability of a push after a round of training. Higher: closer agreement, at the expense of bytes. (A round "
        "is many steps of training: an epoch of 100 batches with 1.0 pushes as often as the paper's 0.01 per batch.)",
    ] = 1.0
    timeout: Annotated[
        float,
        "Seconds after which a push without a receipt may be repeated. Higher: fewer repeated on slow links, at the "
        "expense of mass that stays on its way for longer where messages are lost.",
    ] = 30.0
    max_backoff: Annotated[float, "At most so many seconds a silent neighbor is left alone."] = 600.0
    sharing: Sharing = field(default_factory=Sharing)

    takes_no: ClassVar[Mapping[str, str]] = {
        "aggregator": (
            "the sums over peers of models times masses have to stay as they are, and no other rule keeps them"
        ),
        "outgoing": "half of the mass goes with what is sent, and what a stage held back would go with none",
    }
    family: ClassVar[Family] = "asynchronous gossip"
    patience: ClassVar[float | None] = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.push_probability <= 1:
            raise ConfigurationError(f"push_probability must be from 0 to 1, got {self.push_probability}")
        Backoff(self.timeout, self.max_backoff)

    def network(self, graph: nx.Graph) -> nx.Graph:
        return graph

    def numbers(self, num_peers: int, rounds: int) -> Mapping[str, NumberSchema]:
        return {"mass": NumberSchema(SMALLEST_MASS, num_peers)}

    def caveat(self, graph: nx.Graph) -> str | None:
        directed = graph.to_directed(as_view=True)
        degrees = {(directed.in_degree(peer_id), directed.out_degree(peer_id)) for peer_id in directed}
        return "counts peers by their number of neighbors, not equally" if len(degrees) > 1 else None

    def make_peer(self, seat: Seat) -> Peer:
        return PushSumPeer(
            seat.model(self.sharing),
            seat.neighbors(),
            float(len(seat.network)),
            self.push_probability,
            Backoff(self.timeout, self.max_backoff),
            seat.generator("gosgd"),
        )
