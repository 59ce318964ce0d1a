"""Integers modulo 2^2112: sums of float64 in them are exact, and come back rounded once."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError
from gossipfl.secrecy import exact_ring

NUMBERS = st.floats(-exact_ring.LARGEST / 8, exact_ring.LARGEST / 8, allow_subnormal=True)
BITS = 32 * exact_ring.WORDS


@given(terms=st.lists(NUMBERS, min_size=1, max_size=6))
def test_a_sum_is_that_of_fractions(terms):
    true = sum(map(Fraction, terms))
    total = exact_ring.total((1, exact_ring.encoded([exact_ring.whole(term)])) for term in terms)
    (integer,) = exact_ring.decoded(total)
    assert Fraction(integer, 2**1074) == true
    high, low = exact_ring.number_of(integer)
    assert high == float(true)
    assert abs(true - Fraction(high) - Fraction(low)) <= abs(Fraction(low)) * Fraction(1, 2**53)


@given(
    integers=st.lists(st.integers(-(2 ** (BITS - 1)), 2 ** (BITS - 1) - 1), min_size=1, max_size=4),
    signs=st.lists(st.sampled_from([1, -1]), min_size=4, max_size=4),
)
def test_it_wraps_as_integers_do(integers, signs):
    terms = [(sign, exact_ring.encoded([one, 1])) for sign, one in zip(signs, integers, strict=False)]
    true = sum(sign * one for sign, one in zip(signs, integers, strict=False))
    found, count = exact_ring.decoded(exact_ring.total(terms))
    assert (found - true) % 2**BITS == 0
    assert count == sum(signs[: len(integers)])
    assert -(2 ** (BITS - 1)) <= found < 2 ** (BITS - 1)


@pytest.mark.parametrize("number", [2.0**1000 * (1 + 2.0**-52), -np.inf, np.nan])
def test_what_is_beyond_the_range_is_refused(number):
    with pytest.raises(ConfigurationError, match="up to 2\\^1000"):
        exact_ring.whole(number)
