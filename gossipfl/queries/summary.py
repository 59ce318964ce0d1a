"""Summaries: what of a query travels, and how two of them become one.

Sums are double-double: an unevaluated pair hi + lo of float64 with |lo| <= u |hi|, u = 2^-53. An addition of two pairs
(Joldes, Muller and Popescu, 2017, algorithm 6) is off by 3 u^2 of its result at most, whatever the signs; so k
additions of terms x are off by 3 k u^2 sum |x| at most, which is nothing beside the one rounding to float64 at the end.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossipfl.weights import Vector, frozen

Floats: TypeAlias = NDArray[np.floating]
"""An array of float64."""

UNIT = 2.0**-53
"""The largest relative error of one rounding to float64."""
UNDERFLOW = 2.0**-760
"""More than what a weighted term can lose because a product is below the range of float64, also when it is divided by
a weight afterwards: 2^-1074 over 2^-300."""
SAFE = 1 + 2.0**-40
"""A bound is multiplied by this, because it is itself the result of rounding."""
NO_MAXIMUM = -(2.0**1000)
"""The maximum over nothing: messages carry finite numbers, and those of `Values` are far above it."""


class Summary(NamedTuple):
    """All that one peer, or many together, have to say in one pass of a query, as float64.

    `sums` + `low` add up, `low` being what `sums` lost to rounding; `maxima` are elementwise. All are finite, and not
    above 2^1000 in size.
    """

    sums: Vector
    low: Vector
    maxima: Vector


def merged(summaries: Sequence[Summary]) -> Summary:
    """One summary of all, added in the order given, which the last bits depend on.

    >>> one, two = (Summary(np.array([x]), np.zeros(1), np.array([x])) for x in (1e100, 1.0))
    >>> merged([one, two, Summary(-one.sums, one.low, one.maxima)]).sums.tolist()
    [1.0]
    """
    high, low, maxima = summaries[0]
    for summary in summaries[1:]:
        high, low = added(high, low, summary.sums, summary.low)
        maxima = np.maximum(maxima, summary.maxima)
    return Summary(frozen(high), frozen(low), frozen(maxima))


def two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """a + b, and what rounding lost of it (Knuth)."""
    total = a + b
    other = total - a
    return total, (a - (total - other)) + (b - other)


def _fast_two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """The same where |a| >= |b| (Dekker)."""
    total = a + b
    return total, b - (total - a)


def added(high: Floats, low: Floats, other_high: Floats, other_low: Floats) -> tuple[Floats, Floats]:
    """The sum of two double-double arrays."""
    total, lost = two_sum(high, other_high)
    total_low, lost_low = two_sum(low, other_low)
    total, lost = _fast_two_sum(total, lost + total_low)
    return _fast_two_sum(total, lost_low + lost)


def product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """a b, and what rounding lost of it (Dekker and Veltkamp), for numbers and products below 2^990."""
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    value = a * b
    return value, ((a_high * b_high - value) + a_high * b_low + a_low * b_high) + a_low * b_low


def _halves(a: Floats) -> tuple[Floats, Floats]:
    """Two numbers of 26 bits whose sum is `a`."""
    shifted = (2.0**27 + 1) * a
    high = shifted - (shifted - a)
    return high, a - high


def quotient(high: Floats, low: Floats, over_high: Floats, over_low: Floats) -> tuple[Floats, Floats]:
    """The quotient of double-double numbers, off by 16 u^2 of it at most."""
    value = high / over_high
    back, lost = product(value, over_high)
    return _fast_two_sum(value, ((high - back) - lost + low - value * over_low) / over_high)


def summed(high: Floats, low: Floats) -> tuple[Floats, Floats]:
    """The double-double sum of terms high + low over the first axis of [N, ...], by halves."""
    high, low = _fast_two_sum(high, low)
    while len(high) > 1:
        half = len(high) // 2
        added_high, added_low = added(high[:half], low[:half], high[half : 2 * half], low[half : 2 * half])
        high, low = np.concatenate([added_high, high[2 * half :]]), np.concatenate([added_low, low[2 * half :]])
    if not len(high):
        return np.zeros(high.shape[1:]), np.zeros(high.shape[1:])
    return high[0], low[0]


class Total(NamedTuple):
    """A sum of terms as it was agreed: high + low, at most `error` away from the true one."""

    high: Floats
    low: Floats
    error: Floats

    @property
    def bound(self) -> Floats:
        """The distance of the true sum from `high` at most."""
        return np.asarray((np.abs(self.low) + self.error) * SAFE)

    def over(self, other: "Total") -> tuple[Floats, Floats]:
        """The quotient with a positive total, and the distance of the true one from it at most."""
        value, low = quotient(self.high, self.low, other.high, other.low)
        missing = (self.error + np.abs(value) * other.error) / (other.high - other.bound)
        return value, np.asarray((np.abs(low) + missing + 16 * UNIT**2 * np.abs(value) + UNDERFLOW) * SAFE)
