"""What every schedule must keep, on several numbers of peers: one table, one exam."""

import dataclasses
import pickle
from functools import reduce

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gossipfl.schedules
from gossipfl.errors import ConfigurationError
from gossipfl.randomness import generator
from gossipfl.schedules import (
    SCHEDULES,
    BaseGraph,
    EpidemicLocal,
    EpidemicOracle,
    OnePeerExponential,
    OnePeerHypercube,
    RandomMatchings,
    Schedule,
    Static,
    mixing_matrix_at,
)
from gossipfl.topology import canonical, from_generator, named

EXAM = [
    *((Static(), n) for n in (1, 2, 7)),
    *((OnePeerExponential(), n) for n in (1, 2, 3, 8, 12, 25)),
    *((OnePeerHypercube(), n) for n in (1, 2, 16)),
    *((BaseGraph(k), n) for k in (1, 2, 4) for n in (1, 2, 7, 12, 25)),
    *((RandomMatchings(), n) for n in (1, 2, 7, 20)),
    *((EpidemicOracle(s), n) for s, n in [(1, 2), (2, 7), (3, 10), (4, 5), (9, 10)]),
    *((EpidemicLocal(s), n) for s, n in [(1, 2), (2, 7), (3, 10), (4, 5)]),
]
RANDOM = (RandomMatchings, EpidemicOracle, EpidemicLocal)

exam = pytest.mark.parametrize(("schedule", "n"), EXAM, ids=lambda value: str(value))


def some_graph(n: int) -> nx.Graph:
    """A ring with names whose order is not that of text, and attributes."""
    graph = nx.empty_graph(n)
    graph.add_edges_from((i, (i + 1) % n) for i in range(n) if n > 1 and (i or n > 2))
    nx.set_node_attributes(graph, {i: f"https://{i}.example.org" for i in graph}, "address")
    return canonical(graph, "some-graph")


def matrices(schedule: Schedule, n: int, steps: range, seed: int = 0) -> list[np.ndarray]:
    links = schedule.links(some_graph(n))
    return [mixing_matrix_at(schedule, links, step, seed) for step in steps]


def test_the_exam_is_for_all_schedules():
    assert {type(schedule) for schedule, _ in EXAM} == set(SCHEDULES.values())


@exam
def test_rows_are_shares_in_node_order_and_receivers_are_those_in_whose_rows_one_is(schedule, n):
    check_meetings(schedule, schedule.links(some_graph(n)))


def check_meetings(schedule: Schedule, links: nx.Graph) -> None:
    meetings = {peer_id: schedule.meetings(links, peer_id, 0) for peer_id in links}
    for step in range(12):
        met = {peer_id: meet(step) for peer_id, meet in meetings.items()}
        for peer_id, (row, receivers) in met.items():
            assert peer_id in row
            assert list(row) == [other for other in links if other in row]
            assert min(row.values()) > 0
            assert sum(row.values()) == pytest.approx(1, abs=1e-12)
            assert all(links.has_edge(other, peer_id) for other in row if other != peer_id)
            assert receivers == tuple(other for other in links if other != peer_id and peer_id in met[other].row)


@exam
def test_columns_sum_to_one_where_the_mean_is_kept(schedule, n):
    sums = np.array([W.sum(axis=0) for W in matrices(schedule, n, range(12))])
    everybody = getattr(schedule, "num_neighbors", 0) == n - 1
    assert np.allclose(sums, 1, atol=1e-12) == (schedule.keeps_mean or everybody)


@exam
def test_links_are_in_canonical_form_and_keep_what_is_known_of_peers(schedule, n):
    graph = some_graph(n)
    links = schedule.links(graph)
    assert dict(links.nodes(data=True)) == dict(graph.nodes(data=True))
    assert links.graph == graph.graph
    again = canonical(links, links.name)
    assert list(links.edges) == list(again.edges)
    assert {peer_id: list(links[peer_id]) for peer_id in links} == {peer_id: list(again[peer_id]) for peer_id in again}
    if schedule.follows_links:
        assert links is graph


