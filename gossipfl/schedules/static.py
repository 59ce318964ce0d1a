"""The schedule of a fixed graph."""

from dataclasses import dataclass
from typing import ClassVar

import networkx as nx

from gossipfl.schedules.schedule import Meeting, Meetings
from gossipfl.topology import MixingScheme, mixing_row
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class Static:
    """All neighbors in every step: W_t = W, a symmetric and doubly stochastic matrix (D-PSGD; Lian et al., 2017).

    `mixing` is the rule for W, or a matrix that `topology.checked_matrix` has accepted.
    """

    mixing: MixingScheme = "metropolis_hastings"

    keeps_mean: ClassVar[bool] = True
    follows_links: ClassVar[bool] = True
    lead: ClassVar[int] = 0

    def links(self, graph: nx.Graph) -> nx.Graph:
        return graph

    def meetings(self, links: nx.Graph, peer_id: PeerId, seed: int) -> Meetings:
        row = mixing_row(links, peer_id, self.mixing)
        meeting = Meeting(row, tuple(other for other in row if other != peer_id))
        return lambda step: meeting
