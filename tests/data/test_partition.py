from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gossipfl.data.deck import Deck, Partitioner
from gossipfl.data.examples import Examples
from gossipfl.data.partition import (
    IID,
    PARTITIONERS,
    Contiguous,
    Dirichlet,
    Labels,
    Quantity,
    Shards,
    check_partition,
    label_counts,
    partition_digest,
)
from gossipfl.errors import ConfigurationError, DataError

ALL = [
    Contiguous(),
    IID(),
    Dirichlet(alpha=0.5),
    Dirichlet(alpha=0.1),
    Dirichlet(alpha=1e6, min_examples=3),
    Dirichlet(alpha=0.5, balanced=True),
    Dirichlet(alpha=0.05, min_examples=3, balanced=True),
    Shards(),
    Shards(per_peer=5),
    Labels(),
    Labels(per_peer=1),
    Quantity(alpha=0.3),
    Quantity(alpha=1e-3),
]


@st.composite
def label_arrays(draw: st.DrawFn) -> NDArray[np.integer[Any]]:
    counts = draw(st.lists(st.integers(0, 40), min_size=1, max_size=10).filter(any))
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(labels)


def parts_of(
    rule: Partitioner, labels: NDArray[np.integer[Any]], num_peers: int, seed: int = 0
) -> list[NDArray[np.int64]]:
    deck = Deck(Examples(labels, labels), labels)
    return rule(deck, [str(peer) for peer in range(num_peers)], np.random.default_rng(seed))


@pytest.mark.long
@pytest.mark.parametrize("rule", ALL, ids=repr)
@settings(deadline=None, max_examples=40)
@given(labels=label_arrays(), num_peers=st.integers(1, 12), seed=st.integers(0, 9))
def test_every_example_has_exactly_one_peer_or_the_rule_says_why_not(
    rule: Partitioner, labels: NDArray[np.integer[Any]], num_peers: int, seed: int
) -> None:
    try:
        parts = parts_of(rule, labels, num_peers, seed)
    except ConfigurationError:
        with pytest.raises(ConfigurationError, match=r"lower|raise"):
            parts_of(rule, labels, num_peers, seed)
        return
    check_partition(parts, len(labels))
    assert len(parts) == num_peers
    assert all(part.dtype == np.int64 and len(part) >= 1 and np.all(np.diff(part) > 0) for part in parts)
    again = parts_of(rule, labels, num_peers, seed)
    assert partition_digest(again) == partition_digest(parts)
    table = label_counts(labels, parts, 10)
    assert table.sum(axis=1).tolist() == [len(part) for part in parts]
    assert table.sum(axis=0).tolist() == np.bincount(labels, minlength=10).tolist()


@pytest.mark.parametrize("rule", ALL, ids=repr)
def test_plenty_of_examples_suit_every_rule(rule: Partitioner) -> None:
    labels = np.arange(2_000) % 10
    parts = parts_of(rule, labels, 10)
    check_partition(parts, 2_000)
    other = parts_of(rule, labels, 10, seed=1)
    assert (partition_digest(other) == partition_digest(parts)) == (rule == Contiguous())


def test_ten_contiguous_peers_hold_the_tenths_of_sixty_thousand() -> None:
    parts = parts_of(Contiguous(), np.zeros(60_000, np.int32), 10)
    assert [(int(part[0]), int(part[-1]) + 1) for part in parts] == [(6_000 * i, 6_000 * (i + 1)) for i in range(10)]


@given(num_examples=st.integers(100, 10**5), num_peers=st.sampled_from([1, 2, 4, 5, 10, 20, 25, 50, 100]))
def test_contiguous_bounds_are_the_percent_slices_of_tensorflow_datasets(num_examples: int, num_peers: int) -> None:
    percent = 100 // num_peers
    parts = parts_of(Contiguous(), np.zeros(num_examples, np.int8), num_peers)
    expected = [round(percent * i * num_examples / 100.0) for i in range(num_peers + 1)]
    assert [0, *np.cumsum([len(part) for part in parts])] == expected


@given(num_examples=st.integers(1, 300), num_peers=st.integers(1, 40))
def test_iid_sizes_differ_by_at_most_one(num_examples: int, num_peers: int) -> None:
    num_examples = max(num_examples, num_peers)
    sizes = [len(part) for part in parts_of(IID(), np.zeros(num_examples, np.int32), num_peers)]
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None)
@given(labels=label_arrays(), num_peers=st.integers(1, 12), per_peer=st.integers(1, 4))
def test_labels_gives_exactly_that_many_labels_with_balanced_holders(
    labels: NDArray[np.integer[Any]], num_peers: int, per_peer: int
) -> None:
    try:
        parts = parts_of(Labels(per_peer), labels, num_peers)
    except ConfigurationError:
        return
    held = label_counts(labels, parts, 10) > 0
    assert np.all(held.sum(axis=1) == per_peer)
    holders = held.sum(axis=0)[np.unique(labels)]
    assert holders.max() - holders.min() <= 1
    assert holders.min() >= 1


