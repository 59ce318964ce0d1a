"""Double-double arithmetic keeps what it promises, against fractions."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.queries.summary import UNIT, added, product, quotient, summed

U2 = Fraction(UNIT) ** 2
sizes = st.integers(-100, 100).flatmap(lambda exponent: st.floats(1, 2).map(lambda m: m * 2.0**exponent))
numbers = sizes | sizes.map(lambda x: -x) | st.just(0.0)


@st.composite
def pairs(draw):
    """A double-double number, as arrays without axes."""
    high = draw(numbers)
    low = draw(st.floats(-0.5, 0.5)) * np.spacing(abs(high)) if high else 0.0
    total = high + low  # the nearest to the sum of both, as `added` leaves it
    return np.array(total), np.array(low - (total - high))


def exact(pair):
    return Fraction(float(pair[0])) + Fraction(float(pair[1]))


@given(pairs(), pairs())
def test_a_sum_is_off_by_three_units_squared(one, other) -> None:
    total = added(*one, *other)
    truth = exact(one) + exact(other)
    assert abs(exact(total) - truth) <= 3 * (1 + 8 * Fraction(UNIT)) * U2 * abs(truth)
    assert abs(total[1]) <= UNIT * abs(total[0])


@given(numbers, numbers)
def test_a_product_is_exact(one, other) -> None:
    assert exact(product(np.array(one), np.array(other))) == Fraction(one) * Fraction(other)


@given(pairs(), pairs())
def test_a_quotient_is_off_by_sixteen_units_squared(one, other) -> None:
    if other[0]:
        truth = exact(one) / exact(other)
        assert abs(exact(quotient(*one, *other)) - truth) <= 16 * U2 * abs(truth)


@given(st.lists(numbers, max_size=20))
def test_a_long_sum_is_off_by_little_of_the_sizes(terms) -> None:
    array = np.array(terms, np.float64)
    total = summed(array, np.zeros_like(array))
    assert abs(exact(total) - sum(map(Fraction, terms))) <= 4 * len(terms) * U2 * sum(abs(Fraction(x)) for x in terms)
