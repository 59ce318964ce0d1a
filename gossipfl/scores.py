"""Scores say how good a model is: its loss, and whatever metrics a run has, each of which says which way is better."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Literal, TypeAlias

from gossipfl.errors import ConfigurationError

Part: TypeAlias = Literal["train", "validation", "test"]
"""A part of the data set: what is trained on, what is chosen by, and what is reported on."""

Unit: TypeAlias = Literal["share", "number"]
"""The way a metric is shown: a share of 1 as percent, any other number as it is."""


def is_metric_name(name: str) -> bool:
    """True for a word that can name a metric in tables and files."""
    return re.fullmatch(r"[A-Za-z]\w{0,63}", name, re.ASCII) is not None


AT_END = "test_"
"""The names of metrics begin so that are measured once, at the end of a run whose decisions are made on a validation
part."""

OWN = "own_"
"""The names of metrics go on so that are measured on each peer's own share, beside those on the whole part."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number by which models are compared: its name, which way is better (None where nobody has said), its unit, on
    what data it is measured, in words, and if these are another share of them for each peer.

    >>> Metric("accuracy").best([0.5, 0.75]), Metric("perplexity", higher_is_better=False, unit="number").best([9, 7])
    (0.75, 7)
    """

    name: str
    higher_is_better: bool | None = True
    unit: Unit = "share"
    on: str = "held-out data"
    by_share: bool = False

    def __post_init__(self) -> None:
        if not is_metric_name(self.name):
            raise ConfigurationError(f"a metric's name is a word of ASCII letters, digits and _; got {self.name!r}")

    @property
    def is_loss(self) -> bool:
        """True for the loss, wherever it is measured: `own_loss`, `test_loss`."""
        return self.name.removeprefix(AT_END).removeprefix(OWN) == LOSS.name

    def best(self, values: Sequence[float]) -> float:
        """The best of one or more values; NaN is worse than any other. Without a direction there is none: NaN."""
        known = [value for value in values if not isnan(value)]
        return self._highest(known) if known else nan

    def worst(self, values: Sequence[float]) -> float:
        """The worst of one or more values; NaN is worse than any other. Without a direction there is none: NaN."""
        return nan if any(map(isnan, values)) else -self._highest([-value for value in values])

    def _highest(self, values: Sequence[float]) -> float:
        if self.higher_is_better is None:
            return nan
        return max(values) if self.higher_is_better else min(values)

    def reaches(self, value: float, target: float) -> bool:
        """True if a value is as good as a target, or better; NaN is not."""
        if self.higher_is_better is None:
            raise ConfigurationError(f"nothing says whether a higher {self.name} is better, so it can have no target")
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
