"""What a topology is like, in nine numbers."""

from dataclasses import dataclass

import networkx as nx
from scipy.sparse import csgraph

from gossipfl.topology.mixing import MixingScheme, mixing_matrix
from gossipfl.topology.spectrum import predicted_rounds, second_eigenvalue


@dataclass(frozen=True, slots=True)
class TopologySummary:
    """Size, degrees and mixing speed of a topology.

    `diameter` is the largest number of links between two peers; `rho`, `spectral_gap` and `predicted_rounds` (None:
    never) are those of `gossipfl.topology.spectrum`.
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


def summarize(graph: nx.Graph, scheme: MixingScheme = "metropolis_hastings") -> TopologySummary:
    """The summary of a canonical graph under a mixing scheme; about a second for 2,000 peers of small degree.

    Raises TopologyError as `mixing_matrix` does.
    """
    degrees = [len(neighbors) for neighbors in graph.adj.values()]
    rho = second_eigenvalue(mixing_matrix(graph, scheme))
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
    )


def diameter(graph: nx.Graph) -> int:
    """The largest number of links on a shortest path between two peers of a connected graph.

    One breadth-first search per peer, in SciPy: networkx's own takes ten times as long.
    """
    num_peers = len(graph)
    if graph.number_of_edges() == num_peers * (num_peers - 1) // 2:
        return min(1, num_peers - 1)
    adjacency = nx.to_scipy_sparse_array(graph, weight=None, format="csr")
    largest = 0
    for peer in range(num_peers):
        order, predecessors = csgraph.breadth_first_order(adjacency, peer)  # symmetric: no need to call it undirected
        came_from: list[int] = predecessors.tolist()
        steps, node = 0, int(order[-1])  # the last one found is a farthest one
        while node != peer:
            node = came_from[node]
            steps += 1
        largest = max(largest, steps)
    return largest