@settings(deadline=None)
@given(labels=label_arrays(), num_peers=st.integers(1, 8), per_peer=st.integers(1, 4))
def test_shards_are_runs_of_the_sorted_labels(labels: NDArray[np.integer[Any]], num_peers: int, per_peer: int) -> None:
    if num_peers * per_peer > len(labels):
        with pytest.raises(ConfigurationError, match="lower"):
            parts_of(Shards(per_peer), labels, num_peers)
        return
    parts = parts_of(Shards(per_peer), labels, num_peers)
    position = np.empty(len(labels), np.int64)
    position[np.argsort(labels, kind="stable")] = np.arange(len(labels))
    for part in parts:
        assert np.sum(np.diff(np.sort(position[part])) > 1) < per_peer


def test_shards_of_one_label_each_when_they_fit_exactly() -> None:
    labels = np.repeat(np.arange(10), 60)
    table = label_counts(labels, parts_of(Shards(per_peer=2), labels, 10), 10)
    assert set(table.ravel().tolist()) <= {0, 30, 60}
    assert np.all((table > 0).sum(axis=1) <= 2)


def test_a_lower_alpha_is_more_skewed() -> None:
    labels = np.arange(20_000) % 10

    def largest_share(alpha: float) -> float:
        table = label_counts(labels, parts_of(Dirichlet(alpha), labels, 16), 10)
        return float(np.mean(table.max(axis=1) / table.sum(axis=1)))

    shares = [largest_share(alpha) for alpha in (0.1, 1.0, 1e6)]
    assert shares[0] > 0.5 > shares[1] > 0.2 > shares[2]
    assert shares[2] == pytest.approx(0.1, abs=0.01)


def test_dirichlet_sizes_have_the_moments_of_the_distribution() -> None:
    labels, alpha, num_peers = np.zeros(10_000, np.int32), 2.0, 5
    shares = np.array([[len(p) / 1e4 for p in parts_of(Dirichlet(alpha), labels, num_peers, s)] for s in range(200)])
    mean = 1 / num_peers
    assert shares.mean(axis=0) == pytest.approx(np.full(num_peers, mean), abs=0.03)
    assert shares.var() == pytest.approx(mean * (1 - mean) / (alpha * num_peers + 1), rel=0.15)


def test_dirichlet_keeps_the_minimum() -> None:
    parts = parts_of(Dirichlet(alpha=0.5, min_examples=50), np.arange(2_000) % 10, 10)
    assert min(len(part) for part in parts) >= 50


@settings(deadline=None, max_examples=40)
@given(labels=label_arrays(), num_peers=st.integers(1, 12), alpha=st.floats(0.05, 10), seed=st.integers(0, 99))
def test_a_balanced_split_gives_nothing_more_to_a_peer_that_has_its_share(labels, num_peers, alpha, seed):
    try:
        parts = parts_of(Dirichlet(alpha, balanced=True), labels, num_peers, seed)
    except ConfigurationError:
        return
    table = label_counts(labels, parts, 10)
    had = np.cumsum(table, axis=1) - table  # before each class
    assert not table[had * num_peers >= len(labels)].any()
    assert table.sum() == len(labels)


def test_a_balanced_split_is_that_of_niid_bench():
    """The rule as its code has it, in a plain loop, with the same draws; its cut rounds down where ours rounds."""
    labels = np.arange(2_000) % 10
    for seed in range(20):
        generator = np.random.default_rng(seed)
        while True:
            held = np.zeros(16)
            table = []
            for p in generator.dirichlet(np.full(16, 0.5), size=10):
                p = np.array([share * (have < 2_000 / 16) for share, have in zip(p, held, strict=True)])
                cuts = np.rint(np.cumsum(p / p.sum()) * 200)
                table.append(np.diff(cuts, prepend=0))
                held += table[-1]
            if held.min() >= 10:
                break
        parts = parts_of(Dirichlet(0.5, min_examples=10, balanced=True), labels, 16, seed)
        np.testing.assert_array_equal(label_counts(labels, parts, 10), np.array(table).T)


def test_sizes_of_a_balanced_split_differ_less():
    labels = np.arange(2_000) % 10

    def spread(balanced: bool) -> float:
        rule = Dirichlet(0.3, balanced=balanced)
        return float(np.mean([np.std([len(part) for part in parts_of(rule, labels, 16, s)]) for s in range(20)]))

    assert spread(True) < 0.75 * spread(False)


