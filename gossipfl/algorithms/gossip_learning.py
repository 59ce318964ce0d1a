"""Gossip learning: copies of models on their way from peer to peer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import networkx as nx

from gossipfl.algorithms.algorithm import Algorithm, Family, OutgoingField
from gossipfl.algorithms.seat import Seat
from gossipfl.compression import Chain
from gossipfl.messages import NumberSchema
from gossipfl.peers import GossipLearningPeer, MergeRule, Peer, Sharing
from gossipfl.peers.gossip_learning import Merge


@dataclass(frozen=True, slots=True)
class GossipLearning(Algorithm):
    """Push a copy of the model to a random neighbor, merge what comes by age, never wait (Ormandi et al., 2013).

    A round costs each peer one message; what is lost costs its news and nothing else. In return, merging keeps no mean:
    which weighted mean the peers agree on depends on who was heard when. It runs over links that work in one direction,
    too.
    """

    merge: Annotated[
        Merge,
        "What a received model counts: by its rounds of training (age_weighted; Hegedus et al., 2019); likewise, but "
        "the older of two alone where their ages differ by more than age_limit (limited; Danner et al., 2023); or one "
        "half (plain).",
    ] = "age_weighted"
    age_limit: Annotated[
        int,
        "Only for limited: rounds by which ages may differ for two models to be averaged. Higher: more is averaged, at "
        "the expense of models that fell behind pulling others back.",
    ] = 1
    outgoing: OutgoingField = ()
    sharing: Sharing = field(default_factory=Sharing)

    family: ClassVar[Family] = "asynchronous gossip"
    patience: ClassVar[float | None] = 0.0
    takes_no: ClassVar[Mapping[str, str]] = {
        "aggregator": "models are merged one at a time by their ages, and no rule can tell which of two is wrong",
    }

    def __post_init__(self) -> None:
        MergeRule(self.merge, self.age_limit)
        Chain(self.outgoing)

    def network(self, graph: nx.Graph) -> nx.Graph:
        return graph

    def numbers(self, num_peers: int, rounds: int) -> Mapping[str, NumberSchema]:
        return {"age": NumberSchema(1, rounds * num_peers, is_integer=True)}

    def caveat(self, graph: nx.Graph) -> str | None:
        return "keeps no mean: how much a peer counts depends on who was heard when"

    def make_peer(self, seat: Seat) -> Peer:
        return GossipLearningPeer(
            seat.model(self.sharing),
            seat.neighbors(),
            MergeRule(self.merge, self.age_limit),
            seat.leaving(self.outgoing),
            seat.generator("gossip learning"),
        )
