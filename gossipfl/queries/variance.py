"""Variance and standard deviation, in two passes: the mean first, then squares around it, of which little cancels."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from gossipfl.errors import ConfigurationError, DataError
from gossipfl.queries.mean import nothing, shaped, totals, weighted_sums
from gossipfl.queries.query import CANNOT_BE, COUNTED, Counted, Found, Step, summary
from gossipfl.queries.summary import SAFE, UNIT, Floats, Summary, product, two_sum
from gossipfl.queries.values import LARGEST, Values


@dataclass(frozen=True)
class Variance:
    """The mean squared distance from the mean: sum_i w_i (x_i - m)^2 / sum_i w_i, over all examples i.

    With a `correction` of 1, divided by the number of examples minus 1, and without weights. Two passes.
    """

    correction: Annotated[int, "0: of these examples; 1: an unbiased estimate of where they come from"] = 0

    def __post_init__(self) -> None:
        if self.correction not in (0, 1):
            raise ConfigurationError(f"correction must be 0 or 1, got {self.correction}")

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """Two, of two and four sums for each feature."""
        return (self.first(num_features).sizes, (COUNTED + 1 + 4 * num_features, 0))

    def first(self, num_features: int = 1) -> Step:
        """The pass of the mean."""
        return Step.first(_Centre("variance", num_features, self.correction))


@dataclass(frozen=True)
class StandardDeviation:
    """The square root of the variance. Two passes."""

    correction: Annotated[int, "as of the variance"] = 0

    def __post_init__(self) -> None:
        Variance(self.correction)

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """Those of the variance."""
        return Variance().passes(num_features)

    def first(self, num_features: int = 1) -> Step:
        """The pass of the mean."""
        return Step.first(_Centre("standard deviation", num_features, self.correction))


@dataclass(frozen=True)
class _Centre:
    """The pass of the mean."""

    asked: str
    num_features: int
    correction: int

    @property
    def sizes(self) -> tuple[int, int]:
        return 1 + 2 * self.num_features, 0

    def local(self, values: Values) -> Summary:
        terms = values.checked(self.asked, self.num_features, takes_weights=True)
        if self.correction and values.weights is not None:
            raise DataError(
                f"the {self.asked} with a correction of 1 is of examples that count alike: leave out weights"
            )
        sums, low = weighted_sums(terms, np.zeros_like(terms), values.weights)
        return summary(sums, low=low)

    def next(self, total: Summary, counted: Counted) -> "Found | _Squares":
        sums, weights = totals(total, counted)
        if not weights.high:
            return nothing(self.asked, self.num_features)
        if self.correction >= counted.examples:
            missing = shaped(np.full(self.num_features, np.nan))
            return Found(missing, missing, (f"there is no {self.asked} with a correction of 1: it takes two examples",))
        mean, _ = sums.over(weights)
        if not (np.abs(mean) <= 2 * LARGEST).all():
            raise DataError(CANNOT_BE)
        return _Squares(self.asked, self.num_features, self.correction, mean)


@dataclass(frozen=True, eq=False)
class _Squares:
    """The pass of squares around a `centre`, which need not be the mean exactly, as the distances are summed, too."""

    asked: str
    num_features: int
    correction: int
    centre: Floats

    @property
    def sizes(self) -> tuple[int, int]:
        return 1 + 4 * self.num_features, 0

    def local(self, values: Values) -> Summary:
        terms = values.checked(self.asked, self.num_features, takes_weights=True)
        distance, lost = two_sum(terms, -self.centre)
        square, lost_square = product(distance, distance)
        high, low = np.hstack([distance, square]), np.hstack([lost, lost_square + 2 * distance * lost])
        sums, lows = weighted_sums(high, low, values.weights)
        return summary(sums, low=lows)

    def next(self, total: Summary, counted: Counted) -> Found:
        sums, weights = totals(total, counted)
        means, bounds = sums.over(weights)
        (shift, square), (shift_bound, square_bound) = np.split(means, 2), np.split(bounds, 2)
        value = np.maximum(square - shift**2, 0.0)
        bound = square_bound + (2 * np.abs(shift) + shift_bound) * shift_bound + UNIT * (shift**2 + value)
        factor = counted.examples / (counted.examples - self.correction)
        value, bound = value * factor, (bound * factor + 2 * UNIT * value * factor) * SAFE
        if self.asked == "standard deviation":
            root = np.sqrt(value)
            below, above = root - np.sqrt(np.maximum(value - bound, 0.0)), np.sqrt(value + bound) - root
            value, bound = root, (np.maximum(below, above) + 4 * UNIT * np.sqrt(value + bound)) * SAFE
        return Found(shaped(value), shaped(bound))
