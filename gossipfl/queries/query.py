"""Questions that peers without a model answer together.

A query is answered in passes. In each, every peer makes a `Summary` of its own values; the summaries of all become one,
and that total is given to everybody. From it follows what the next pass asks, or the answer. The laws:

* A step is made of its query and of totals only: so it is the same at all peers, and they end with the same bits.
* The peers in the total of a pass were in that of the pass before. Where some have left, the query begins again: no
  answer is made of passes over different peers.
* Only the first step finds faults with a peer's values; the later ones take whatever the first took.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from gossipfl.errors import ConfigurationError, DataError
from gossipfl.queries.summary import Floats, Summary
from gossipfl.queries.values import Values
from gossipfl.weights import NOTHING, frozen

T = TypeVar("T", Mapping[str, float], float)

FEWEST_PEERS = 3
"""An answer over fewer peers tells one of them the other's."""
CANNOT_BE = "the totals of a pass do not fit together: a peer has made its summaries in another way; ask without it"
SMALL = 5
"""Counts below it are warned about, as offices of statistics do."""


@dataclass(frozen=True, eq=False)
class Answer:
    """The same at every peer: a `value`, at most `bound` away from the true one, over the examples of `num_peers`.

    A value without examples is NaN, and a note says so. `edges` are those of a histogram. `notes` are sentences for
    readers: what the bound means where it is no certainty, what small counts may tell.
    """

    value: float | Floats | Mapping[str, float]
    bound: float | Floats
    num_peers: int
    num_examples: int
    notes: tuple[str, ...] = ()
    edges: Floats | None = None


@dataclass(frozen=True)
class Unanswered:
    """In place of an answer: `why` there is none, in a sentence."""

    why: str


class Found(NamedTuple):
    """An answer of which it is not yet said over how many peers and examples it is."""

    value: Floats | Mapping[str, float]
    bound: float | Floats
    notes: tuple[str, ...] = ()
    edges: Floats | None = None


class Counted(NamedTuple):
    """The numbers of peers in a total, of their examples, and of peers that have some."""

    peers: int
    examples: int
    holders: int


COUNTED = 3
"""Sums in front of every summary: those of `Counted`."""


class Part(Protocol):
    """One pass of a query, as it is written: the counting of peers and examples is done around it, by `Step`."""

    @property
    def sizes(self) -> tuple[int, int]:
        """The numbers of sums and of maxima."""
        ...

    def local(self, values: Values) -> Summary:
        """One peer's summary. Raises DataError, in the first pass only, for values that the query does not take."""
        ...

    def next(self, total: Summary, counted: Counted) -> "Part | Found":
        """The pass after this one, or the answer. Raises DataError for totals that nobody's values can have."""
        ...


class Query(Protocol):
    """A question: a frozen dataclass, listed in `QUERIES`."""

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """The numbers of sums and of maxima in each pass at most; passes may be left out.

        Raises ConfigurationError for a number of features that the query cannot be asked of.
        """
        ...

    def first(self, num_features: int = 1) -> "Step":
        """The first pass, over examples of so many numbers. Raises as `passes` does."""
        ...


@dataclass(frozen=True, eq=False)
class Step:
    """One pass of a query that began with `begin`; `counted` are the peers and examples of the passes before."""

    part: Part
    begin: Part
    counted: Counted | None = None

    @classmethod
    def first(cls, part: Part) -> "Step":
        """The first pass."""
        return cls(part, part)

    @property
    def sizes(self) -> tuple[int, int]:
        """The numbers of sums and of maxima of a summary."""
        num_sums, num_maxima = self.part.sizes
        return COUNTED + num_sums, num_maxima

    def local(self, values: Values) -> Summary:
        """One peer's summary.

        Raises DataError, in the first pass only, for values that the query does not take.
        """
        sums, low, maxima = self.part.local(values)
        counts = [1.0, len(values), len(values) > 0]
        return Summary(
            frozen(np.concatenate([counts, sums])), frozen(np.concatenate([np.zeros(COUNTED), low])), frozen(maxima)
        )

    def next(self, total: Summary) -> "Step | Answer":
        """The pass after this one, the first one once more where peers have left, or the answer.

        Raises DataError for totals that nobody's values can have.
        """
        counted = Counted(*whole(total.sums[:COUNTED], 2**53))
        if not counted.peers:
            raise DataError(CANNOT_BE)
        if self.counted not in (None, counted):
            return Step.first(self.begin)
        rest = Summary(total.sums[COUNTED:], total.low[COUNTED:], total.maxima)
        try:
            with np.errstate(over="raise", invalid="raise", divide="raise"):  # as no values of anybody would
                found = self.part.next(rest, counted)
        except ArithmeticError:
            raise DataError(CANNOT_BE) from None
        if not isinstance(found, Found):
            return replace(self, part=found, counted=counted)
        value, bound, notes, edges = found
        if 0 < counted.holders < FEWEST_PEERS:
            notes += (_few(counted.holders),)
        return Answer(_plain(value), _plain(bound), counted.peers, counted.examples, notes, edges)


def _plain(value: T | Floats) -> T | Floats | float:
    """A float for an array without axes."""
    if not isinstance(value, np.ndarray | np.generic):
        return value
    return float(value) if value.ndim == 0 else frozen(value)


def _few(num_holders: int) -> str:
    if num_holders == 1:
        return "a single peer has examples: the answer is what it has"
    return f"only {num_holders} peers have examples: each of them can tell the other's part from the answer and its own"


def check_one_column(asked: str, num_features: int) -> None:
    """Raise ConfigurationError unless a query about one column is asked of one feature."""
    if num_features != 1:
        raise ConfigurationError(f"{asked} is asked of one column, not of {num_features} features at once")


def whole(counts: Floats, most: int) -> list[int]:
    """Counts as integers. Raises DataError unless they are from 0 to `most`."""
    if not ((counts >= 0) & (counts <= most) & (counts == np.rint(counts))).all():
        raise DataError(CANNOT_BE)
    return [int(count) for count in counts.tolist()]


def small_counts(counts: Floats) -> tuple[str, ...]:
    """A note where some of these counts are small."""
    small = int(((counts > 0) & (counts < SMALL)).sum())
    return (f"{small} {'count is' if small == 1 else 'counts are'} below {SMALL}: so few may point at persons",) * (
        small > 0
    )


def summary(sums: Floats, maxima: Floats = NOTHING, low: Floats | None = None) -> Summary:
    """The summary of these numbers, in any shape."""
    flat = np.asarray(sums, np.float64).ravel()
    lost = np.zeros(flat.size) if low is None else np.asarray(low, np.float64).ravel()
    return Summary(flat, lost, np.array(maxima, np.float64).ravel())
