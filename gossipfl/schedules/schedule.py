"""A schedule says with whom a peer mixes in each gossip step, and with which weights."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeAlias

import networkx as nx
import numpy as np

from gossipfl.randomness import generator
from gossipfl.weights import PeerId


class Meeting(NamedTuple):
    """One peer's part in one gossip step.

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
        """True if the columns of every W_t sum to 1 too, so that x <- W_t x keeps the mean over peers."""
        ...

    @property
    def follows_links(self) -> bool:
        """True if peers meet along the links of the topology; else the schedule brings its own."""
        ...

    def links(self, graph: nx.Graph) -> nx.Graph:
        """The graph of who may ever send to whom, over the peers of `graph`. Raises ConfigurationError for a number of
        peers, or a graph, on which the schedule is not defined."""
        ...

    def lead(self, links: nx.Graph) -> int:
        """The most steps, beyond one, that a peer may be ahead of another that it meets, while nobody loses
        patience; `links` is what `links()` has given.

        A peer in step t has not sent its messages of step t + 1, so nobody has completed a step that depends on them,
        at first hand or through others. If within any L successive steps all who meet depend on each other, messages
        come from the steps t to t + L, and the lead is L - 1: 0 where everybody meets all neighbors in every step.
        Random schedules give an L that is exceeded with a probability of about e^-20.
        """
        ...

    def meetings(self, links: nx.Graph, peer_id: PeerId, seed: int) -> Meetings:
        """A function from the step to the part of `peer_id`; `links` is what `links()` gave, `seed` that of the run."""
        ...


def gives_the_mean(schedule: Schedule, links: nx.Graph, num_steps: int) -> bool:
    """True if any `num_steps` steps from a multiple of them on give everybody the exact mean (to 1e-9); random
    schedules, which may do so by chance, are looked at for three times as many.

    Asked of what four random numbers per peer become: only steps that give the mean of everything give theirs.
    """
    meetings = [schedule.meetings(links, peer_id, 0) for peer_id in links]
    position = {peer_id: index for index, peer_id in enumerate(links)}
    start = generator(0, "gives the mean").standard_normal((len(links), 4))
    for first in range(0, 3 * num_steps, num_steps):
        x = start
        for step in range(first, first + num_steps):
            rows = [meet(step).row for meet in meetings]
            x = np.array([sum(share * x[position[other]] for other, share in row.items()) for row in rows])
        if not np.allclose(x, start.mean(axis=0), rtol=0, atol=1e-9):
            return False
    return True


def mixing_matrix_at(schedule: Schedule, links: nx.Graph, step: int, seed: int) -> np.ndarray:
    """W_t (n x n, float64, rows and columns in node order), whose rows are those of the meetings of step t."""
    position = {peer_id: index for index, peer_id in enumerate(links)}
    W = np.zeros((len(links), len(links)))
    for peer_id, index in position.items():
        for other, share in schedule.meetings(links, peer_id, seed)(step).row.items():
            W[index, position[other]] = share
    return W
