"""Histograms."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np

from gossipfl.errors import ConfigurationError, DataError
from gossipfl.names.spelling import listed
from gossipfl.queries.mean import nothing, shaped
from gossipfl.queries.query import CANNOT_BE, COUNTED, Counted, Found, Step, small_counts, summary, whole
from gossipfl.queries.summary import NO_MAXIMUM, Floats, Summary
from gossipfl.queries.values import LARGEST, Values

MOST_BINS = 1024


@dataclass(frozen=True)
class Histogram:
    """The number of examples in each bin: [e_k, e_k+1) between edges, the last bin with its right edge.

    The edges are the given ones, or those of equal bins between the least and the greatest value, as NumPy has them.
    One pass with edges, two with bins; exact.
    """

    bins: Annotated[int, "number of equal bins, at most 1,024; more: finer, and smaller counts"] = 10
    edges: Annotated[tuple[float, ...], "edges in place of bins, in rising order"] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.bins <= MOST_BINS:
            raise ConfigurationError(f"bins must be 1 to {MOST_BINS}, got {self.bins}")
        rising = all(low < high for low, high in pairwise(self.edges))
        if self.edges and not (
            2 <= len(self.edges) <= MOST_BINS + 1 and rising and max(map(abs, self.edges)) <= LARGEST
        ):
            shown = listed([f"{edge:g}" for edge in self.edges], 10)
            raise ConfigurationError(f"edges must be 2 to {MOST_BINS + 1} finite numbers in rising order, got {shown}")

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """One of counts, before it one of the least and the greatest unless edges are given."""
        first = self.first(num_features).sizes
        return (first,) if self.edges else (first, (COUNTED + num_features * (self.bins + 2), 0))

    def first(self, num_features: int = 1) -> Step:
        """The first pass of it."""
        if self.edges:
            return Step.first(_Counts(np.tile(np.array(self.edges, np.float64), (num_features, 1))))
        return Step.first(_Range(num_features, self.bins))


@dataclass(frozen=True)
class _Range:
    """The pass of the least and the greatest value of each feature."""

    num_features: int
    bins: int

    @property
    def sizes(self) -> tuple[int, int]:
        return 0, 2 * self.num_features

    def local(self, values: Values) -> Summary:
        numbers = values.checked("histogram", self.num_features)
        return summary(np.zeros(0), np.array([side.max(axis=0, initial=NO_MAXIMUM) for side in (-numbers, numbers)]))

    def next(self, total: Summary, counted: Counted) -> "Found | _Counts":
        if not counted.examples:
            return nothing("histogram", self.num_features)
        least, greatest = np.split(total.maxima, 2)
        if (-least > greatest).any():
            raise DataError(CANNOT_BE)
        alone = least == -greatest
        return _Counts(np.linspace(-least - 0.5 * alone, greatest + 0.5 * alone, self.bins + 1, axis=1))


@dataclass(frozen=True, eq=False)
class _Counts:
    """The pass of counts between `edges` [F, bins + 1], and of what is outside."""

    edges: Floats

    @property
    def sizes(self) -> tuple[int, int]:
        return self.edges.shape[0] * (self.edges.shape[1] + 1), 0

    def local(self, values: Values) -> Summary:
        numbers = values.checked("histogram", len(self.edges))
        counts = []
        for edges, column in zip(self.edges, numbers.T, strict=True):
            places = np.searchsorted(edges, column, side="right")
            places[column == edges[-1]] -= 1
            counts.append(np.bincount(places, minlength=edges.size + 1))
        return summary(np.array(counts))

    def next(self, total: Summary, counted: Counted) -> Found:
        whole(total.sums, counted.examples)
        counts = total.sums.reshape(len(self.edges), -1)
        outside = [f"{int(sum(counts[:, end]))} {where}" for end, where in ((0, "below"), (-1, "above"))]
        notes = small_counts(counts[:, 1:-1])
        if counts[:, [0, -1]].any():
            notes += (f"outside the edges are {' and '.join(outside)}",)
        return Found(shaped(counts[:, 1:-1]), 0.0, notes, shaped(self.edges))
