"""The least and the greatest of all values: exact, and the value of somebody."""

from dataclasses import dataclass

import numpy as np

from gossipfl.queries.mean import nothing, shaped
from gossipfl.queries.query import Counted, Found, Step, summary
from gossipfl.queries.summary import NO_MAXIMUM, Summary
from gossipfl.queries.values import Values


@dataclass(frozen=True)
class Minimum:
    """The least of all examples. One pass; exact."""

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """One, of a maximum for each feature."""
        return (self.first(num_features).sizes,)

    def first(self, num_features: int = 1) -> Step:
        """The one pass of it."""
        return Step.first(_Extreme("minimum", num_features, -1))


@dataclass(frozen=True)
class Maximum:
    """The greatest of all examples. One pass; exact."""

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """One, of a maximum for each feature."""
        return (self.first(num_features).sizes,)

    def first(self, num_features: int = 1) -> Step:
        """The one pass of it."""
        return Step.first(_Extreme("maximum", num_features, 1))


@dataclass(frozen=True)
class _Extreme:
    """The pass of maxima of sign * x."""

    asked: str
    num_features: int
    sign: int

    @property
    def sizes(self) -> tuple[int, int]:
        return 0, self.num_features

    def local(self, values: Values) -> Summary:
        numbers = values.checked(self.asked, self.num_features)
        return summary(np.zeros(0), (self.sign * numbers).max(axis=0, initial=NO_MAXIMUM))

    def next(self, total: Summary, counted: Counted) -> Found:
        if not counted.examples:
            return nothing(self.asked, self.num_features)
        # Adding 0 makes 0 of -0.
        return Found(shaped(self.sign * total.maxima + 0.0), shaped(np.zeros(self.num_features)))
