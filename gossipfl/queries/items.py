"""Texts, or numbers as texts, that are frequent among all examples: found by their hashes, and counted exactly.

A text has a hash of 52 bits, which float64 has exactly. Each pass splits the ranges of hashes in which enough examples
are into cells, counts what is in each, and says the least and the greatest hash in the range: where both are the same,
a text stands alone. In the last pass the texts themselves travel, as maxima of their bytes, and as minima, by which two
texts of one hash are seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import DataError
from gossipfl.queries.cells import cell, narrowed, num_splits, starts
from gossipfl.queries.query import COUNTED, Counted, Found, Part, Step, check_one_column, summary, whole
from gossipfl.queries.summary import NO_MAXIMUM, Floats, Summary
from gossipfl.queries.values import Values

CELLS = 1024
"""Cells of all ranges together in a pass: more make fewer passes, of longer messages."""
MOST = 256
"""The most texts that are sought at once."""
LONGEST = 119
"""The longest text in bytes of UTF-8: with a byte for its length it takes 20 numbers."""
BYTES = 6
"""Bytes in a number: float64 has every integer up to 2^53."""
NUMBERS = (LONGEST + 1) // BYTES


class Collecting(Protocol):
    """A query that needs the texts of `least_share` or more of all examples, with their counts."""

    @property
    def asked(self) -> str:
        """Its name."""
        ...

    @property
    def least_share(self) -> float:
        """The share of all examples from which on a text is sought; 0: all texts, of which there are 256 at most."""
        ...

    def collected(self, counts: Mapping[str, int], counted: Counted) -> Part | Found:
        """The next pass, or the answer, which is made of their counts."""
        ...


def passes(query: Collecting, num_features: int) -> tuple[tuple[int, int], ...]:
    """The sizes of the passes of a search, at most. Raises ConfigurationError unless it is about one feature."""
    check_one_column(query.asked, num_features)
    most = min(MOST, int(1 / query.least_share)) if query.least_share else MOST
    num_passes = num_splits(2**52, (CELLS, CELLS // most))
    sizes = [(COUNTED + CELLS, 2 if k == 0 else 2 * most) for k in range(num_passes)]
    return (*sizes, (COUNTED, 2 * NUMBERS * most))


def search(query: Collecting, num_features: int) -> Step:
    """The first pass of a search. Raises as `passes` does."""
    check_one_column(query.asked, num_features)
    return Step.first(_Searching(query, ((0, 2**52 - 1),), {}))


@dataclass(frozen=True)
class _Searching:
    """A pass: the ranges of hashes in which there may be several texts, and the counts of those that stand alone."""

    query: Collecting
    ranges: tuple[tuple[int, int], ...]
    alone: Mapping[int, int]

    @cached_property
    def _starts(self) -> list[list[int]]:
        return [starts(low, high, CELLS // len(self.ranges)) for low, high in self.ranges]

    @property
    def sizes(self) -> tuple[int, int]:
        return sum(map(len, self._starts)), 2 * len(self.ranges)

    def local(self, values: Values) -> Summary:
        values.check_single(self.query.asked)
        long = next((text for text in values.items if len(text.encode()) > LONGEST), None)
        if long is not None:
            raise DataError(
                f"{self.query.asked} takes texts of up to {LONGEST} bytes, and {long[:20]!r}... has "
                f"{len(long.encode())}"
            )
        hashes, numbers = _hashes(values), values.hashed.counts
        below = np.concatenate([[0], np.cumsum(numbers)])
        counts, maxima = [], []
        for (_, high), cells in zip(self.ranges, self._starts, strict=True):
            ends = np.append(np.searchsorted(hashes, cells), np.searchsorted(hashes, high, side="right"))
            counts.append(np.diff(below[ends]))
            inside = hashes[ends[0] : ends[-1]]
            maxima += [-inside[0], inside[-1]] if inside.size else [NO_MAXIMUM] * 2
        return summary(np.concatenate(counts), np.array(maxima))

    def next(self, total: Summary, counted: Counted) -> Part | Found:
        if not counted.examples:
            return self.query.collected({}, counted)
        enough = max(1, ceil(self.query.least_share * counted.examples))
        counts, extremes = iter(whole(total.sums, counted.examples)), iter(total.maxima.tolist())
        narrower, alone = [], dict(self.alone)
        for (_, high), cells in zip(self.ranges, self._starts, strict=True):
            inside = [next(counts) for _ in cells]
            least, greatest = -int(next(extremes)), int(next(extremes))
            for number, count in enumerate(inside):
                if count < enough:
                    continue
                first, last = narrowed(cell(cells, high, number), least, greatest)
                if first == last:
                    alone[first] = count
                else:
                    narrower.append((first, last))
        if len(narrower) + len(alone) > MOST:
            return _too_many(self.query.asked)
        if narrower:
            return replace(self, ranges=tuple(narrower), alone=alone)
        return _Naming(self.query, alone)


def _too_many(asked: str) -> Found:
    note = (
        f"{asked} is of {MOST} different values at most, and there are more: ask for the top ones, or for a histogram"
    )
    return Found(np.array(np.nan), np.nan, (note,))


@dataclass(frozen=True)
class _Naming:
    """The pass in which the texts of the hashes that were found travel."""

    query: Collecting
    found: Mapping[int, int]

    @property
    def sizes(self) -> tuple[int, int]:
        return 0, 2 * NUMBERS * len(self.found)

    def local(self, values: Values) -> Summary:
        maxima = np.full((len(self.found), 2, NUMBERS), NO_MAXIMUM)
        found, hashes = list(self.found), _hashes(values)
        ends = zip(np.searchsorted(hashes, found), np.searchsorted(hashes, found, side="right"), strict=True)
        for most, (first, last) in zip(maxima, ends, strict=True):
            for text in values.hashed.texts[first:last]:
                numbers = _numbers(text)
                most[:] = np.maximum(most, [-numbers, numbers])
        return summary(np.zeros(0), maxima)

    def next(self, total: Summary, counted: Counted) -> Part | Found:
        least, greatest = total.maxima.reshape(-1, 2, NUMBERS).transpose(1, 0, 2)
        texts = [_text(one) for one in greatest]
        alike = (least == -greatest).all(axis=1)
        names = [
            text if same else f"(several of hash {hashed:x})"
            for text, same, hashed in zip(texts, alike, self.found, strict=True)
        ]
        return self.query.collected(dict(zip(names, self.found.values(), strict=True)), counted)


def _hashes(values: Values) -> NDArray[np.int64]:
    return (values.hashed.hashes >> np.uint64(12)).astype(np.int64)


def _numbers(text: str) -> Floats:
    """The bytes of a text, six to a number, with their number in front."""
    encoded = text.encode()
    line = bytes([len(encoded)]) + encoded.ljust(LONGEST, b"\0")
    return np.array([int.from_bytes(line[k : k + BYTES]) for k in range(0, LONGEST + 1, BYTES)], np.float64)


def _text(numbers: Floats) -> str:
    line = b"".join(int(number).to_bytes(BYTES) for number in np.clip(numbers, 0, 2 ** (8 * BYTES) - 1))
    return line[1 : 1 + line[0]].decode("utf-8", "replace")
