"""Variances, standard deviations and extremes against exact arithmetic and NumPy."""

import math
from fractions import Fraction

import numpy as np
import pytest
from asking import answered
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError, DataError
from gossipfl.queries import Maximum, Minimum, StandardDeviation, Values, Variance

numbers = st.floats(-1e80, 1e80) | st.integers(-10, 10).map(float) | st.sampled_from([1e16, 1e16 + 2, 5e-324, 1e-170])
weights = st.just(0.0) | st.floats(1e-90, 1e90) | st.integers(1, 5).map(float)
peers = st.lists(st.lists(st.tuples(numbers, weights), max_size=6), min_size=1, max_size=5)


def variance(pairs, correction):
    total = sum(w for _, w in pairs)
    mean = sum(x * w for x, w in pairs) / total
    return sum(w * (x - mean) ** 2 for x, w in pairs) / (total - correction)


@given(peers, st.booleans(), st.integers(0, 1))
def test_every_answer_is_within_its_bound(peers, weighted, correction) -> None:
    weighted = weighted and not correction
    values = [Values([x for x, _ in peer], [w for _, w in peer] if weighted else None) for peer in peers]
    pairs = [(Fraction(x), Fraction(w) if weighted else Fraction(1)) for peer in peers for x, w in peer]
    squared, root = (answered(query(correction), values) for query in (Variance, StandardDeviation))
    if sum(w for _, w in pairs) == 0 or len(pairs) <= correction:
        assert math.isnan(squared.value)
        assert "there is no variance" in squared.notes[0]
        assert math.isnan(root.value)
        return
    truth = variance(pairs, correction)
    assert abs(Fraction(squared.value) - truth) <= Fraction(squared.bound)
    low, high = Fraction(root.value) - Fraction(root.bound), Fraction(root.value) + Fraction(root.bound)
    assert max(low, Fraction(0)) ** 2 <= truth <= high**2


@given(st.floats(-1e80, 1e80), st.integers(1, 50))
def test_equal_numbers_vary_by_nothing(number, num_examples) -> None:
    answer = answered(Variance(), [Values([number] * num_examples), Values([number])])
    assert (answer.value, answer.bound < 1e-200) == (0.0, True)


def test_a_small_spread_far_from_zero_is_not_lost() -> None:
    generator = np.random.default_rng(0)
    table = 1e9 + generator.normal(size=(500, 3)) * 1e-3
    values = [Values(part) for part in np.split(table, [10, 300])]
    for query, oracle in ((Variance, np.var), (StandardDeviation, np.std)):
        for correction in (0, 1):
            answer = answered(query(correction), values, 3)
            centred = table - table.mean(axis=0)
            assert answer.value == pytest.approx(oracle(centred, axis=0, ddof=correction), rel=1e-9)
            assert (answer.bound <= 1e-14 * answer.value).all()


@given(st.lists(st.lists(numbers, max_size=5), min_size=1, max_size=4))
def test_extremes_are_exact(peers) -> None:
    values = [Values(peer) for peer in peers]
    least, greatest = answered(Minimum(), values), answered(Maximum(), values)
    everything = [x for peer in peers for x in peer]
    if everything:
        assert (least.value, greatest.value) == (min(everything), max(everything))
        assert (least.bound, greatest.bound) == (0.0, 0.0)
    else:
        assert math.isnan(least.value)


def test_what_they_do_not_take_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="correction must be 0 or 1, got 2"):
        StandardDeviation(2)
    with pytest.raises(DataError, match="leave out weights"):
        answered(Variance(1), [Values([1, 2], [1, 2])])
    with pytest.raises(DataError, match="minimum takes no weights"):
        answered(Minimum(), [Values([1, 2], [1, 2])])
