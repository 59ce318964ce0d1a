import dataclasses

import networkx as nx
import numpy as np
import pytest
from connected_graphs import connected_graphs
from hypothesis import given, settings

from gossipfl.topology import TopologySummary, canonical, checked_matrix, diameter, named, summarize


def test_star():
    summary = summarize(named("star"))
    assert summary == TopologySummary(
        num_peers=16,
        num_edges=15,
        min_degree=1,
        mean_degree=1.875,
        max_degree=15,
        diameter=2,
        rho=pytest.approx(15 / 16),
        spectral_gap=pytest.approx(1 / 16),
        predicted_rounds=108,
    )


def test_one_peer():
    summary = summarize(canonical(nx.empty_graph(1), "alone"))
    assert dataclasses.astuple(summary) == (1, 0, 0, 0.0, 0, 0, 0.0, 1.0, 1, False)


def test_the_scheme_matters():
    graph = named("erdos-renyi")
    assert summarize(graph, "max_degree").spectral_gap < summarize(graph).spectral_gap
    never = summarize(graph, checked_matrix(graph, np.eye(16)))
    assert never.predicted_rounds is None
    assert never.rho == pytest.approx(1)


@settings(deadline=None)
@given(connected_graphs())
def test_diameter_is_that_of_networkx(graph):
    assert diameter(graph) == nx.diameter(graph)


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (nx.cycle_graph(7), 3),
        (nx.cycle_graph(8), 4),
        (nx.path_graph(9), 8),
        (nx.grid_2d_graph(30, 40, periodic=True), 35),
        (nx.grid_2d_graph(8, 64), 70),
        (nx.circular_ladder_graph(400), 201),
    ],
)
def test_diameter_of_large_graphs(graph, expected):
    assert diameter(canonical(graph, "large")) == expected


def test_a_large_graph_is_summarized():
    summary = summarize(canonical(nx.cycle_graph(1001), "ring"))
    assert summary.diameter == 500
    assert summary.predicted_rounds > 500_000
