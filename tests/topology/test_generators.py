import networkx as nx
import pytest

from gossipfl.errors import TopologyError
from gossipfl.topology import from_generator


@pytest.mark.parametrize(
    ("generator", "arguments", "expected"),
    [
        ("cycle_graph", {"n": 16}, nx.cycle_graph(16)),
        ("circulant_graph", {"n": 16, "offsets": [1, 2, 4, 8]}, nx.circulant_graph(16, [1, 2, 4, 8])),
        ("grid_2d_graph", {"m": 4, "n": 4, "periodic": True}, nx.grid_2d_graph(4, 4, periodic=True)),
        ("grid_2d_graph", {"m": 3, "n": 5, "periodic": [True, False]}, nx.grid_2d_graph(3, 5, periodic=(True, False))),
        ("grid_graph", {"dim": [2, 3, 4]}, nx.grid_graph([2, 3, 4])),
        ("hypercube_graph", {"n": 3}, nx.hypercube_graph(3)),
        ("complete_multipartite_graph", {"subset_sizes": [2, 3]}, nx.complete_multipartite_graph(2, 3)),
        ("petersen_graph", {}, nx.petersen_graph()),
        ("davis_southern_women_graph", {}, nx.davis_southern_women_graph()),
        ("random_regular_graph", {"d": 4, "n": 16}, nx.random_regular_graph(4, 16, seed=7)),
        ("random_labeled_tree", {"n": 9}, nx.random_labeled_tree(9, seed=7)),
        ("random_geometric_graph", {"n": 10, "radius": 0.9}, nx.random_geometric_graph(10, 0.9, seed=7)),
    ],
)
def test_the_graph_is_that_of_networkx_with_peers_numbered_in_its_order(generator, arguments, expected):
    graph = from_generator(generator, arguments, seed=7)
    numbers = {node: str(index) for index, node in enumerate(expected)}
    assert list(graph) == list(numbers.values())
    assert set(map(frozenset, graph.edges)) == {frozenset((numbers[a], numbers[b])) for a, b in expected.edges}


def test_without_a_seed_the_graph_is_the_same_every_time():
    first, second = (from_generator("random_regular_graph", {"d": 4, "n": 20}) for _ in range(2))
    assert list(first.edges) == list(second.edges)
    assert list(from_generator("random_regular_graph", {"d": 4, "n": 20}, seed=0).edges) == list(first.edges)
    assert list(from_generator("random_regular_graph", {"d": 4, "n": 20}, seed=1).edges) != list(first.edges)


def test_the_name_is_the_generators_unless_given():
    assert from_generator("cycle_graph", {"n": 3}).name == "cycle_graph"
    assert from_generator("cycle_graph", {"n": 3}, name="triangle").name == "triangle"


@pytest.mark.parametrize(
    ("generator", "arguments", "message"),
    [
        ("cycle_grap", {"n": 8}, "no graph generator 'cycle_grap'. Did you mean 'cycle_graph'"),
        ("zzz", {}, "no graph generator 'zzz'. See"),
        ("", {}, "no graph generator ''"),
        ("classic", {}, "no graph generator 'classic'"),
        ("__loader__", {}, "no graph generator"),
        ("ego_graph", {"n": 1}, "no graph generator 'ego_graph'"),
        ("read_graphml", {"path": "x"}, "no graph generator"),
        ("cycle_graph", {}, "needs the argument 'n'. cycle_graph takes n."),
        ("cycle_graph", {"size": 8}, "has no argument 'size'. cycle_graph takes n."),
        ("watts_strogatz_graph", {"n": 8, "kk": 4, "p": 0.1}, "no argument 'kk'. Did you mean 'k'.*takes n, k, p."),
        ("grid_2d_graph", {"m": 2}, r"needs the argument 'n'.*periodic \(default False\)"),
        ("cycle_graph", {"n": 8, "create_using": "x"}, "no argument 'create_using'"),
        ("cycle_graph", {"n": 8, "backend": "x"}, "no argument 'backend'"),
        ("cycle_graph", {"n": "16"}, "is the text '16'; give a number or a list"),
        ("petersen_graph", {"n": 10}, "takes no arguments"),
        ("complete_multipartite_graph", {"subset_sizes": 3}, "is a list, got 3"),
        ("gnp_random_graph", {"n": 8, "p": 0.5, "seed": 1}, "give the seed of gnp_random_graph as 'seed'"),
        ("random_regular_graph", {"d": 3, "n": 5}, r"random_regular_graph\(d=3, n=5\) failed: n \* d must be even"),
        ("cycle_graph", {"n": 2.5}, "failed: .*float"),
        ("cycle_graph", {"n": -1}, "failed"),
        ("circulant_graph", {"n": 0, "offsets": [1]}, "no peers"),
        ("grid_graph", {"dim": 3}, "failed"),
        ("dorogovtsev_goltsev_mendes_graph", {"n": -1}, "failed"),
        ("random_powerlaw_tree_sequence", {"n": 5}, "returns list, not a graph"),
        ("gn_graph", {"n": 5}, "not strongly connected"),
        ("cycle_graph", {"n": 1}, "itself"),
        ("margulis_gabber_galil_graph", {"n": 3}, "itself|more than once"),
        ("empty_graph", {"n": 0}, "no peers"),
        ("erdos_renyi_graph", {"n": 20, "p": 0.01}, "not connected: peers '0' and '1' cannot.*change the seed"),
    ],
)
def test_errors_name_what_is_wrong_and_what_exists(generator, arguments, message):
    with pytest.raises(TopologyError, match=message):
        from_generator(generator, arguments)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_networkx_cannot_take_is_refused(seed):
    with pytest.raises(TopologyError, match="seed must be between 0 and"):
        from_generator("gnp_random_graph", {"n": 8, "p": 0.9}, seed=seed)


def test_generators_without_randomness_ignore_the_seed():
    assert list(from_generator("cycle_graph", {"n": 4}, seed=5).edges) == list(
        from_generator("cycle_graph", {"n": 4}).edges
    )
