"""Means, sums and counts."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from gossipfl.errors import ConfigurationError, DataError
from gossipfl.queries.query import CANNOT_BE, Counted, Found, Step, summary
from gossipfl.queries.summary import UNDERFLOW, UNIT, Floats, Summary, Total, product, quotient, summed
from gossipfl.queries.values import Values


@dataclass(frozen=True)
class Mean:
    """The mean of all examples, or of the peers' own means.

    sum_i w_i x_i / sum_i w_i over all examples i (w_i = 1 without weights); over peers, the plain mean of that of each
    peer that has examples. One pass.
    """

    over: Annotated[Literal["examples", "peers"], "each example counts alike, or each peer"] = "examples"

    def __post_init__(self) -> None:
        if self.over not in ("examples", "peers"):
            raise ConfigurationError(f"over must be 'examples' or 'peers', got {self.over!r}")

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """One, of two sums for each feature."""
        return (self.first(num_features).sizes,)

    def first(self, num_features: int = 1) -> Step:
        """The one pass of it."""
        return Step.first(_Sums("mean", num_features, self.over))


@dataclass(frozen=True)
class Sum:
    """The sum of all examples, each times its weight. One pass."""

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """One, of two sums for each feature."""
        return (self.first(num_features).sizes,)

    def first(self, num_features: int = 1) -> Step:
        """The one pass of it."""
        return Step.first(_Sums("sum", num_features, "sum"))


@dataclass(frozen=True)
class Count:
    """The number of examples, whatever their weights. One pass; exact."""

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        """One, of nothing but what is counted anyway."""
        return (self.first(num_features).sizes,)

    def first(self, num_features: int = 1) -> Step:
        """The one pass of it."""
        return Step.first(_Nothing())


def weighted_sums(high: Floats, low: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
    """The double-double sums that `totals` reads, [1 + 2 F], of terms high + low [N, F]: those of weights, of weighted
    terms, and of their sizes."""
    counts = np.ones(len(high)) if weights is None else weights
    if weights is not None:
        high, lost = product(high, weights[:, None])
        low = lost + low * weights[:, None]
    sizes = np.abs(high).sum(axis=0)
    sums, lows = summed(np.column_stack([counts, high]), np.column_stack([np.zeros(len(high)), low]))
    return np.concatenate([sums, sizes]), np.concatenate([lows, np.zeros_like(sizes)])


def totals(total: Summary, counted: Counted) -> tuple[Total, Total]:
    """The agreed sums of weighted terms [F], and of weights, with their errors.

    Raises DataError for weights below 0, and for a sum above the sum of sizes.
    """
    terms = slice(1, 1 + total.sums.size // 2)
    # 3 u^2 for each addition, up to 30 for what a term is made of; the sizes are rounded sums themselves.
    relative = 4 * UNIT**2 * (counted.peers + counted.examples + 10)
    sizes = total.sums[terms.stop :]
    sums = Total(total.sums[terms], total.low[terms], sizes * relative + UNDERFLOW * counted.examples)
    weights = Total(total.sums[0], total.low[0], total.sums[0] * relative)
    if not (weights.high == 0 or weights.bound < weights.high) or (np.abs(sums.high) > sizes * 1.001 + UNDERFLOW).any():
        raise DataError(CANNOT_BE)
    return sums, weights


def shaped(numbers: Floats) -> Floats:
    """One number for a single feature, else that of each [F]."""
    return numbers[0] if numbers.shape[0] == 1 else numbers


def nothing(asked: str, num_features: int) -> Found:
    """No answer, as no peer has examples."""
    missing = shaped(np.full(num_features, np.nan))
    return Found(missing, missing, (f"there is no {asked}: no peer has an example that counts",))


@dataclass(frozen=True)
class _Sums:
    """The pass of means and sums: of weights, of terms, of the sizes of terms."""

    asked: str
    num_features: int
    of: Literal["examples", "peers", "sum"]

    @property
    def sizes(self) -> tuple[int, int]:
        return 1 + 2 * self.num_features, 0

    def local(self, values: Values) -> Summary:
        terms = values.checked(self.asked, self.num_features, takes_weights=True)
        high, low = weighted_sums(terms, np.zeros_like(terms), values.weights)
        if self.of == "peers":
            # Its own mean is one term of weight 1, and that of the sizes says how far off it can be.
            whole = high[0] > 0
            high, low = quotient(high, low, high[0], low[0]) if whole else (np.zeros_like(high), np.zeros_like(low))
        return summary(high, low=low)

    def next(self, total: Summary, counted: Counted) -> Found:
        sums, weights = totals(total, counted)
        if self.of == "sum":
            return Found(shaped(sums.high), shaped(sums.bound))
        if not weights.high:
            return nothing("mean", self.num_features)
        value, bound = sums.over(weights)
        return Found(shaped(value), shaped(bound))


@dataclass(frozen=True)
class _Nothing:
    """A pass that asks for nothing but what is counted anyway."""

    sizes = (0, 0)

    def local(self, values: Values) -> Summary:
        return summary(np.zeros(0))

    def next(self, total: Summary, counted: Counted) -> Found:
        return Found(np.array(float(counted.examples)), 0.0)
