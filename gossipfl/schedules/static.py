"""The schedule of a fixed graph."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, TypeAlias

import networkx as nx

from gossipfl.errors import ConfigurationError
from gossipfl.schedules.schedule import Meeting, Meetings
from gossipfl.topology import SCHEMES, MixingScheme, mixing_matrix, mixing_row
from gossipfl.weights import PeerId

MixingField: TypeAlias = Annotated[
    MixingScheme,
    "The rule for the mixing matrix, metropolis_hastings or max_degree, or the matrix itself (rows in node order).",
]


@dataclass(frozen=True, slots=True)
class Static:
    """All neighbors in every step: one symmetric, doubly stochastic matrix (D-PSGD; Lian et al., 2017).

    Where links go one way, a row is uniform over oneself and those who send, whatever `mixing` and `lazy` are. Its
    columns do not sum to 1, so the mean is left to an algorithm that shares out mass, which a recipe has to check.
    """

    mixing: MixingField = "metropolis_hastings"
    lazy: Annotated[
        bool,
        "Mix with (W + I) / 2. No eigenvalue is negative then, at the expense of slower mixing.",
    ] = False

    keeps_mean: ClassVar[bool] = True
    follows_links: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.mixing, str) and self.mixing not in SCHEMES:
            raise ConfigurationError(f"mixing is one of {', '.join(SCHEMES)}, or a matrix, got {self.mixing!r}")

    def lead(self, links: nx.Graph) -> int:
        # Along one-way links, whoever sends to a peer depends on it only by the way back, of n - 1 links at most.
        return max(0, len(links) - 2) if links.is_directed() else 0

    def links(self, graph: nx.Graph) -> nx.Graph:
        return graph

    def meetings(self, links: nx.Graph, peer_id: PeerId, seed: int) -> Meetings:
        if links.is_directed():
            return _along_one_way_links(links, peer_id)
        is_named = isinstance(self.mixing, str) and self.mixing == "max_degree"
        row = mixing_row(links, peer_id, _by_largest_degree(links) if is_named else self.mixing)
        if self.lazy:
            row = {other: share / 2 + (other == peer_id) / 2 for other, share in row.items()}
        meeting = Meeting(row, tuple(other for other in row if other != peer_id))
        return lambda step: meeting


# For all peers of a process, because each row needs the degrees of all: 10,000 peers would look for a minute. Graphs go
# by identity, and are not changed once they are in canonical form.
@lru_cache(maxsize=8)
def _by_largest_degree(links: nx.Graph) -> MixingScheme:
    return mixing_matrix(links, "max_degree")


def _along_one_way_links(links: nx.DiGraph, peer_id: PeerId) -> Meetings:
    heard = sorted([peer_id, *links.pred[peer_id]], key=links.nodes(data="position").__getitem__)
    meeting = Meeting(dict.fromkeys(heard, 1 / len(heard)), tuple(links.succ[peer_id]))
    return lambda step: meeting
