"""Epidemic learning: fresh random partners among all peers in each step.

How fast peers agree, with s partners each: E ||W x - mean||^2 = beta ||x - mean||^2 for every x, where

    oracle  beta = (1 - s / (n - 1)) / (s + 1)
    local   beta = (1 - (1 - s / (n - 1))^n) / s - 1 / (n - 1)
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, NamedTuple

import networkx as nx
import numpy as np

from gossipfl.errors import ConfigurationError
from gossipfl.randomness import generator
from gossipfl.schedules.positions import meeting, peers_of
from gossipfl.schedules.schedule import Meeting, Meetings
from gossipfl.topology import complete
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class EpidemicOracle:
    """A fresh random s-regular graph over all peers in each step (EL-Oracle; de Vos et al., 2023).

    x_i <- (x_i + sum_j x_j) / (s + 1), j over its s neighbors: W_t is symmetric and doubly stochastic. The graph is a
    random relabeling of a circulant one, so that the neighbors of a peer are a uniform s-subset of the others, which is
    all that the contraction depends on.
    """

    num_neighbors: Annotated[
        int,
        "With how many others a peer mixes in a step, s; if odd, the number of peers must be even. Higher: peers agree "
        "in fewer steps, at the expense of bytes per step.",
    ] = 2

    keeps_mean: ClassVar[bool] = True
    follows_links: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check(self.num_neighbors)

    def links(self, graph: nx.Graph) -> nx.Graph:
        if self.num_neighbors < len(graph) and self.num_neighbors * len(graph) % 2:
            raise ConfigurationError(
                f"a graph of {len(graph)} peers with num_neighbors = {self.num_neighbors} each does not exist, since "
                "each link has two ends: make num_neighbors or the number of peers even, or take epidemic_local"
            )
        return _everybody(graph, self.num_neighbors)

    def lead(self, links: nx.Graph) -> int:
        return _lead(len(links))

    def meetings(self, links: nx.Graph, peer_id: PeerId, seed: int) -> Meetings:
        peers, own = peers_of(links), links.nodes[peer_id]["position"]
        n, half = len(peers), self.num_neighbors // 2
        offsets = np.array([*range(-half, half + 1), *[n // 2] * (self.num_neighbors % 2)])
        share = 1 / (1 + self.num_neighbors)

        def meet(step: int) -> Meeting:
            peer_at, place_of = _places(n, seed, step)
            met = sorted(peer_at[(place_of[own] + offsets) % n].tolist())
            return meeting(peers, dict.fromkeys(met, share), [other for other in met if other != own])

        return meet


@dataclass(frozen=True, slots=True)
class EpidemicLocal:
    """Each peer pushes to s random others in each step, without any coordination (EL-Local; de Vos et al., 2023).

    x_i <- (x_i + sum_j x_j) / (1 + r), j over the r peers that chose i: the mean over peers is kept in expectation
    only.
    """

    num_neighbors: Annotated[
        int,
        "To how many others a peer sends in a step, s. Higher: peers agree in fewer steps, at the expense of bytes per "
        "step.",
    ] = 4

    keeps_mean: ClassVar[bool] = False
    follows_links: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check(self.num_neighbors)

    def links(self, graph: nx.Graph) -> nx.Graph:
        return _everybody(graph, self.num_neighbors)

    def lead(self, links: nx.Graph) -> int:
        return _lead(len(links))

    def meetings(self, links: nx.Graph, peer_id: PeerId, seed: int) -> Meetings:
        peers, own = peers_of(links), links.nodes[peer_id]["position"]

        def meet(step: int) -> Meeting:
            pushes = _pushes(len(peers), self.num_neighbors, seed, step)
            heard = [own, *pushes.senders[pushes.first[own] : pushes.first[own + 1]].tolist()]
            return meeting(peers, dict.fromkeys(heard, 1 / len(heard)), pushes.receivers[own].tolist())

        return meet


def _check(num_neighbors: int) -> None:
    if num_neighbors < 1:
        raise ConfigurationError(f"num_neighbors must be >= 1, got {num_neighbors}")


def _everybody(graph: nx.Graph, num_neighbors: int) -> nx.Graph:
    if num_neighbors >= len(graph):
        raise ConfigurationError(
            f"num_neighbors = {num_neighbors} needs more than so many peers, but there are {len(graph)}: "
            f"give at most {len(graph) - 1}, or add peers"
        )
    return complete(graph)


def _lead(num_peers: int) -> int:
    """What one peer knows reaches half of the others in about log2 n steps and the rest in ln n more; that somebody
    lacks it t steps later has a probability of about e^-t."""
    return 3 * (num_peers - 1).bit_length() + 24


class _Pushes(NamedTuple):
    """Who sends to whom: the `receivers` of each peer (n x s), and the senders to peer i, which are those of `senders`
    from `first[i]` to before `first[i + 1]`; all ascending."""

    receivers: np.ndarray
    senders: np.ndarray
    first: np.ndarray


# All peers of a process share the draws of the last steps, each of which is one for everybody.
@lru_cache(maxsize=8)
def _places(num_peers: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """A random seating around a circle: the peer at each place, and the place of each peer."""
    peer_at = generator(seed, "epidemic oracle", step).permutation(num_peers)
    return peer_at, np.argsort(peer_at)


@lru_cache(maxsize=8)
def _pushes(num_peers: int, num_neighbors: int, seed: int, step: int) -> _Pushes:
    """Uniform subsets of the others by Floyd's method, for all senders at once."""
    rng = generator(seed, "epidemic local", step)
    chosen = np.empty((num_peers, num_neighbors), np.intp)  # among the others, as if one's own place were taken out
    for count, last in enumerate(range(num_peers - 1 - num_neighbors, num_peers - 1)):
        drawn = rng.integers(0, last, num_peers, endpoint=True)
        is_taken = (chosen[:, :count] == drawn[:, np.newaxis]).any(axis=1)
        chosen[:, count] = np.where(is_taken, last, drawn)
    chosen += chosen >= np.arange(num_peers)[:, np.newaxis]
    chosen.sort(axis=1)
    senders = np.argsort(chosen.ravel(), kind="stable") // num_neighbors
    first = np.cumsum([0, *np.bincount(chosen.ravel(), minlength=num_peers)])
    return _Pushes(chosen, senders, first)
