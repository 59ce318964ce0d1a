"""Early stopping: a run ends at a value of a metric, or when that has not become better for a while.

What is looked at is what targets are read off: the metric of what is deployed, at every evaluation, that before any
training included. The average model of the best evaluation is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isnan, nan
from typing import Any

from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError
from gossipfl.history import Evaluation, History
from gossipfl.scores import LOSS, Metric
from gossipfl.snapshot import Snapshot, read_only
from gossipfl.weights import ModelVectors


@dataclass(frozen=True, slots=True)
class StopRule:
    """Stop when the metric is as good as `value`, or has not become better in `patience` evaluations one after another.

    Raises ConfigurationError when neither is given, or the patience is below 1.
    """

    metric: Metric
    value: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.value is None and self.patience is None:
            raise ConfigurationError("stop needs a value of the metric, a patience (evaluations), or both")
        if self.patience is not None and self.patience < 1:
            raise ConfigurationError(f"stop.patience must be >= 1 evaluations, got {self.patience}")


class Stopping:
    """Looks at the evaluations of one run, in their order, and notes in its history what was the best of them; without
    a rule it does not look."""

    def __init__(self, rule: StopRule | None, history: History) -> None:
        self._rule = rule
        self._history = history
        self._best = nan
        self._num_since = 0

    def reason(self, evaluation: Evaluation, average: ModelVectors | None) -> str | None:
        """The reason why the run ends with this evaluation, or None. The best one's `average` model is kept; without
        it, the evaluation is one that was looked at before a run went on."""
        rule = self._rule
        if rule is None:
            return None
        metric = rule.metric
        measured = evaluation.loss if metric.name == LOSS.name else evaluation.metrics[metric.name]
        value = nan if measured.deployed is None else measured.deployed
        if self._is_best(value, metric):
            self._best, self._num_since = value, 0
            self._history.best_round = evaluation.round
            self._history.best = average or self._history.best
        else:
            self._num_since += 1
        of = f"the {metric.name} of what is deployed, on {measured.metric.on},"
        when = f"in round {evaluation.round}, at {evaluation.time:.4g} s"
        if rule.value is not None and metric.reaches(value, rule.value):
            return f"{when}: {of} was {value:.6g}, as good as {rule.value:g}"
        if rule.patience is not None and self._num_since >= rule.patience:
            best = f"{self._best:.6g}, that of round {self._history.best_round}"
            found = "a number in none of them" if isnan(self._best) else f"never better than {best}"
            evaluations = "1 evaluation" if rule.patience == 1 else f"{rule.patience} evaluations"
            return f"{when}: in {evaluations} {of} was {found}"
        return None

    def snapshot(self) -> Snapshot:
        """The best model; all else is in the evaluations."""
        best = self._history.best
        return ({} if best is None else {one.name: getattr(best, one.name) for one in fields(best)}), {}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from the arrays of a snapshot, and the evaluations that are in the history."""
        if self._rule is not None:
            self._history.best = ModelVectors(**read_only(arrays)) if arrays else None
            for evaluation in self._history.evaluations:
                self.reason(evaluation, None)

    def _is_best(self, value: float, metric: Metric) -> bool:
        if isnan(value) or isnan(self._best):
            return not isnan(value)
        return value != self._best and metric.reaches(value, self._best)
