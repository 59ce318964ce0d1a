"""The places of peers in a drawing: positions in the square [-1, 1] x [-1, 1], the same for the same graph."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_array
from scipy.sparse.linalg import eigsh

Positions: TypeAlias = NDArray[np.float64]
"""Shape (num_peers, 2), rows in the order of the nodes; y points down, as in SVG."""

KAMADA_KAWAI_LIMIT = 64
"""Stress layouts look best and cost O(n^3); above this number of peers a spring layout takes over."""

DENSE_LIMIT = 200
"""Up to this number of peers all eigenvectors are computed; beyond, only the three that are needed."""

WHEEL_LIMIT = 100
"""More peers around a hub, or without links, fill the disk: on one circle they would touch."""

LOCAL_SHARE = 0.7
"""A graph is drawn as a ring when at least this share of its links joins peers that are near in node order."""


def graph_positions(nodes: Sequence[str], links: Sequence[tuple[str, str]]) -> Positions:
    """Positions of `nodes`, in their order: a wheel or a sunflower for a star, a circle for rings and graphs that are
    almost rings or complete, else a Kamada-Kawai (few peers) or seeded spring layout.

    Takes about a second for 1,000 peers, and time and memory of O(n^2). Sources: Kamada and Kawai (1989), Fruchterman
    and Reingold (1991), as in networkx.
    """
    graph = nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from((a, b) for a, b in links if a != b)
    if graph.number_of_nodes() <= 2:
        return circle(len(nodes))
    hub = star_center(graph)
    around = circle if len(nodes) <= WHEEL_LIMIT else sunflower
    if hub is not None:
        return np.insert(around(len(nodes) - 1), list(graph).index(hub), 0.0, axis=0)
    if graph.number_of_edges() == 0:
        return around(len(nodes))
    if is_circular(graph):
        return circle(len(nodes))
    sides = torus_sides(graph)
    if sides is not None:
        return twisted_rings(*sides)
    return fitted(force_directed(graph))


def circle(num_peers: int) -> Positions:
    """Peers at equal angles, the first at the top, clockwise; a single peer in the middle."""
    if num_peers <= 1:
        return np.zeros((num_peers, 2))
    angles = 2 * math.pi * np.arange(num_peers) / num_peers
    return np.column_stack([np.sin(angles), -np.cos(angles)])


def sunflower(num_peers: int) -> Positions:
    """Evenly over the disk but for its middle, spiralling outwards by the golden angle (Vogel, 1979)."""
    numbers = np.arange(num_peers)
    radii = np.sqrt(0.05 + 0.95 * (numbers + 1) / num_peers)
    angles = numbers * math.pi * (3 - math.sqrt(5))
    return np.column_stack([radii * np.sin(angles), -radii * np.cos(angles)])


def star_center(graph: nx.Graph) -> str | None:
    """The node that every link touches, when there are at least two others."""
    num_nodes = graph.number_of_nodes()
    if graph.number_of_edges() != num_nodes - 1:
        return None
    return next((node for node, degree in graph.degree() if degree == num_nodes - 1), None)


def is_circular(graph: nx.Graph) -> bool:
    """True if node order is a good circle: it is a closed walk of the graph, or links are mostly between near peers."""
    num_nodes = graph.number_of_nodes()
    num_links = graph.number_of_edges()
    if num_links == 0:
        return True
    index = {node: position for position, node in enumerate(graph)}
    steps = [abs(index[a] - index[b]) for a, b in graph.edges()]
    distances = [min(step, num_nodes - step) for step in steps]
    if distances.count(1) == num_nodes:
        return True
    near = max(2, math.ceil(num_links / num_nodes))
    num_near = sum(1 for distance in distances if distance <= near)
    return bool(num_near >= LOCAL_SHARE * num_links)


def torus_sides(graph: nx.Graph) -> tuple[int, int] | None:
    """(rows, columns) when the graph is a grid with both ends joined, its nodes row by row."""
    num_nodes = graph.number_of_nodes()
    if any(degree != 4 for _, degree in graph.degree()):
        return None
    index = {node: position for position, node in enumerate(graph)}
    links = {frozenset((index[a], index[b])) for a, b in graph.edges()}
    for rows in range(3, math.isqrt(num_nodes) + 1):
        columns, rest = divmod(num_nodes, rows)
        for shape in [] if rest else [(rows, columns), (columns, rows)]:
            if links == torus_links(*shape):
                return shape
    return None


def torus_links(rows: int, columns: int) -> set[frozenset[int]]:
    right = {
        frozenset((row * columns + column, row * columns + (column + 1) % columns))
        for row in range(rows)
        for column in range(columns)
    }
    down = {
        frozenset((row * columns + column, (row + 1) % rows * columns + column))
        for row in range(rows)
        for column in range(columns)
    }
    return right | down


def twisted_rings(rows: int, columns: int) -> Positions:
    """A torus seen from above: the shorter side as concentric rings, each turned a little further than the last, so
    that no link hides behind another."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    ring, num_rings, spoke, num_spokes = (
        (row, rows, column, columns) if rows <= columns else (column, columns, row, rows)
    )
    angles = 2 * math.pi * (spoke + ring / num_rings) / num_spokes
    radii = 1 - 0.68 * ring / (num_rings - 1)
    return np.column_stack([radii * np.sin(angles), -radii * np.cos(angles)])


