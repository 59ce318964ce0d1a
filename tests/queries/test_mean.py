"""Means, sums and counts against exact arithmetic: the bound holds, whatever the values, weights and peers are."""

import math
from fractions import Fraction

import numpy as np
import pytest
from asking import answered
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import DataError
from gossipfl.queries import Count, Mean, Sum, Values

numbers = st.floats(-1e90, 1e90) | st.integers(-10, 10).map(float) | st.sampled_from([1e16, -1e16, 5e-324])
weights = st.just(0.0) | st.floats(1e-90, 1e90) | st.integers(1, 5).map(float)
peers = st.lists(st.lists(st.tuples(numbers, weights), max_size=6), min_size=1, max_size=5)


def exact(peer, weighted):
    """The sums of terms and of weights, as fractions."""
    pairs = [(Fraction(x), Fraction(w) if weighted else Fraction(1)) for x, w in peer]
    return sum((x * w for x, w in pairs), Fraction(0)), sum((w for _, w in pairs), Fraction(0))


def holds(answer, truth):
    return abs(Fraction(answer.value) - truth) <= Fraction(answer.bound)


@given(peers, st.booleans())
def test_every_answer_is_within_its_bound(peers, weighted) -> None:
    values = [Values([x for x, _ in peer], [w for _, w in peer] if weighted else None) for peer in peers]
    sums = [exact(peer, weighted) for peer in peers]
    total, weight = (sum(column, Fraction(0)) for column in zip(*sums, strict=True))
    assert holds(answered(Sum(), values), total)
    assert answered(Count(), values).value == sum(map(len, peers))
    if weight:
        assert holds(answered(Mean(), values), total / weight)
        means = [x / w for x, w in sums if w]
        assert holds(answered(Mean(over="peers"), values), sum(means, Fraction(0)) / len(means))
    else:
        assert math.isnan(answered(Mean(), values).value)


@given(st.lists(st.lists(st.integers(-(10**6), 10**6), max_size=6), min_size=1, max_size=4))
def test_bounds_are_of_the_size_of_one_rounding(peers) -> None:
    answer = answered(Mean(), [Values(peer) for peer in peers])
    if any(peers):
        assert answer.bound <= 1.01 * 2.0**-53 * abs(answer.value) + 1e-20
    assert answered(Sum(), [Values(peer) for peer in peers]).bound < 1e-20


def test_local_means_and_their_mean() -> None:
    values = [Values([1, 1, 1]), Values([13])]
    assert (answered(Mean(over="peers"), values).value, answered(Mean(), values).value) == (7.0, 4.0)


def test_all_features_at_once() -> None:
    generator = np.random.default_rng(0)
    table = generator.normal(1e3, 1.0, (1000, 5))
    values = [Values(part) for part in np.split(table, [100, 100, 400])]
    answer = answered(Mean(), values, 5)
    assert np.abs(answer.value - table.mean(axis=0)).max() < 1e-10
    assert (answer.num_peers, answer.num_examples, answer.notes) == (4, 1000, ())


def test_what_is_no_number_is_refused_with_its_row() -> None:
    for given_numbers, message in (
        ([1.0, math.nan], "the number in row 2 is nan"),
        ([math.inf], "the number in row 1 is inf"),
        ([1e200], r"the number in row 1 is 1e\+200"),
        ([[1.0, 2.0], [1.0]], "rows differ in length"),
        ([2**60], "integer above 2"),
        ([2**53 + 1], "integer above 2"),
        ([-(2**53) - 1], "integer above 2"),
        (np.array([2**53 + 1], np.uint64), "integer above 2"),
        (np.ma.array([1, 2, 99], mask=[False, False, True]), "row 3 is masked"),
        ([1j], "complex128: real numbers"),
        ([None, 1], "the number in row 1 is None"),
        ([[1, 2], [3, None]], "the number in row 2 is None"),
        ([1, 2**70], "the number in row 2 is 1180591620717411303424"),
        (["a", 7.0], "row 2 is 7.0, which is no text like others"),
        ([[["a"]]], "shape"),
        ([["a", "b"]], "several texts"),
        (["a", "\ud800"], "row 2 is '.ud800', in which there is half a character"),
    ):
        with pytest.raises(DataError, match=message):
            Values(given_numbers)
    for given_weights, message in (
        ([1], "1 weights for 2"),
        ([1, -1], "row 2 is -1"),
        ([0, 1e-200], "row 2 is 1e-200"),
    ):
        with pytest.raises(DataError, match=message):
            Values([1, 2], given_weights)
    with pytest.raises(DataError, match="mean takes numbers, and row 1 is the text 'red'"):
        answered(Mean(), [Values(["red"])])
    with pytest.raises(DataError, match="an example has 3 numbers, and mean is asked of 2"):
        answered(Mean(), [Values([[1, 2, 3]])], 2)


def test_numbers_of_any_type_are_taken() -> None:
    for given_numbers in (np.array([1, 2.5], object), np.array([1, 2.5], np.float32), [1, 2.5], np.array([[1], [2.5]])):
        assert answered(Sum(), [Values(given_numbers)]).value == 3.5
    assert (
        answered(Sum(), [Values([True, False, True]), Values(3), Values(np.array([250, 250], np.uint8))]).value == 505
    )


def test_few_peers_and_no_examples_are_noted() -> None:
    assert "a single peer" in answered(Count(), [Values([1])]).notes[0]
    assert "a single peer" in answered(Count(), [Values([1])] + [Values([])] * 3).notes[0]
    assert "only 2 peers" in answered(Count(), [Values([1]), Values([1])]).notes[0]
    assert answered(Count(), [Values([1])] * 3).notes == ()
    assert "no peer has an example" in answered(Mean(), [Values([])] * 3).notes[0]
