"""Scores say how good a model is: its loss, and whatever metrics a run has, each of which says which way is better."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Literal, TypeAlias

from gossipfl.errors import ConfigurationError

Unit: TypeAlias = Literal["share", "number"]
"""The way a metric is shown: a share of 1 as percent, any other number as it is."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number by which models are compared: its name, which way is better, and its unit.

    >>> Metric("accuracy").best([0.5, 0.75]), Metric("perplexity", higher_is_better=False, unit="number").best([9, 7])
    (0.75, 7)
    """

    name: str
    higher_is_better: bool = True
    unit: Unit = "share"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z]\w{0,63}", self.name, re.ASCII):
            raise ConfigurationError(f"a metric's name is a word of ASCII letters, digits and _; got {self.name!r}")

    def best(self, values: Sequence[float]) -> float:
        """The best of one or more values; NaN is worse than any other."""
        known = [value for value in values if not isnan(value)]
        return nan if not known else max(known) if self.higher_is_better else min(known)

    def worst(self, values: Sequence[float]) -> float:
        """The worst of one or more values; NaN is worse than any other."""
        return nan if any(map(isnan, values)) else min(values) if self.higher_is_better else max(values)

    def reaches(self, value: float, target: float) -> bool:
        """True if a value is as good as a target, or better; NaN is not."""
        return value >= target if self.higher_is_better else value <= target


LOSS = Metric("loss", higher_is_better=False, unit="number")
"""The number that training makes smaller; every model has one."""


@dataclass(frozen=True, slots=True)
class Score:
    """Mean `loss` of one model over some data, and its `metrics` there by name."""

    loss: float
    metrics: Mapping[str, float]

    def value(self, metric: Metric) -> float:
        """The value of one of its metrics, or its loss."""
        return self.loss if metric == LOSS else self.metrics[metric.name]
