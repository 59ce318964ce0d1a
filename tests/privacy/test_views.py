"""A neighbor's view tells what the formulas say of graphs in which they can be worked out by hand."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from gossipfl.privacy.views import GossipStep, told_by, view_of


def metropolis(graph):
    matrix = np.zeros((len(graph), len(graph)))
    for a, b in graph.edges:
        matrix[a, b] = matrix[b, a] = 1 / (1 + max(graph.degree[a], graph.degree[b]))
    return GossipStep(matrix + np.diag(1 - matrix.sum(1)))


def told(graph, peer, num_rounds, noise=1.0, steps=1, **options):
    return told_by(peer, [[metropolis(graph)] * steps] * num_rounds, noise, **options)


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


def test_where_all_have_the_sum_after_each_round_it_is_all_that_is_told():
    """The mean of a complete graph is all that any later update can depend on."""
    mu = told(nx.complete_graph(6), 0, 7, noise=2.0, summed=True)
    assert mu[1:] == pytest.approx([np.sqrt(7 / 5) / 2.0] * 5)


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
    assert (together <= apart + 1e-7).all()


@given(st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_an_optimal_attack_on_one_round_reaches_mu(seed):
    """The best test between two updates of u, by likelihood of the view, separates them by mu."""
    graph = nx.connected_watts_strogatz_graph(7, 4, 0.5, seed=seed)
    steps = [metropolis(graph)] * 2
    view, mu = view_of(0, steps, ()), told(graph, 0, 1, steps=2)
    view[:, 0] = 0
    for u in range(1, 7):
        separation = np.sqrt(view[:, u] @ np.linalg.pinv(view @ view.T) @ view[:, u])
        assert separation == pytest.approx(mu[u], abs=1e-7)


def test_updates_that_answer_what_was_received_tell_of_it():
    """On the path u - w - v, w's second update is the sign of its model, about what u's first one moves it to. What v
    is sent then separates u's two possible updates better than if w had not listened, and no better than mu says.

    v takes off what it knows, and sees x_u / 3 + sign(x_u + x_w + x_v - 1/2) + noise, with x_u = g + noise.
    """
    grid = np.linspace(-8, 8, 801)
    density = norm.pdf(grid) * (grid[1] - grid[0])

    def reports(update, threshold):
        x_u = update + grid[None, :]
        answer = np.sign(x_u + np.sqrt(2) * grid[:, None] - 0.5)  # x_w + x_v has the variance 2
        return float((density[:, None] * density * norm.sf(threshold - x_u / 3 - answer)).sum())

    separation = max(norm.ppf(reports(1, at)) - norm.ppf(reports(0, at)) for at in np.linspace(-2.5, 2.5, 11))
    as_if_nobody_listened = (1 / 3) / np.sqrt(1 / 9 + 1)
    assert as_if_nobody_listened + 0.1 < separation < told(nx.path_graph(3), 2, 2)[0]


def test_three_thousand_columns_take_seconds_only():
    graph = nx.random_regular_graph(4, 30, seed=0)
    assert told(graph, 0, 20)[1:].max() > 0
