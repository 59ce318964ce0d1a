"""Quantiles, exact: the values at the ranks that are asked for are enclosed more and more narrowly.

The float64 numbers are numbered in their order. Each pass splits the ranges that hold a rank into cells, counts what is
in each, and says the least and the greatest value in the range; so a value is known as soon as it is one of these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np

from gossipfl.errors import ConfigurationError, DataError
from gossipfl.queries.cells import cell, narrowed, num_splits, starts
from gossipfl.queries.mean import nothing, shaped
from gossipfl.queries.query import CANNOT_BE, COUNTED, Counted, Found, Step, summary, whole
from gossipfl.queries.summary import NO_MAXIMUM, SAFE, UNDERFLOW, UNIT, Floats, Summary
from gossipfl.queries.values import LARGEST, Values

CELLS = 512
"""Cells of all ranges of a feature together in a pass: more make fewer passes, of longer messages."""
MOST = 64


@dataclass(frozen=True)
class Quantiles:
    """The values below which given shares of all examples are, by NumPy's linear rule, exactly.

    Of n values in rising order, counted from 0, the quantile q is at position (n - 1) q, as float64 has it; between two
    of them it is interpolated. The value is that of somebody, or lies between those of two: a `resolution` rounds all
    values to its multiples before anything is counted, so that nothing finer is ever seen. Some 3 to 6 passes.
    """

    at: Annotated[tuple[float, ...], "the shares, each in [0, 1]"] = (0.25, 0.5, 0.75)
    resolution: Annotated[float, "multiples that values are rounded to; 0: exact values. Higher: reveals less"] = 0.0
    extremes: Annotated[
        int, "1: the least and greatest values near the ranks are told; 0: counts alone, more passes"
    ] = 1

    def __post_init__(self) -> None:
        if not 1 <= len(self.at) <= MOST or not all(0 <= share <= 1 for share in self.at):
            raise ConfigurationError(f"at must be 1 to {MOST} numbers in [0, 1], got {self.at}")
        if self.resolution and not 1 / LARGEST <= self.resolution <= LARGEST:
            raise ConfigurationError(f"resolution must be 0 or a positive number, got {self.resolution}")
        if self.extremes not in (0, 1):
            raise ConfigurationError(f"extremes must be 0 or 1, got {self.extremes}")

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """So many at most, of 512 sums for each feature."""
        most = 2 * len(self.at)
        num_passes = num_splits(2 * _key(LARGEST) + 1, (CELLS, CELLS // most))
        sizes = [
            (COUNTED + num_features * CELLS, self.extremes * num_features * 2 * (1 if k == 0 else most))
            for k in range(num_passes)
        ]
        return tuple(sizes)

    def first(self, num_features: int = 1) -> Step:
        """The first pass of it."""
        everything = _Range(-_key(LARGEST), _key(LARGEST), 0)
        return Step.first(_Enclosing(self, ((everything,),) * num_features, ({},) * num_features))


class _Range(NamedTuple):
    """The numbers low, ..., high of values, of which `below` values are below all."""

    low: int
    high: int
    below: int


@dataclass(frozen=True)
class _Enclosing:
    """A pass: the ranges still open of each feature, and the values known by their ranks."""

    query: Quantiles
    ranges: tuple[tuple[_Range, ...], ...]
    known: tuple[Mapping[int, float], ...]

    @cached_property
    def _starts(self) -> list[list[list[int]]]:
        """The cells of each range of each feature."""
        return [[starts(one.low, one.high, CELLS // len(ranges)) for one in ranges] for ranges in self.ranges]

    @property
    def sizes(self) -> tuple[int, int]:
        num_maxima = 2 * self.query.extremes * sum(map(len, self.ranges))
        return sum(len(cells) for of_one in self._starts for cells in of_one), num_maxima

    def local(self, values: Values) -> Summary:
        numbers = values.checked("quantiles", len(self.ranges))
        if self.query.resolution:
            numbers = np.rint(numbers / self.query.resolution) * self.query.resolution + 0.0
        counts, maxima = [], []
        for column, ranges, of_one in zip(numbers.T, self.ranges, self._starts, strict=True):
            ordered = np.sort(column)
            for one, cells in zip(ranges, of_one, strict=True):
                ends = np.searchsorted(ordered, _values(cells))
                last = np.searchsorted(ordered, _values([one.high]), side="right")[0]
                counts.append(np.diff(ends, append=last))
                inside = ordered[ends[0] : last]
                maxima += [-inside[0], inside[-1]] if inside.size else [NO_MAXIMUM] * 2
        return summary(np.concatenate([np.zeros(0), *counts]), np.array(maxima if self.query.extremes else []))

    def next(self, total: Summary, counted: Counted) -> "_Enclosing | Found":
        if not counted.examples:
            return nothing("quantile", len(self.ranges))
        positions = (counted.examples - 1) * np.array(self.query.at)
        ranks = sorted({int(rank) for one in positions for rank in (np.floor(one), np.ceil(one))})
        counts, extremes = iter(whole(total.sums, counted.examples)), iter(total.maxima.tolist())
        all_ranges, all_known = [], []
        for ranges, of_one, known in zip(self.ranges, self._starts, self.known, strict=True):
            known, narrower = dict(known), dict[_Range, None]()
            for one, cells in zip(ranges, of_one, strict=True):
                below = one.below + np.cumsum([0] + [next(counts) for _ in cells])
                least, greatest = (-next(extremes), next(extremes)) if self.query.extremes else (-LARGEST, LARGEST)
                for rank in ranks:
                    if not below[0] <= rank < below[-1]:
                        continue
                    number = int(np.searchsorted(below, rank, side="right")) - 1
                    low, high = narrowed(cell(cells, one.high, number), _key(least), _key(greatest))
                    if self.query.extremes and rank == below[0]:
                        known[rank] = least
                    elif self.query.extremes and rank == below[-1] - 1:
                        known[rank] = greatest
                    elif low == high:
                        known[rank] = float(_values([low])[0])
                    else:
                        narrower[_Range(low, high, int(below[number]))] = None
            if not narrower and len(known) < len(ranks):
                raise DataError(CANNOT_BE)
            all_ranges.append(tuple(narrower))
            all_known.append(known)
        if any(all_ranges):
            return replace(self, ranges=tuple(all_ranges), known=tuple(all_known))
        found = [_interpolated(positions, known, self.query.resolution) for known in all_known]
        value, size = (np.array(one) for one in zip(*found, strict=True))
        bound = (4 * UNIT * size + UNDERFLOW * (size > 0) + self.query.resolution / 2) * SAFE
        if len(self.query.at) == 1:
            value, bound = value[:, 0], bound[:, 0]
        return Found(shaped(value), shaped(bound))


def _interpolated(positions: Floats, known: Mapping[int, float], resolution: float) -> tuple[Floats, Floats]:
    """The values at these positions between ranks, in the way of NumPy, and the sizes of what was rounded for them."""
    low, high = (np.array([known[int(rank)] for rank in ranks]) for ranks in (np.floor(positions), np.ceil(positions)))
    share, distance = positions - np.floor(positions), high - low
    value = np.where(share >= 0.5, high - distance * (1 - share), low + distance * share)
    exact = ((share == 0) | (distance == 0)) & (resolution == 0)
    return value, np.where(exact, 0.0, np.abs(low) + np.abs(high))


def _key(number: float) -> int:
    """The number of a float64 in their order, 0 that of 0."""
    bits = int(np.float64(number).view(np.int64))
    return bits if bits >= 0 else -(bits & 0x7FFF_FFFF_FFFF_FFFF)


def _values(keys: Sequence[int]) -> Floats:
    """The float64 numbers of these keys."""
    numbers = np.array(keys, np.int64)
    return np.copysign(np.abs(numbers).view(np.float64), numbers)
