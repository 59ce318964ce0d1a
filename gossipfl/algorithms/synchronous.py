"""Gossip in rounds: train, send to the neighbors of the round, mix with what they sent."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.aggregators import MixingRow
from gossipfl.algorithms.algorithm import check_patience
from gossipfl.peers import LocalModel, Peer, Sharing, SynchronousGossipPeer
from gossipfl.topology import MixingScheme, mixing_row
from gossipfl.weights import ModelVectors, PeerId


@dataclass(frozen=True, slots=True)
class SynchronousGossip:
    """Train, swap with all neighbors, mix with the mixing row (D-PSGD; Lian et al., 2017).

    `mixing` is the rule for the mixing matrix, or a matrix that `topology.checked_matrix` has accepted. `patience`
    (seconds) bounds the wait for a silent neighbor; None waits for ever.
    """

    mixing: Annotated[MixingScheme, "The rule for the mixing matrix, or the matrix itself (rows in node order)."] = (
        "metropolis_hastings"
    )
    patience: Annotated[
        float | None, "Seconds after which a peer mixes with whoever has answered; absent: it waits for ever."
    ] = None
    sharing: Sharing = field(default_factory=Sharing)

    hub: ClassVar[PeerId | None] = None
    pools_data: ClassVar[bool] = False
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform"})
    extra_vectors: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        check_patience(self.patience)

    def network(self, graph: nx.Graph) -> nx.Graph:
        return graph

    def make_peer(self, peer_id: PeerId, network: nx.Graph, initial: ModelVectors, work: LocalWork, seed: int) -> Peer:
        local = LocalModel(peer_id, work, initial, self.sharing)
        return SynchronousGossipPeer(local, mixing_row(network, peer_id, self.mixing), MixingRow(), self.patience)
