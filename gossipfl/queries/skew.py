"""The difference between what peers hold."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gossipfl.queries.items import passes, search
from gossipfl.queries.query import COUNTED, Counted, Found, Step, summary
from gossipfl.queries.summary import NO_MAXIMUM, UNIT, Summary
from gossipfl.queries.values import Values


@dataclass(frozen=True)
class Skew:
    """The distance of peers' classes from those of all, and the sizes of their shards.

    The total variation distance of peer i is 1/2 sum_c |n_ic / n_i - n_c / n|: 0 where its classes are spread as those
    of all, near 1 where it has only such as hardly anybody else has. The answer has its `mean` and its `greatest` over
    the peers with examples, and the `fewest` and the `most` examples of a peer. Some 4 passes.
    """

    asked = "skew"
    least_share = 0.0

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """Those of a search for all classes, and one of distances."""
        return (*passes(self, num_features), (COUNTED + 2, 3))

    def first(self, num_features: int = 1) -> Step:
        """The first pass of a search."""
        return search(self, num_features)

    def collected(self, counts: Mapping[str, int], counted: Counted) -> "_Distances":
        """The pass of distances."""
        return _Distances(counts, counted.examples)


@dataclass(frozen=True)
class _Distances:
    """The pass of distances from the shares of all."""

    counts: Mapping[str, int]
    num_examples: int
    sizes = (2, 3)

    def local(self, values: Values) -> Summary:
        if not len(values):
            return summary(np.zeros(2), np.array([NO_MAXIMUM, 0.0, 0.0]))
        own, everybody = values.items, self.num_examples
        distance = (
            sum(abs(own.get(text, 0) / len(values) - count / everybody) for text, count in self.counts.items()) / 2
        )
        return summary(np.array([1.0, distance]), np.array([distance, -len(values), len(values)]))

    def next(self, total: Summary, counted: Counted) -> Found:
        greatest, fewest, most = total.maxima.tolist()
        sizes = {"fewest": -fewest + 0.0, "most": most}
        num_peers, distances = total.sums.tolist()
        if not num_peers:
            return Found({"mean": np.nan, "greatest": np.nan, **sizes}, np.nan, ("no peer has an example",))
        # One rounding in each quotient and sum of shares up to 1.
        bound = 4 * UNIT * (len(self.counts) + 2)
        return Found({"mean": distances / num_peers, "greatest": greatest, **sizes}, bound)
