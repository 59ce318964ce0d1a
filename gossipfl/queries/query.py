"""Questions that peers without a model answer together.

A query is answered in passes. In each, every peer makes a `Summary` of its own values; the summaries of all become one,
and that total is given to everybody. From it follows what the next pass asks, or the answer. The laws:

* A step is made of its query and of totals only: so it is the same at all peers, and they end with the same bits.
* All passes are over the same peers: those of the first.
* How many numbers a pass takes is known before anybody asks (`Query.passes`): what is short of them is filled up.
* Only the first step finds faults with a peer's values; the later ones take whatever the first took.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from gossipfl.errors import LocalProtocolError
from gossipfl.queries.summary import NO_MAXIMUM, Floats, Summary
from gossipfl.queries.values import Values
from gossipfl.weights import Vector, frozen

FEWEST_PEERS = 3
"""An answer over fewer peers tells one of them the other's."""


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
    """The numbers of peers and of their examples in a total."""

    peers: int
    examples: int


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
        """The pass after this one, or the answer."""
        ...


class Query(Protocol):
    """A question: a frozen dataclass, listed in `QUERIES`."""

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """The numbers of sums and of maxima in each pass; there may be fewer passes.

        Raises ConfigurationError for a number of features that the query cannot be asked of.
        """
        ...

    def first(self, num_features: int = 1) -> "Step":
        """The first pass, over examples of so many numbers. Raises as `passes` does."""
        ...


@dataclass(frozen=True, eq=False)
class Step:
    """One pass of a query, the next one of `passes`; `counted` are the peers and examples of the passes before."""

    passes: tuple[tuple[int, int], ...]
    part: Part
    counted: Counted | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """The numbers of sums and of maxima of a summary."""
        return self.passes[0]

    def local(self, values: Values) -> Summary:
        """One peer's summary.

        Raises DataError, in the first pass only, for values that the query does not take.
        """
        own = self.part.local(values)
        num_sums, num_maxima = self.sizes
        sums = np.concatenate([[1.0, len(values)], own.sums, np.zeros(num_sums - 2 - own.sums.size)])
        low = np.concatenate([[0.0, 0.0], own.low, np.zeros(num_sums - 2 - own.low.size)])
        maxima = np.concatenate([own.maxima, np.full(num_maxima - own.maxima.size, NO_MAXIMUM)])
        return Summary(frozen(sums), frozen(low), frozen(maxima))

    def next(self, total: Summary) -> "Step | Answer":
        """The pass after this one, or the answer."""
        counted = Counted(*(int(number) for number in total.sums[:2]))
        if self.counted not in (None, counted):
            raise LocalProtocolError(f"a pass is over {counted}, and the one before it was over {self.counted}")
        num_sums, num_maxima = self.part.sizes
        asked = slice(2, 2 + num_sums)
        found = self.part.next(Summary(total.sums[asked], total.low[asked], total.maxima[:num_maxima]), counted)
        if not isinstance(found, Found):
            return Step(self.passes[1:], found, counted)
        value, notes = found.value, found.notes
        if counted.peers < FEWEST_PEERS:
            notes += (_few(counted.peers),)
        if isinstance(value, Mapping):
            return Answer(value, found.bound, *counted, notes, found.edges)
        if value.ndim == 0:
            return Answer(float(value), float(found.bound), *counted, notes, found.edges)
        return Answer(frozen(value), frozen(np.array(found.bound)), *counted, notes, found.edges)


def _few(num_peers: int) -> str:
    if num_peers == 1:
        return "the answer is that of a single peer: whoever sees it knows what that peer has"
    return f"the answer is over {num_peers} peers only: each of them can tell the other's from it and its own"


def summary(sums: Floats, maxima: Vector | tuple[float, ...] = (), low: Floats | None = None) -> Summary:
    """The summary of these numbers, in any shape."""
    flat = np.asarray(sums, np.float64).ravel()
    lost = np.zeros(flat.size) if low is None else np.asarray(low, np.float64).ravel()
    return Summary(flat, lost, np.asarray(maxima, np.float64).ravel())
