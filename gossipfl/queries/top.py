"""The most frequent texts or numbers, and the counts of all classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, inf, isfinite
from typing import Annotated

import numpy as np

from gossipfl.errors import ConfigurationError
from gossipfl.queries.items import MOST, passes, search
from gossipfl.queries.query import Counted, Found, Step, small_counts


@dataclass(frozen=True)
class Top:
    """The `k` most frequent texts or numbers with their counts, among those with a share of `least_share` or more.

    None of these is missed, and their counts are exact. Some 3 to 10 passes.
    """

    asked = "top"

    k: Annotated[int, "how many at most"] = 10
    least_share: Annotated[float, "of all examples; lower: rarer ones are found, at the expense of messages"] = 0.01

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigurationError(f"k must be >= 1, got {self.k}")
        if not 1 / MOST <= self.least_share <= 1:
            raise ConfigurationError(f"least_share must be from 1/{MOST} to 1, got {self.least_share}")

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """Those of a search."""
        return passes(self, num_features)

    def first(self, num_features: int = 1) -> Step:
        """The first pass of a search."""
        return search(self, num_features)

    def collected(self, counts: Mapping[str, int], counted: Counted) -> Found:
        """The first ones of the most frequent, those of one count in the order of their texts."""
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: self.k]
        notes = small_counts(np.array([count for _, count in ordered]))
        least = ceil(self.least_share * counted.examples)
        if len(ordered) < self.k and least > 1:
            notes += (f"there may be more that are rarer: only what is there {least} times or more was sought",)
        return Found(dict(ordered), 0.0, notes)


@dataclass(frozen=True)
class Classes:
    """The number of examples of each class: of each text or number that is there, 256 at most.

    In the order of the numbers, or of the texts; exact. Some 3 passes.
    """

    asked = "classes"
    least_share = 0.0

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """Those of a search."""
        return passes(self, num_features)

    def first(self, num_features: int = 1) -> Step:
        """The first pass of a search."""
        return search(self, num_features)

    def collected(self, counts: Mapping[str, int], counted: Counted) -> Found:
        """All of them."""
        notes = small_counts(np.array(list(counts.values()))) if counts else ("no peer has an example",)
        return Found({text: counts[text] for text in sorted(counts, key=_by_number)}, 0.0, notes)


def _by_number(text: str) -> tuple[float, str]:
    """The number that a text stands for, or what is above all; and the text."""
    try:
        number = float(text)
    except ValueError:
        number = inf
    return number if isfinite(number) else inf, text
