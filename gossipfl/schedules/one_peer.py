"""One partner per step, at distances that double: the mean of n = 2^k peers in k steps."""

from dataclasses import dataclass
from typing import ClassVar

import networkx as nx

from gossipfl.errors import ConfigurationError
from gossipfl.schedules.positions import linked, meeting, peers_of
from gossipfl.schedules.schedule import Meeting, Meetings
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class OnePeerExponential:
    """One partner per step, at the distances 1, 2, 4, ... around a circle of peers (Ying et al., 2021).

    x_i <- (x_i + x_{i + 2^(t mod tau)}) / 2 in step t, tau = ceil(log2 n), positions mod n. A peer hears from one peer
    and sends to another, so W_t is doubly stochastic but not symmetric. The product of any tau successive W_t is J if n
    is a power of two; else the peers agree in the limit only.
    """

    keeps_mean: ClassVar[bool] = True
    follows_links: ClassVar[bool] = False

    def links(self, graph: nx.Graph) -> nx.Graph:
        n = len(graph)
        arcs = ((i, (i + 2**t) % n) for i in range(n) for t in range(_num_hops(n)))
        return linked(graph, sorted({(min(arc), max(arc)) for arc in arcs}))

    def lead(self, links: nx.Graph) -> int:
        return max(0, _num_hops(len(links)) - 1)  # sums of different hops reach every distance below 2^tau

    def meetings(self, links: nx.Graph, peer_id: PeerId, seed: int) -> Meetings:
        peers, own = peers_of(links), links.nodes[peer_id]["position"]
        n, num_hops = len(peers), _num_hops(len(peers))

        def meet(step: int) -> Meeting:
            hop = 2 ** (step % num_hops)
            return meeting(peers, {own: 0.5, (own + hop) % n: 0.5}, [(own - hop) % n])

        return meet if n > 1 else lambda step: meeting(peers, {own: 1.0}, [])


@dataclass(frozen=True, slots=True)
class OnePeerHypercube:
    """One partner per step, along the dimensions of a hypercube in turn (Shi et al., 2016).

    x_i <- (x_i + x_{i XOR 2^(t mod k)}) / 2 in step t, n = 2^k. W_t is symmetric, and the product of any k successive
    ones is J.
    """

    keeps_mean: ClassVar[bool] = True
    follows_links: ClassVar[bool] = False

    def links(self, graph: nx.Graph) -> nx.Graph:
        n = len(graph)
        if n & (n - 1):
            raise ConfigurationError(
                f"one_peer_hypercube needs a power of two of peers, but there are {n}: change their number, or take "
                "one_peer_exponential or base_graph, which work for every number"
            )
        bits = [1 << t for t in range(_num_hops(n))]
        return linked(graph, [(i, i ^ bit) for i in range(n) for bit in bits if i < i ^ bit])

    def lead(self, links: nx.Graph) -> int:
        return max(0, _num_hops(len(links)) - 1)

    def meetings(self, links: nx.Graph, peer_id: PeerId, seed: int) -> Meetings:
        peers, own = peers_of(links), links.nodes[peer_id]["position"]
        num_hops = _num_hops(len(peers))

        def meet(step: int) -> Meeting:
            partner = own ^ (1 << step % num_hops)
            return meeting(peers, {own: 0.5, partner: 0.5}, [partner])

        return meet if num_hops else lambda step: meeting(peers, {own: 1.0}, [])


def _num_hops(num_peers: int) -> int:
    """ceil(log2 n)"""
    return (num_peers - 1).bit_length()