def test_dirichlet_gives_up_with_a_remedy() -> None:
    with pytest.raises(ConfigurationError, match=r"raise alpha \(now 0.001\)"):
        parts_of(Dirichlet(alpha=0.001), np.arange(100) % 2, 16)
    with pytest.raises(ConfigurationError, match="min_examples=30"):
        parts_of(Dirichlet(alpha=1, min_examples=30), np.arange(100) % 2, 4)


def test_quantity_has_unequal_sizes_of_alike_labels() -> None:
    labels = np.arange(50_000) % 5
    table = label_counts(labels, parts_of(Quantity(alpha=0.5), labels, 8), 5)
    sizes = table.sum(axis=1)
    assert sizes.max() > 5 * sizes.min()
    large = table[sizes > 2_000] / sizes[sizes > 2_000, None]
    assert np.abs(large - 0.2).max() < 0.05


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Dirichlet(alpha=0), "alpha must be above 0"),
        (lambda: Dirichlet(alpha=float("nan")), "alpha must be above 0"),
        (lambda: Dirichlet(alpha=1, min_examples=0), "min_examples must be at least 1"),
        (lambda: Quantity(alpha=-1), "alpha must be above 0"),
        (lambda: Quantity(alpha=float("inf")), "at most 1e\\+06"),
        (lambda: Shards(per_peer=0), "per_peer must be at least 1"),
        (lambda: Labels(per_peer=0), "per_peer must be at least 1"),
    ],
)
def test_impossible_rules_are_refused(make: "type[Partitioner]", words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()


@pytest.mark.parametrize(
    ("rule", "labels", "num_peers", "words"),
    [
        (IID(), [0, 1], 3, "lower the number of peers"),
        (IID(), [0, 1], 0, "at least 1"),
        (Labels(per_peer=3), [0, 1, 0, 1], 2, "lower per_peer to at most 2"),
        (Labels(per_peer=1), [0, 1, 2, 0, 1, 2], 2, "raise per_peer to at least 2"),
        (Labels(per_peer=1), [0, 0, 0, 0, 0, 1], 4, r"label 1 has 1 example\(s\) for 2 holders: lower per_peer"),
        (Shards(per_peer=2), [0, 1, 2], 2, "3 examples cannot be cut into 4 shards"),
    ],
)
def test_impossible_partitions_name_the_remedy(
    rule: Partitioner, labels: list[int], num_peers: int, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parts_of(rule, np.array(labels, np.int32), num_peers)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([[0, 1], [3]], r"example 2 is lost: no peer holds it \(1 such"),
        ([[0, 1], [1, 2, 3]], r"example 1 is given 2 times, to peer position\(s\) 0, 1"),
        ([[0, 0], [1, 2, 3]], r"example 0 is given 2 times, to peer position\(s\) 0 \("),
        ([[0, 1, 2], [3, 4]], "got 4"),
        ([[0, 1, 2], [-1]], "got -1"),
        ([], "example 0 is lost"),
    ],
)
def test_a_bad_partition_is_named(parts: list[list[int]], words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_partition([np.array(part, np.int64) for part in parts], 4)


def test_float_indices_are_refused() -> None:
    with pytest.raises(DataError, match="integer indices"):
        check_partition([np.array([0.0, 1.0])], 2)


def test_the_digest_tells_peers_apart() -> None:
    one, two = np.arange(3), np.arange(3, 5)
    digests = {partition_digest(parts) for parts in ([one, two], [two, one], [np.arange(5)], [np.arange(4), two[1:]])}
    assert len(digests) == 4


def test_rules_are_known_by_name() -> None:
    rules = ["column", "contiguous", "dirichlet", "function", "iid", "indices", "labels", "quantity", "shards"]
    assert sorted(PARTITIONERS) == rules
    assert PARTITIONERS["shards"]() == Shards(per_peer=2)


@pytest.mark.parametrize("rule", [Dirichlet(alpha=1.0), Shards(), Labels()], ids=repr)
def test_a_rule_by_class_says_so_where_there_are_none(rule: Partitioner) -> None:
    with pytest.raises(ConfigurationError, match="by their class, and these have none"):
        rule(Deck(Examples(np.zeros((9, 2))), None), ["a", "b"], np.random.default_rng(0))


@pytest.mark.parametrize("rule", [Contiguous(), IID(), Quantity(alpha=1.0)], ids=repr)
def test_a_rule_by_size_needs_no_classes(rule: Partitioner) -> None:
    check_partition(rule(Deck(Examples(np.zeros((9, 2))), None), ["a", "b"], np.random.default_rng(0)), 9)
