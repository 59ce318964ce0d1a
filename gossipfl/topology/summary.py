"""A topology in nine numbers."""

from dataclasses import dataclass

import networkx as nx
import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from gossipfl.topology.mixing import MixingScheme, mixing_matrix, push_matrix
from gossipfl.topology.spectrum import predicted_rounds, second_eigenvalue, second_modulus

_BLOCK = 512
"""Peers from which breadth-first search goes out at once: a bit each. As fast as 1,024, twice as fast as 2,048."""

_FEW_STEPS = 150
"""Up to about so many steps, going out from whole blocks is faster; beyond (a ladder), one search for every peer is."""


@dataclass(frozen=True, slots=True)
class TopologySummary:
    """Size, degrees and mixing speed of a topology.

    `diameter` is the largest number of links between two peers; `rho`, `spectral_gap` and `predicted_rounds` (None:
    never) are those of `gossipfl.topology.spectrum`. Where links go one way (`directed`), degrees are of sending, and
    `rho` is the long-run factor of push-sum (`second_modulus`).
    """

    num_peers: int
    num_edges: int
    min_degree: int
    mean_degree: float
    max_degree: int
    diameter: int
    rho: float
    spectral_gap: float
    predicted_rounds: int | None
    directed: bool = False


def summarize(graph: nx.Graph, scheme: MixingScheme = "metropolis_hastings") -> TopologySummary:
    """The summary of a canonical graph under a mixing scheme, which a directed graph does without; about a second for
    10,000 peers of small degree.

    Raises TopologyError as `mixing_matrix` does.
    """
    degrees = [len(neighbors) for neighbors in graph.adj.values()]
    directed = graph.is_directed()
    rho = second_modulus(push_matrix(graph)) if directed else second_eigenvalue(mixing_matrix(graph, scheme))
    return TopologySummary(
        num_peers=len(graph),
        num_edges=graph.number_of_edges(),
        min_degree=min(degrees),
        mean_degree=sum(degrees) / len(degrees),
        max_degree=max(degrees),
        diameter=diameter(graph),
        rho=rho,
        spectral_gap=1.0 - rho,
        predicted_rounds=predicted_rounds(rho),
        directed=directed,
    )


def diameter(graph: nx.Graph) -> int:
    """The largest number of links on a shortest path between two peers of a (strongly) connected graph."""
    num_peers = len(graph)
    if graph.number_of_edges() * (1 if graph.is_directed() else 2) == num_peers * (num_peers - 1):
        return min(1, num_peers - 1)
    if not graph.is_directed() and max(len(neighbors) for neighbors in graph.adj.values()) == 2:  # a ring, or a line
        return num_peers // 2 if graph.number_of_edges() == num_peers else num_peers - 1
    adjacency = nx.to_scipy_sparse_array(graph, weight=None, format="csr")
    if _steps_from(adjacency, 0) > _FEW_STEPS:
        return max(_steps_from(adjacency, peer) for peer in range(num_peers))
    return max(_steps_from_block(adjacency, first) for first in range(0, num_peers, _BLOCK))


def _steps_from(adjacency: sparse.csr_array, peer: int) -> int:
    """Links to the farthest of all peers from one, breadth first."""
    order, predecessors = csgraph.breadth_first_order(adjacency, peer)
    came_from: list[int] = predecessors.tolist()
    steps, node = 0, int(order[-1])  # the last one found is a farthest one
    while node != peer:
        node = came_from[node]
        steps += 1
    return steps


def _steps_from_block(adjacency: sparse.csr_array, first: int) -> int:
    """The most links to one of a block of peers from the farthest of all, breadth first from all of them at once.

    Bit i of a row says that the peer of that row reaches the i-th peer of the block; with a step more, so do all that
    have a link to it.
    """
    block = np.arange(min(_BLOCK, adjacency.shape[0] - first))
    reached = np.zeros((adjacency.shape[0], _BLOCK // 64), np.uint64)
    reached[first + block, block // 64] = np.uint64(1) << (block % 64).astype(np.uint64)
    all_of_them = np.bitwise_or.reduce(reached)
    steps = 0
    while not (reached == all_of_them).all():
        reached |= np.bitwise_or.reduceat(reached[adjacency.indices], adjacency.indptr[:-1])
        steps += 1
    return steps
