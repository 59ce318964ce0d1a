"""The metrics by which a run may judge its models: one entry of `METRICS` each, and no other place knows their names.

A new metric is a new entry of `_RULES`: its declaration, which tables, report and files follow, and how it is
computed from what a model says of the held-out data. A scenario then names it in `evaluation.metrics`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import did_you_mean
from gossipfl.scores import Metric, Score


@dataclass(frozen=True, slots=True)
class Predictions:
    """A model's word on n examples with known `labels`: its mean `loss`, how many classes are the right ones, and
    its `outputs` [n, outputs], which are there only where a metric of the run needs them.

    A single output is that of class 1 of two, chosen above the `threshold`.
    """

    loss: float
    num_correct: int
    labels: NDArray[np.integer]
    outputs: NDArray[np.floating]
    threshold: float = 0.5

    @property
    def classes(self) -> NDArray[np.integer]:
        """The class that the model chooses of each example."""
        if self.outputs.shape[1] > 1:
            return np.asarray(self.outputs.argmax(axis=1))
        return (self.outputs[:, 0] > self.threshold).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Rule:
    """A metric, and how it is computed from predictions; to keep the outputs of all examples costs memory and time."""

    metric: Metric
    value: Callable[[Predictions], float]
    needs_outputs: bool = True


_RULES = (
    Rule(Metric("accuracy"), lambda seen: seen.num_correct / len(seen.labels), needs_outputs=False),
)  # fmt: skip

METRICS: Mapping[str, Rule] = {rule.metric.name: rule for rule in _RULES}
"""All metrics by name."""


def check_metrics(names: Sequence[str]) -> None:
    """Raise ConfigurationError for a name that is no metric's, or that is there twice."""
    for position, name in enumerate(names):
        if name not in METRICS:
            hint = did_you_mean(name, METRICS)
            raise ConfigurationError(f"there is no metric {name!r}.{hint} There are: {', '.join(METRICS)}")
        if name in names[:position]:
            raise ConfigurationError(f"the metric {name!r} is named twice")


def declared(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of these names."""
    return tuple(METRICS[name].metric for name in names)


def need_outputs(names: Sequence[str]) -> bool:
    """True if any of these metrics needs the outputs of all examples."""
    return any(METRICS[name].needs_outputs for name in names)


def scored(seen: Predictions, names: Sequence[str]) -> Score:
    """The score of a model by these metrics.

    >>> scored(Predictions(0.25, 3, np.array([0, 1, 1, 0]), np.zeros((4, 0))), ["accuracy"])
    Score(loss=0.25, metrics={'accuracy': 0.75})
    """
    return Score(seen.loss, {name: METRICS[name].value(seen) for name in names})