@exam
def test_the_seed_decides_alone(schedule, n):
    same = zip(matrices(schedule, n, range(5), seed=1), matrices(schedule, n, range(5), seed=1), strict=True)
    assert all(np.array_equal(W, again) for W, again in same)
    others = zip(matrices(schedule, n, range(5), seed=1), matrices(schedule, n, range(5), seed=2), strict=True)
    differs = any(not np.array_equal(W, other) for W, other in others)
    nothing_to_draw = n <= 2 or getattr(schedule, "num_neighbors", 0) == n - 1
    assert differs == (isinstance(schedule, RANDOM) and not nothing_to_draw)


@exam
def test_nobody_who_meets_is_further_ahead_than_the_lead(schedule, n):
    check_lead(schedule, schedule.links(some_graph(n)))


def check_lead(schedule: Schedule, links: nx.Graph) -> None:
    """Peer i has completed no step. Whoever depends on its messages of step 1, which it has not sent, is held up."""
    sequence = [mixing_matrix_at(schedule, links, step, 0) for step in range(schedule.lead(links) + 20)]
    for i in range(len(links)):
        held_up = np.eye(len(links), dtype=bool)[i]
        for step, W in enumerate(sequence):
            if step > schedule.lead(links) + 1:
                assert held_up[W[i] > 0].all()
            if step > 0:
                held_up = (W > 0) @ held_up


@exam
def test_schedules_are_plain_values(schedule, n):
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert eval(repr(schedule), vars(gossipfl.schedules)) == schedule
    assert len({schedule, dataclasses.replace(schedule)}) == 1


@pytest.mark.parametrize(
    "graph", [named("directed-ring-chords"), from_generator("cycle_graph", {"n": 5}, directed=True)], ids=str
)
def test_along_one_way_links_a_row_is_uniform_over_oneself_and_the_senders(graph):
    links = Static().links(graph)
    check_meetings(Static(), links)
    check_lead(Static(), links)
    for peer_id in graph:
        row, receivers = Static("max_degree", lazy=True).meetings(links, peer_id, 0)(3)
        assert set(row) == {peer_id, *graph.predecessors(peer_id)}
        assert len(set(row.values())) == 1
        assert receivers == tuple(graph.successors(peer_id))


def test_schedules_with_their_own_links_make_them_of_a_directed_graph_too():
    graph = named("directed-ring-chords")
    for schedule in (OnePeerExponential(), OnePeerHypercube(), BaseGraph(), EpidemicOracle(), EpidemicLocal()):
        links = schedule.links(graph)
        assert not links.is_directed()
        check_meetings(schedule, links)


@pytest.mark.parametrize(
    ("schedule", "n", "period"),
    [
        *((OnePeerExponential(), n, (n - 1).bit_length()) for n in (2, 4, 8, 32)),
        *((OnePeerHypercube(), n, (n - 1).bit_length()) for n in (2, 4, 8, 32)),
        *((BaseGraph(k), n, None) for k in (1, 2, 3, 4, 40) for n in range(2, 33)),
    ],
)
def test_exact_averaging_in_one_period(schedule, n, period):
    links = schedule.links(some_graph(n))
    period = period or schedule.period(n)
    sequence = [mixing_matrix_at(schedule, links, step, 0) for step in range(period)]
    np.testing.assert_allclose(reduce(lambda product, W: W @ product, sequence), 1 / n, atol=1e-12)
    np.testing.assert_array_equal(mixing_matrix_at(schedule, links, period, 0), sequence[0])


@pytest.mark.parametrize(("n", "left"), [(6, 0.2165), (10, 0.1924), (12, 0.2091), (25, 0.1921)])
def test_one_peer_exponential_is_not_exact_for_other_numbers(n, left):
    sequence = matrices(OnePeerExponential(), n, range((n - 1).bit_length()))
    product = reduce(lambda product, W: W @ product, sequence)
    assert np.linalg.norm(product - 1 / n, 2) == pytest.approx(left, abs=5e-5)


def test_one_peer_exponential_hears_from_ahead():
    W = matrices(OnePeerExponential(), 5, range(4))
    assert [np.flatnonzero(step[0]).tolist() for step in W] == [[0, 1], [0, 2], [0, 4], [0, 1]]