def force_directed(graph: nx.Graph) -> Positions:
    if graph.number_of_nodes() <= KAMADA_KAWAI_LIMIT and nx.is_connected(graph):
        placed = nx.kamada_kawai_layout(graph)
        return np.array([placed[node] for node in graph], dtype=np.float64)
    return springs(nx.to_scipy_sparse_array(graph, weight=None, dtype=np.float64, format="csr"))


def springs(adjacency: csr_array, num_iterations: int = 50) -> Positions:
    """Links pull with d^2/k, all pairs push with k^2/d, k = 1/sqrt(n), in steps that shrink to zero.

    Starts from the two slowest modes of the graph's Laplacian, slightly shaken, which untangles meshes from the first
    step. All pairs at once by linear algebra: much faster than `networkx.spring_layout` at 1,000 nodes.
    """
    num_nodes = adjacency.shape[0]
    ideal = 1 / math.sqrt(num_nodes)
    rows, columns = adjacency.nonzero()
    positions = fitted(slowest_modes(adjacency)) / 2 + np.random.default_rng(0).normal(0, 0.01, (num_nodes, 2))
    for step in np.linspace(0.1, 0, num_iterations, endpoint=False):
        squares = (positions**2).sum(axis=1)
        push = positions @ (-2 * positions.T)
        push += squares
        push += squares[:, None]
        np.maximum(push, 1e-4, out=push)
        np.divide(ideal**2, push, out=push)
        forces = push.sum(axis=1, keepdims=True) * positions - push @ positions
        apart = positions[rows] - positions[columns]
        pull = np.linalg.norm(apart, axis=1, keepdims=True) / ideal * apart
        for axis in (0, 1):
            forces[:, axis] -= np.bincount(rows, pull[:, axis], num_nodes)
        positions += step * forces / np.maximum(np.linalg.norm(forces, axis=1, keepdims=True), 0.01)
    return positions


def slowest_modes(adjacency: csr_array) -> Positions:
    """Eigenvectors 2 and 3 of the graph's Laplacian, by increasing eigenvalue."""
    num_nodes = adjacency.shape[0]
    laplacian = csgraph.laplacian(adjacency)
    if num_nodes <= DENSE_LIMIT:
        vectors = np.linalg.eigh(laplacian.toarray())[1]
    else:
        start = np.random.default_rng(0).normal(size=num_nodes)
        vectors = eigsh(laplacian.tocsc(), k=3, sigma=-0.05, v0=start)[1]
    return np.asarray(vectors[:, 1:3], dtype=np.float64)


def fitted(positions: Positions) -> Positions:
    """Centred and scaled so that the farthest peer in x or y touches the border; proportions are kept."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    half = float((high - low).max()) / 2
    return np.asarray((positions - (low + high) / 2) / (half or 1.0))
