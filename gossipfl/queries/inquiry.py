"""Several questions at once, as one peer sees them: what it says in each pass, and what follows from the total.

A pass is the next step of every question that is not answered yet, one after the other, as one summary. It travels as
one vector of float64: of the sums, what they lost to rounding, and the maxima.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TypeAlias

import numpy as np

from gossipfl.compression.beginning import beginning
from gossipfl.errors import DataError
from gossipfl.messages import Encoded
from gossipfl.queries.query import Answer, Query, Step, Unanswered
from gossipfl.queries.summary import NO_MAXIMUM, Summary, merged
from gossipfl.queries.values import Values
from gossipfl.weights import Vector, frozen

Outcome: TypeAlias = Answer | Unanswered


@dataclass(frozen=True, slots=True)
class Question:
    """A query about examples with so many numbers each; about texts, 1."""

    query: Query
    num_features: int = 1

    @property
    def passes(self) -> tuple[tuple[int, int], ...]:
        """The numbers of sums and of maxima of each pass, at most; passes may be left out."""
        return self.query.passes(self.num_features)


def pass_sizes(questions: Sequence[Question]) -> list[int]:
    """The elements of a summary of all questions in each pass, if none is left out and nobody leaves."""
    passes = zip_longest(*(question.passes for question in questions), fillvalue=(0, 0))
    return [sum(2 * num_sums + num_maxima for num_sums, num_maxima in sizes) for sizes in passes]


def largest_size(questions: Sequence[Question]) -> int:
    """The elements of a summary, at most."""
    most = [[max(numbers) for numbers in zip(*question.passes, strict=True)] for question in questions]
    return sum(2 * num_sums + num_maxima for num_sums, num_maxima in most)


class Inquiry:
    """The `questions` of one peer, with its `values` for each.

    Raises DataError for values that a question does not take, ConfigurationError for a number of features.
    """

    needs_all = False
    """True if nothing follows from the summaries of some."""
    secret = ""

    def __init__(self, questions: Sequence[Question], values: Sequence[Values]) -> None:
        self._values = tuple(values)
        self._size = largest_size(questions)
        self._states: list[Step | Outcome] = [question.query.first(question.num_features) for question in questions]
        self.outcomes: tuple[Outcome, ...] | None = None
        """The answers, or why there are none; None: not all are known yet."""
        self._began()

    def _began(self) -> None:
        """Sum up where the questions are now."""
        outcomes = tuple(state for state in self._states if not isinstance(state, Step))
        if len(outcomes) == len(self._states):
            self.outcomes = outcomes
        parts = [step.local(self._values[index]) for index, step in self._steps()]
        self._num_sums = sum(part.sums.size for part in parts)
        arrays = zip(*parts, strict=True)  # sums, what they lost, maxima
        self.own: Vector = frozen(np.concatenate([np.zeros(0), *(part for group in arrays for part in group)]))
        """The summary of its own values."""

    def encoded(self, summary: Vector) -> Encoded:
        """A summary, or a total, as messages carry it."""
        return beginning(summary, self._size)

    def fault(self, summary: Vector, number: int) -> str | None:
        """The fault of somebody else's summary, or total, of this pass, which is the `number`-th, as the end of a
        sentence; None: it has none."""
        if summary.size != self.own.size:
            return f"sends {summary.size} numbers in pass {number}, which has {self.own.size}"
        if np.abs(summary).max(initial=0) > -NO_MAXIMUM:
            return f"sends numbers beyond 2^1000 in pass {number}, as no values make them"
        return None

    def restore(self, secret: str) -> None:
        """Begin again with the `secret` of the peer that this one goes on for."""

    def merged(self, summaries: Sequence[Vector]) -> Vector:
        """The summary of all, added in the order given."""
        if len(summaries) == 1:
            return summaries[0]
        return frozen(np.concatenate(merged([self._unpacked(summary) for summary in summaries])))

    def go_on(self, total: Vector, notes: tuple[str, ...] = ()) -> None:
        """Go on to the next pass, or to the answers, with the total of this one, which the `notes` are about."""
        whole = self._unpacked(total)
        sums = maxima = 0
        for index, step in [*self._steps()]:
            to_sums, to_maxima = sums + step.sizes[0], maxima + step.sizes[1]
            part = Summary(whole.sums[sums:to_sums], whole.low[sums:to_sums], whole.maxima[maxima:to_maxima])
            sums, maxima = to_sums, to_maxima
            following: Step | Outcome
            try:
                following = step.next(part)
            except DataError as error:  # somebody has lied
                following = Unanswered(f"there is no answer: {error}")
            if isinstance(following, Answer):
                following = replace(following, notes=following.notes + notes)
            self._states[index] = following
        self._began()

    def give_up(self, why: str) -> None:
        """Leave what is not answered yet unanswered."""
        for index, _ in [*self._steps()]:
            self._states[index] = Unanswered(why)
        self._began()

    def _steps(self) -> Iterator[tuple[int, Step]]:
        return ((index, state) for index, state in enumerate(self._states) if isinstance(state, Step))

    def _unpacked(self, vector: Vector) -> Summary:
        sums, low = vector[: self._num_sums], vector[self._num_sums : 2 * self._num_sums]
        return Summary(sums, low, vector[2 * self._num_sums :])