@pytest.mark.parametrize(
    ("k", "lengths"),
    [
        (1, dict(zip(range(2, 17), [1, 3, 2, 5, 4, 5, 3, 7, 6, 7, 5, 7, 6, 7, 4], strict=True))),
        (1, {1: 1, 24: 6, 25: 9, 32: 5}),
        (2, {3: 1, 5: 3, 6: 2, 7: 4, 9: 2, 10: 4, 16: 4, 25: 6, 27: 3}),
        (3, {4: 1, 5: 3, 8: 2, 10: 4, 16: 2, 25: 5}),
        (4, {5: 1, 10: 2, 20: 2, 25: 2}),
        (100, {5: 1, 101: 1}),
    ],
)
def test_lengths_of_base_graphs(k, lengths):
    assert {n: BaseGraph(k).period(n) for n in lengths} == lengths


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_base_graphs_are_symmetric_and_of_small_degree(k):
    for n in range(1, 33):
        for W in matrices(BaseGraph(k), n, range(BaseGraph(k).period(n))):
            np.testing.assert_allclose(W, W.T, atol=0)
            assert np.count_nonzero(W, axis=1).max() <= k + 1
        assert n == 1 or BaseGraph(k).period(n) <= 2 * np.log(n) / np.log(k + 1) + 2 + 1e-9


