"""Histograms and quantiles against NumPy, to the last bit."""

import math
from fractions import Fraction

import numpy as np
import pytest
from asking import answered, asked
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError
from gossipfl.queries import Histogram, Quantiles, Values

numbers = st.floats(-1e90, 1e90) | st.integers(-3, 3).map(float) | st.sampled_from([5e-324, -5e-324, 1.0, 1.0 + 2**-52])
peers = st.lists(st.lists(numbers, max_size=8), min_size=1, max_size=5)
shares = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=5).map(tuple)


@given(peers, shares)
def test_quantiles_are_those_of_numpy(peers, at) -> None:
    answer = answered(Quantiles(at), [Values(peer) for peer in peers])
    everything = [x + 0.0 for peer in peers for x in peer]
    if not everything:
        assert math.isnan(answer.value)
        return
    truth = np.quantile(everything, at)
    assert np.array_equal(np.atleast_1d(answer.value), truth)


@given(peers, shares, st.sampled_from([0.5, 3.0, 1e6]))
def test_a_resolution_is_in_the_bound(peers, at, resolution) -> None:
    if any(peers):
        answer = answered(Quantiles(at, resolution), [Values(peer) for peer in peers])
        truth = np.quantile([x for peer in peers for x in peer], at)
        assert (np.abs(np.atleast_1d(answer.value) - truth) <= answer.bound).all()


def test_many_features_and_examples_take_few_passes() -> None:
    generator = np.random.default_rng(0)
    table = np.column_stack([generator.normal(size=20_000), generator.exponential(size=20_000), np.ones(20_000)])
    values = [Values(part) for part in np.split(table, 4)]
    answer, num_passes = asked(Quantiles(), values, 3)
    assert np.array_equal(answer.value, np.quantile(table, (0.25, 0.5, 0.75), axis=0).T)
    assert (num_passes, len(Quantiles().passes(3))) == (4, 10)


@given(peers, st.integers(1, 20))
def test_histograms_are_those_of_numpy(peers, bins) -> None:
    answer = answered(Histogram(bins), [Values(peer) for peer in peers])
    everything = [x for peer in peers for x in peer]
    if everything:
        counts, edges = np.histogram(everything, np.linspace(*_range(everything), bins + 1))
        assert np.array_equal(np.atleast_1d(answer.value), counts)
        assert np.array_equal(answer.edges, edges)
    else:
        assert math.isnan(answer.value)


def _range(numbers):
    return (numbers[0] - 0.5, numbers[0] + 0.5) if min(numbers) == max(numbers) else (min(numbers), max(numbers))


def test_histograms_of_given_edges_say_what_is_outside() -> None:
    table = np.random.default_rng(0).normal(size=(300, 2))
    edges = (-1.0, 0.0, 0.25, 2.0)
    answer = answered(Histogram(edges=edges), [Values(part) for part in np.split(table, 3)], 2)
    assert np.array_equal(answer.value, [np.histogram(column, edges)[0] for column in table.T])
    below, above = (table < -1).sum(), (table > 2).sum()
    assert answer.notes == (f"outside the edges are {below} below and {above} above",)
    assert "2 counts are below 5: so few may point at persons" in answered(Histogram(2), [Values([1, 2])] * 2).notes


def test_what_cannot_be_is_refused() -> None:
    for wrong in (
        lambda: Histogram(0),
        lambda: Histogram(5000),
        lambda: Histogram(edges=(1.0,)),
        lambda: Histogram(edges=(1.0, 1.0)),
        lambda: Histogram(edges=(0.0, math.inf)),
        lambda: Histogram(edges=(0.0, math.nan, 2.0)),
        lambda: Quantiles(()),
        lambda: Quantiles((1.5,)),
        lambda: Quantiles((math.nan,)),
        lambda: Quantiles(resolution=-1.0),
        lambda: Quantiles(resolution=math.nan),
        lambda: Quantiles(extremes=2),
    ):
        with pytest.raises(ConfigurationError, match="must be"):
            wrong()


def test_a_bound_holds_below_the_range_of_float64_too() -> None:
    """Between the two least numbers there is none: what is interpolated is rounded to one of them."""
    answer = answered(Quantiles((1 / 3,)), [Values([0.0, 5e-324]), Values([-5e-324])])
    truth = Fraction(-5e-324) * (1 - Fraction(2 * (1 / 3)))
    assert abs(Fraction(answer.value) - truth) <= Fraction(answer.bound)
