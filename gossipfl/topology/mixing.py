"""Mixing weights: how much a peer gives to each neighbor's weights and to its own when it averages.

The mixing matrix W (n x n) has one row per peer. It is symmetric, nonnegative, zero where there is no link, and its
rows and columns sum to 1; so x <- W x keeps the mean over peers and brings them closer together.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from gossipfl.errors import TopologyError
from gossipfl.names.spelling import did_you_mean
from gossipfl.weights import PeerId

MixingScheme: TypeAlias = str | sparse.csr_array
"""The name of a rule (`SCHEMES`), or a matrix that passed `checked_matrix` for the same graph."""

SCHEMES = ("metropolis_hastings", "max_degree")

_TOLERANCE = 1e-9


def mixing_row(graph: nx.Graph, peer_id: PeerId, scheme: MixingScheme = "metropolis_hastings") -> dict[PeerId, float]:
    """The row of the mixing matrix for one peer: weights of itself and of all its neighbors, in order of position.

    * `metropolis_hastings`: W_ij = 1 / (1 + max(deg_i, deg_j)), W_ii = 1 - sum_j W_ij. Needs the degrees of neighbors
      only; O(degree) (Xiao & Boyd, 2004).
    * `max_degree`: W_ij = 1 / (1 + max_k deg_k). Needs the largest degree of the whole graph; slower mixing where
      degrees differ.
    * a checked matrix: its row.

    Raises TopologyError for a directed graph, an unknown peer or scheme, and a matrix that was made for another graph.
    """
    _check_both_ways(graph)
    if peer_id not in graph:
        raise TopologyError(f"There is no peer {peer_id!r} in topology {graph.name!r}.{did_you_mean(peer_id, graph)}")
    if isinstance(scheme, str):
        return _row(graph, peer_id, _neighbor_weight(graph, scheme))
    matrix = sparse.csr_array(scheme)
    _check_shape(graph, matrix)
    positions = {graph.nodes[other]["position"]: other for other in (peer_id, *graph[peer_id])}
    own = graph.nodes[peer_id]["position"]
    start, stop = matrix.indptr[own : own + 2]
    weights = dict(zip(matrix.indices[start:stop].tolist(), matrix.data[start:stop].tolist(), strict=True))
    if any(weight and column not in positions for column, weight in weights.items()):
        raise TopologyError(
            f"The mixing matrix has weights for peers that are no neighbors of {peer_id!r} in topology {graph.name!r}: "
            "it was made for another graph. Check it with checked_matrix."
        )
    return {positions[column]: weights.get(column, 0.0) for column in sorted(positions)}


def mixing_matrix(graph: nx.Graph, scheme: MixingScheme = "metropolis_hastings") -> sparse.csr_array:
    """The mixing matrix (n x n, float64, rows and columns in order of position); its rows are those of `mixing_row`.

    A matrix given as `scheme` is checked and returned. Raises TopologyError as `mixing_row` and `checked_matrix` do.
    """
    if not isinstance(scheme, str):
        return checked_matrix(graph, scheme)
    _check_both_ways(graph)
    neighbor_weight = _neighbor_weight(graph, scheme)
    position = {peer_id: index for index, peer_id in enumerate(graph)}
    columns: list[int] = []
    weights: list[float] = []
    starts = [0]
    for peer_id in graph:
        row = _row(graph, peer_id, neighbor_weight)
        columns.extend(position[other] for other in row)
        weights.extend(row.values())
        starts.append(len(columns))
    return sparse.csr_array((np.array(weights, np.float64), columns, starts), shape=(len(graph), len(graph)))


def push_matrix(graph: nx.Graph) -> sparse.csr_array:
    """The matrix of a step of push-sum, P (n x n, float64): P_ji = 1 / (1 + outdegree of i) for j = i and all to whom i
    sends, so that columns sum to 1, and rows do not in general (Kempe et al., 2003; Assran et al., 2019)."""
    receiving = sparse.eye_array(len(graph)) + nx.to_scipy_sparse_array(graph, weight=None, dtype=np.float64).T
    return (receiving / receiving.sum(axis=0)).tocsr()


def checked_matrix(graph: nx.Graph, matrix: ArrayLike | sparse.sparray) -> sparse.csr_array:
    """A given mixing matrix (dense or sparse, rows in order of position) as float64 csr_array without stored zeros.

    Raises TopologyError for a directed graph, and names the first peers at which the matrix is not finite, not
    nonnegative, not zero off the links, not symmetric, or does not sum to 1 (to 1e-9).
    """
    _check_both_ways(graph)
    try:
        W = sparse.csr_array(matrix, dtype=np.float64, copy=True)
    except (TypeError, ValueError) as error:
        raise TopologyError(f"The mixing matrix is not a matrix of numbers: {error}.") from error
    W.sum_duplicates()
    W.eliminate_zeros()
    _check_shape(graph, W)
    peers = list(graph)
    problem = "The mixing matrix of topology {!r} gives weight {} to {!r} at {!r}: {}."
    entries = W.tocoo()
    for row, column, weight in zip(entries.row.tolist(), entries.col.tolist(), entries.data.tolist(), strict=True):
        at, other = peers[row], peers[column]
        if not math.isfinite(weight) or weight < 0:
            raise TopologyError(problem.format(graph.name, weight, other, at, "weights are finite and nonnegative"))
        if row != column and not graph.has_edge(at, other):
            raise TopologyError(problem.format(graph.name, weight, other, at, "they are not linked, so it must be 0"))
    asymmetric = abs(W - W.T).tocoo()
    for row, column, gap in zip(asymmetric.row, asymmetric.col, asymmetric.data, strict=True):
        if gap > _TOLERANCE:
            raise TopologyError(
                problem.format(
                    graph.name,
                    W[row, column],
                    peers[column],
                    peers[row],
                    f"the other way it is {W[column, row]}, but the matrix must be symmetric",
                )
            )
    for peer_id, total in zip(peers, W.sum(axis=1).tolist(), strict=True):  # and so do columns, by symmetry
        if abs(total - 1) > _TOLERANCE:
            raise TopologyError(
                f"The mixing matrix of topology {graph.name!r} sums to {total} in the row of {peer_id!r}: rows and "
                "columns must sum to 1."
            )
    return W


def _row(graph: nx.Graph, peer_id: PeerId, neighbor_weight: Callable[[PeerId, PeerId], float]) -> dict[PeerId, float]:
    weights = {neighbor: neighbor_weight(peer_id, neighbor) for neighbor in graph[peer_id]}
    weights[peer_id] = 1.0 - math.fsum(weights.values())  # exact sum: the same whatever the order
    return {other: weights[other] for other in sorted(weights, key=graph.nodes(data="position").__getitem__)}


def _neighbor_weight(graph: nx.Graph, scheme: str) -> Callable[[PeerId, PeerId], float]:
    if scheme == "metropolis_hastings":
        return lambda i, j: 1.0 / (1 + max(len(graph[i]), len(graph[j])))
    if scheme == "max_degree":
        weight = 1.0 / (1 + max(len(graph[peer_id]) for peer_id in graph))
        return lambda i, j: weight
    raise TopologyError(
        f"There is no mixing scheme {scheme!r}.{did_you_mean(scheme, SCHEMES)} Known are {', '.join(SCHEMES)}, or give "
        "a matrix that checked_matrix accepts."
    )


def _check_both_ways(graph: nx.Graph) -> None:
    if graph.is_directed():
        raise TopologyError(
            f"Topology {graph.name!r} is directed, but a symmetric mixing matrix needs links that work both ways: use "
            "an algorithm that is based on push-sum (sgp, gosgd), or an undirected topology."
        )


def _check_shape(graph: nx.Graph, matrix: sparse.csr_array) -> None:
    if matrix.shape != (len(graph), len(graph)):
        raise TopologyError(
            f"The mixing matrix has shape {matrix.shape}, but topology {graph.name!r} has {len(graph)} peers: it needs "
            "one row and one column per peer."
        )