@settings(deadline=None, max_examples=20)
@given(n=st.integers(2, 30), density=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_random_matchings_are_maximal_pairs_of_linked_peers(n, density, seed):
    graph = nx.compose(nx.gnp_random_graph(n, density, seed=seed), nx.path_graph(n))
    graph = canonical(graph, "random")
    W = mixing_matrix_at(RandomMatchings(), graph, 3, seed)
    linked = nx.to_numpy_array(graph, weight=None).astype(bool)
    np.testing.assert_array_equal(W, W.T)
    pairs = (W > 0) & ~np.eye(n, dtype=bool)
    assert (pairs <= linked).all()
    assert pairs.sum(axis=1).max() <= 1
    assert set(W[W > 0]) <= {0.5, 1.0}
    free = ~pairs.any(axis=1)
    assert not linked[np.ix_(free, free)].any()


def test_a_random_matching_is_what_going_through_the_links_in_random_order_gives():
    graph = canonical(nx.random_regular_graph(5, 30, seed=1), "regular")
    for step in range(10):
        order = generator(7, "random matchings", step).permutation(graph.number_of_edges())
        links = list(graph.edges)
        pairs: set[tuple[str, str]] = set()
        for a, b in (links[index] for index in order):
            if not {a, b} & {peer for pair in pairs for peer in pair}:
                pairs.add((a, b))
        W = mixing_matrix_at(RandomMatchings(), graph, step, 7)
        assert {(str(i), str(j)) for i, j in zip(*np.nonzero(W), strict=True) if i < j} == pairs


@pytest.mark.parametrize(("n", "s"), [(10, 3), (10, 9), (7, 2), (7, 6)])
def test_epidemic_partners_are_as_many_as_asked_for_and_all_others_alike(n, s):
    steps = range(2000)
    for schedule in [EpidemicOracle(s), EpidemicLocal(s)]:
        links = schedule.links(some_graph(n))
        meet = schedule.meetings(links, "0", 0)
        counts = dict.fromkeys(links, 0)
        for step in steps:
            receivers = meet(step).receivers
            assert len(receivers) == s
            for other in receivers:
                counts[other] += 1
        assert counts.pop("0") == 0
        assert np.abs(np.array(list(counts.values())) / len(steps) - s / (n - 1)).max() < 0.05


def test_an_oracle_of_everybody_gives_the_mean():
    for n in (2, 5, 8):
        np.testing.assert_allclose(matrices(EpidemicOracle(n - 1), n, range(2)), 1 / n, atol=1e-15)


def oracle_contraction(n: int, s: int) -> float:
    return (1 - s / (n - 1)) / (s + 1)


def local_contraction(n: int, s: int) -> float:
    return (1 - (1 - s / (n - 1)) ** n) / s - 1 / (n - 1)


def test_the_contraction_of_epidemic_schedules_at_the_size_of_the_paper():
    assert oracle_contraction(96, 7) == pytest.approx(0.115789, abs=5e-7)
    assert local_contraction(96, 7) == pytest.approx(0.132239, abs=5e-7)
    assert oracle_contraction(100, 1) == pytest.approx(0.494949, abs=5e-7)
    assert local_contraction(100, 1) == pytest.approx(0.627582, abs=5e-7)


@pytest.mark.parametrize(
    ("schedule", "n", "contraction"),
    [
        (EpidemicOracle(1), 10, oracle_contraction(10, 1)),
        (EpidemicOracle(3), 10, oracle_contraction(10, 3)),
        (EpidemicLocal(1), 10, local_contraction(10, 1)),
        (EpidemicLocal(3), 10, local_contraction(10, 3)),
    ],
)
def test_epidemic_schedules_contract_as_in_theory(schedule, n, contraction):
    """E ||W x - mean of W x||^2 / ||x||^2 over 400 steps, for 200 random x of mean 0 at once."""
    x = np.random.default_rng(0).standard_normal((n, 200))
    x -= x.mean(axis=0)
    x /= np.linalg.norm(x, axis=0)
    mixed = np.array(matrices(schedule, n, range(400))) @ x
    spread = ((mixed - mixed.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    assert spread.mean() == pytest.approx(contraction, rel=0.04)


def test_a_large_federation_draws_once_for_all():
    """The cost of a step is that of one draw and n short rows, not n draws."""
    links = EpidemicOracle(4).links(some_graph(300))
    everybody = [EpidemicOracle(4).meetings(links, peer_id, 0) for peer_id in links]
    before = gossipfl.schedules.epidemic._places.cache_info().misses
    for step in (1000, 1001):
        for meet in everybody:
            meet(step)
    assert gossipfl.schedules.epidemic._places.cache_info().misses == before + 2


@pytest.mark.parametrize(
    "schedule", [Static(), Static("max_degree"), RandomMatchings(), EpidemicLocal(), OnePeerExponential(), BaseGraph()]
)
def test_a_peer_is_made_without_going_through_all_others(schedule):
    """What one more peer costs does not depend on how many there are: lookups in the graph are counted."""

    class Counting(dict):
        def __getitem__(self, key):
            lookups[0] += 1
            return super().__getitem__(key)

        def __iter__(self):
            lookups[0] += len(self)
            return super().__iter__()

    lookups = [0]
    links = schedule.links(some_graph(64)).copy()
    links._adj, links._node = Counting(links._adj), Counting(links._node)
    for peer_id in links:
        schedule.lead(links)
        schedule.meetings(links, peer_id, 0)
    first = lookups[0]
    lookups[0] = 0
    for peer_id in ("7", "9"):
        schedule.lead(links)
        schedule.meetings(links, peer_id, 0)
    assert lookups[0] < 64 < first


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BaseGraph(0), "k is the largest number of partners per step and must be >= 1, got 0"),
        (lambda: EpidemicOracle(0), "num_neighbors must be >= 1, got 0"),
        (lambda: EpidemicLocal(-1), "num_neighbors must be >= 1, got -1"),
        (lambda: OnePeerHypercube().links(some_graph(12)), "there are 12.*one_peer_exponential or base_graph"),
        (
            lambda: EpidemicOracle(3).links(some_graph(9)),
            "9 peers with num_neighbors = 3.*even, or take epidemic_local",
        ),
        (lambda: EpidemicOracle(4).links(some_graph(4)), "there are 4: give at most 3, or add peers"),
        (lambda: EpidemicLocal(1).links(some_graph(1)), "there are 1"),
        (lambda: RandomMatchings().links(named("directed-ring-chords")), "both ways.* is directed: use"),
    ],
)
def test_impossible_schedules_are_refused(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_every_field_says_what_it_trades():
    for schedule in SCHEDULES.values():
        first = schedule.__doc__.splitlines()[0]
        assert len(first) <= 110, schedule
        assert first.endswith(")."), schedule
        assert all(field.type.__metadata__ for field in dataclasses.fields(schedule)), schedule
