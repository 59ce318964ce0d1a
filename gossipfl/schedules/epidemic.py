"""Epidemic learning: fresh random partners among all peers in each step.

How fast peers agree, with s partners each: E ||W x - mean||^2 = beta ||x - mean||^2 for every x, where

    oracle  beta = (1 - s / (n - 1)) / (s + 1)
    local   beta = (1 - (1 - s / (n - 1))^n) / s - 1 / (n - 1)
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Annotated, ClassVar

import networkx as nx
import numpy as np

from gossipfl.errors import ConfigurationError
from gossipfl.randomness import generator
from gossipfl.schedules.positions import linked, meeting, peers_of
from gossipfl.schedules.schedule import Meeting, Meetings
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
            heard = [own, *np.flatnonzero(pushes[:, own]).tolist()]
            return meeting(peers, dict.fromkeys(heard, 1 / len(heard)), np.flatnonzero(pushes[own]).tolist())

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
    return linked(graph, combinations(range(len(graph)), 2))


def _lead(num_peers: int) -> int:
    """What one peer knows reaches half of the others in about log2 n steps and the rest in ln n more; that somebody
    lacks it t steps later has a probability of about e^-t."""
    return 3 * (num_peers - 1).bit_length() + 24


# All peers of a process share the draws of the last steps, each of which is one for everybody.
@lru_cache(maxsize=8)
def _places(num_peers: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """A random seating around a circle: the peer at each place, and the place of each peer."""
    peer_at = generator(seed, "epidemic oracle", step).permutation(num_peers)
    return peer_at, np.argsort(peer_at)


@lru_cache(maxsize=8)
def _pushes(num_peers: int, num_neighbors: int, seed: int, step: int) -> np.ndarray:
    """Who sends to whom (n x n, bool): uniform subsets of the others by Floyd's method, for all senders at once."""
    rng = generator(seed, "epidemic local", step)
    everybody = np.arange(num_peers)
    chosen = np.zeros((num_peers, num_peers - 1), bool)
    for last in range(num_peers - 1 - num_neighbors, num_peers - 1):
        drawn = rng.integers(0, last, num_peers, endpoint=True)
        chosen[everybody, np.where(chosen[everybody, drawn], last, drawn)] = True
    senders, others = np.nonzero(chosen)
    pushes = np.zeros((num_peers, num_peers), bool)
    pushes[senders, others + (others >= senders)] = True
    return pushes
