"""Positions of peers: inside the square, apart from each other, the same every time, and in the expected figures."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.report.layout import (
    DENSE_LIMIT,
    WHEEL_LIMIT,
    Positions,
    circle,
    graph_positions,
    is_circular,
    torus_sides,
)


def placed(graph: nx.Graph) -> Positions:
    nodes = [str(node) for node in graph]
    return graph_positions(nodes, [(str(a), str(b)) for a, b in graph.edges()])


def torus(rows: int, columns: int) -> nx.Graph:
    return nx.grid_2d_graph(rows, columns, periodic=True)


def smallest_gap(positions: Positions) -> float:
    gaps = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    return float(gaps[~np.eye(len(positions), dtype=bool)].min())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.floats(0, 1), st.integers(0, 5))
def test_any_graph_fits_the_square_and_repeats(num_peers: int, density: float, seed: int) -> None:
    graph = nx.gnp_random_graph(num_peers, density, seed=seed)
    positions = placed(graph)
    assert positions.shape == (num_peers, 2)
    assert np.isfinite(positions).all()
    assert np.abs(positions).max(initial=0) <= 1 + 1e-9
    np.testing.assert_array_equal(positions, placed(graph))


@pytest.mark.parametrize(
    "graph",
    [
        nx.cycle_graph(16),
        nx.complete_graph(9),
        nx.circulant_graph(32, [1, 2, 4, 8]),
        nx.connected_watts_strogatz_graph(40, 4, 0.2, seed=1),
        nx.path_graph(12),
        nx.empty_graph(5),
    ],
    ids=["ring", "complete", "exponential", "small world", "path", "no links"],
)
def test_graphs_that_are_nearly_rings_are_circles(graph: nx.Graph) -> None:
    np.testing.assert_allclose(placed(graph), circle(graph.number_of_nodes()), atol=1e-12)


@pytest.mark.parametrize("graph", [nx.hypercube_graph(4), torus(5, 5), nx.random_regular_graph(4, 30, seed=1)])
def test_other_graphs_are_not(graph: nx.Graph) -> None:
    assert not is_circular(graph)
    assert smallest_gap(placed(graph)) > 0.02


def test_a_star_is_a_wheel_wherever_its_hub_stands() -> None:
    graph = nx.Graph()
    graph.add_nodes_from(["a", "b", "hub", "c", "d"])
    graph.add_edges_from(("hub", leaf) for leaf in "abcd")
    positions = placed(graph)
    np.testing.assert_allclose(np.linalg.norm(positions, axis=1), [1, 1, 0, 1, 1], atol=1e-12)


@pytest.mark.parametrize("num_peers", [WHEEL_LIMIT + 1, 1000])
def test_many_peers_around_a_hub_fill_the_disk_and_do_not_touch(num_peers: int) -> None:
    positions = placed(nx.star_graph(num_peers - 1))
    radii = np.linalg.norm(positions, axis=1)
    assert radii[0] == 0
    assert radii[1:].min() > 0.2
    assert radii.max() == pytest.approx(1)
    assert smallest_gap(positions) > 1.2 / np.sqrt(num_peers)


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (4, 4), (4, 8), (8, 4), (3, 7)])
def test_a_torus_is_recognized_and_drawn_as_rings(rows: int, columns: int) -> None:
    graph = torus(rows, columns)
    assert torus_sides(graph) == (rows, columns)
    radii = np.linalg.norm(placed(graph), axis=1).round(6)
    assert len(set(radii)) == min(rows, columns)


def test_hundreds_of_peers_are_placed() -> None:
    positions = placed(nx.random_regular_graph(4, DENSE_LIMIT + 100, seed=2))
    assert positions.shape == (DENSE_LIMIT + 100, 2)
    assert positions.std(axis=0).min() > 0.2


def test_peers_without_links_are_on_a_circle_or_fill_a_disk() -> None:
    for num_peers in (1, 16, 300):
        positions = graph_positions([str(number) for number in range(num_peers)], [])
        assert positions.shape == (num_peers, 2)
        assert np.abs(positions).max() <= 1
        assert len({tuple(position) for position in positions.round(3).tolist()}) == num_peers
    assert np.hypot(*positions.T).min() < 0.3
