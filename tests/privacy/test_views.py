"""A neighbor's view tells what the formulas say of graphs in which they can be worked out by hand."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.privacy.views import GossipStep, told_by, view_of


def metropolis(graph):
    matrix = np.zeros((len(graph), len(graph)))
    for a, b in graph.edges:
        matrix[a, b] = matrix[b, a] = 1 / (1 + max(graph.degree[a], graph.degree[b]))
    return GossipStep(matrix + np.diag(1 - matrix.sum(1)))


def told(graph, peer, num_rounds, noise=1.0, steps=1, **options):
    view = view_of(peer, [[metropolis(graph)] * steps] * num_rounds, **options)
    return told_by(view, len(graph), noise)


def test_two_peers_are_told_everything():
    """Neighbors that hear each message of the other learn as much as whoever sees all that it sends: T / z^2."""
    assert told(nx.path_graph(2), 0, 9, noise=1.5) == pytest.approx([0, 3 / 1.5])


def test_one_round_tells_of_neighbors_only():
    mu = told(nx.cycle_graph(6), 0, 1)
    assert mu == pytest.approx([0, 1, 0, 0, 0, 1])


def test_a_secure_sum_of_k_neighbors_hides_each_in_the_noise_of_the_others():
    """The sum of k terms with equal weights has k times the variance: mu = 1 / (z sqrt k)."""
    mu = told(nx.complete_graph(6), 0, 1, noise=2.0, summed=True)
    assert mu[1:] == pytest.approx([1 / (2.0 * np.sqrt(5))] * 5)


def test_what_is_repeated_tells_nothing_more():
    """Two steps of a complete graph: the second tells of the mean of all, which the first one's messages give."""
    once, twice = told(nx.complete_graph(5), 0, 1), told(nx.complete_graph(5), 0, 1, steps=2)
    assert twice == pytest.approx(once)


def test_those_far_away_are_told_less_of():
    mu = told(nx.path_graph(12), 0, 8)
    assert all(np.diff(mu[1:9]) < 0)
    assert (mu[9:] == 0).all(), "nothing of them has arrived in eight rounds"


def test_messages_that_can_be_solved_for_every_term_tell_everything():
    """A ring of eight, one noised value each: ten messages in five steps give the seven of the others one by one. To
    add up what each message tells by itself, as if its noise were fresh, would say a twentieth of that of the peer
    opposite."""
    graph, num_steps = nx.cycle_graph(8), 5
    matrix = metropolis(graph).matrix
    power, each_alone = np.eye(8), np.zeros(8)
    for _ in range(num_steps):
        for w in graph[0]:
            each_alone += power[w] ** 2 / np.square(power[w]).sum()
        power = matrix @ power
    mu = told(graph, 0, 1, steps=num_steps)
    assert mu[1:] == pytest.approx([1.0] * 7)
    assert each_alone[4] < 0.05


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), size=st.integers(4, 9), num_rounds=st.integers(1, 5), steps=st.integers(1, 2))
def test_a_view_tells_at_most_what_all_messages_tell_and_sums_tell_less(seed, size, num_rounds, steps):
    graph = nx.connected_watts_strogatz_graph(size, 2 + size % 2 * 2 if size > 4 else 2, 0.5, seed=seed)
    apart = told(graph, 0, num_rounds, noise=1.3, steps=steps)
    together = told(graph, 0, num_rounds, noise=1.3, steps=steps, summed=True)
    most = np.sqrt(num_rounds) / 1.3
    assert apart[0] == together[0] == 0
    assert (apart <= most * (1 + 1e-9)).all()
    if num_rounds == 1:  # of several, the two bounds may be tight to a different degree
        assert (together <= apart + 1e-7).all()


@given(st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_an_optimal_attack_is_no_better_than_mu(seed):
    """The best test between two updates of u, by likelihood of the view, separates them by ||P d|| / z at most."""
    generator = np.random.default_rng(seed)
    graph, num_rounds = nx.cycle_graph(5), 3
    view = view_of(0, [[metropolis(graph)]] * num_rounds)
    mu = told_by(view, 5, 1.0)
    for u in range(1, 5):
        change = np.zeros(5 * num_rounds)
        change[u::5] = generator.choice([-1.0, 1.0], num_rounds)
        seen = view @ change
        separation = np.sqrt(seen @ np.linalg.pinv(view @ view.T) @ seen)
        assert separation <= mu[u] + 1e-9


def test_three_thousand_columns_take_seconds_only():
    graph = nx.random_regular_graph(4, 30, seed=0)
    assert told(graph, 0, 20)[1:].max() > 0
