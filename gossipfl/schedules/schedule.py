"""What every schedule says: with whom a peer mixes in each gossip step, and with which weights."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeAlias

import networkx as nx

from gossipfl.weights import PeerId


class Meeting(NamedTuple):
    """What one peer does in one gossip step.

    `row` is its row of the mixing matrix W_t: itself and everybody it hears from, in node order, with the share that
    each has in its new weights; the shares are not negative and sum to 1. `receivers` is to whom it sends, in node
    order: the peers in whose rows it is.
    """

    row: Mapping[PeerId, float]
    receivers: tuple[PeerId, ...]


Meetings: TypeAlias = Callable[[int], Meeting]
"""The meeting of one peer in gossip step t = 0, 1, ..."""


class Schedule(Protocol):
    """A sequence of mixing matrices W_0, W_1, ..., a frozen dataclass; everybody computes the same one.

    Raises ConfigurationError when it is made with impossible parameters.
    """

    @property
    def keeps_mean(self) -> bool:
        """Whether the columns of every W_t sum to 1 too, so that x <- W_t x keeps the mean over peers."""
        ...

    @property
    def follows_links(self) -> bool:
        """Whether peers meet along the links of the topology; else the schedule brings its own."""
        ...

    @property
    def lead(self) -> int:
        """How many steps ahead of a peer one may be that still needs its messages, at most: 0 where neighbors never
        change, since whoever is ahead has everybody's messages of the step before."""
        ...

    def links(self, graph: nx.Graph) -> nx.Graph:
        """Who may ever send to whom, over the peers of `graph`. Raises ConfigurationError for a number of peers, or a
        graph, on which the schedule is not defined."""
        ...

    def meetings(self, links: nx.Graph, peer_id: PeerId, seed: int) -> Meetings:
        """What `peer_id` does in each step; `links` is what `links()` has given, `seed` that of the run."""
        ...
