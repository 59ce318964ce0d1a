"""Random pairs of neighbors in each step."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import networkx as nx
import numpy as np

from gossipfl.errors import ConfigurationError
from gossipfl.randomness import generator
from gossipfl.schedules.positions import meeting, peers_of
from gossipfl.schedules.schedule import Meeting, Meetings
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class RandomMatchings:
    """A random maximal matching of the links in each step, whose pairs average (Boyd et al., 2006).

    The links come in random order, and each whose two peers are still free makes a pair: W_ij = W_ii = 1/2. Who finds
    no partner keeps its weights.
    """

    keeps_mean: ClassVar[bool] = True
    follows_links: ClassVar[bool] = True

    def links(self, graph: nx.Graph) -> nx.Graph:
        if graph.is_directed():
            raise ConfigurationError(
                f"random_matchings needs links that work both ways, but topology {graph.name!r} is directed: use an "
                "undirected topology, or the schedule static with an algorithm that is based on push-sum (sgp)"
            )
        return graph

    def lead(self, links: nx.Graph) -> int:
        return _lead(links)

    def meetings(self, links: nx.Graph, peer_id: PeerId, seed: int) -> Meetings:
        peers, own = peers_of(links), links.nodes[peer_id]["position"]

        def meet(step: int) -> Meeting:
            partner = int(_partners(links, seed, step)[own])
            if partner == own:
                return meeting(peers, {own: 1.0}, [])
            return meeting(peers, {own: 0.5, partner: 0.5}, [partner])

        return meet


# All peers of a process share the draws of the last steps, and the links as an array; graphs go by identity, and are
# not changed once they are in canonical form.
@lru_cache(maxsize=8)
def _partners(links: nx.Graph, seed: int, step: int) -> np.ndarray:
    """The partner of every peer, or itself: what going through the links in random order gives.

    A link makes a pair exactly if no remaining link of its two peers comes before it, so that many are found at once.
    """
    order = generator(seed, "random matchings", step).permutation(links.number_of_edges())
    a, b = _ends(links)[:, order]
    partners = np.arange(len(links))
    while len(a):
        place = np.arange(len(a))
        first = np.full(len(links), len(a))
        np.minimum.at(first, a, place)
        np.minimum.at(first, b, place)
        pairs = (first[a] == place) & (first[b] == place)
        partners[a[pairs]], partners[b[pairs]] = b[pairs], a[pairs]
        free = (partners[a] == a) & (partners[b] == b)
        a, b = a[free], b[free]
    return partners


@lru_cache(maxsize=8)
def _lead(links: nx.Graph) -> int:
    # A link that comes first among all of its two peers makes a pair. The probability that this happens in none of
    # 20 (d_i + d_j - 1) successive steps is below e^-20.
    return 40 * int(np.bincount(_ends(links).ravel(), minlength=1).max())


@lru_cache(maxsize=8)
def _ends(links: nx.Graph) -> np.ndarray:
    """The positions of the two peers of every link (2 x links)."""
    position = links.nodes(data="position")
    return np.array([(position[a], position[b]) for a, b in links.edges], np.intp).reshape(-1, 2).T.copy()
