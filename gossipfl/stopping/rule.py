"""Early stopping: a run ends at a value of a metric, or when that has not become better for a while."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.scores import Metric


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


class Judge:
    """Looks at one value of a rule's metric after the other; `best` is the best so far, that of `best_round`, with
    `num_since` values after it."""

    def __init__(self, rule: StopRule) -> None:
        self.rule = rule
        self.begin_again()

    def begin_again(self) -> None:
        """Forget what was seen."""
        self.best = nan
        self.best_round = -1
        self.num_since = 0

    def look(self, value: float, round: int) -> bool:
        """Look at the next value; True if it is better than all before."""
        if isnan(value) or isnan(self.best):
            is_better = not isnan(value)
        else:
            is_better = value != self.best and self.rule.metric.reaches(value, self.best)
        if is_better:
            self.best, self.best_round, self.num_since = value, round, 0
        else:
            self.num_since += 1
        return is_better

    def verdict(self, value: float, of: str) -> str | None:
        """The end of a sentence on why to stop at this value, `of` what is looked at, or None."""
        rule = self.rule
        if rule.value is not None and rule.metric.reaches(value, rule.value):
            return f"{of} was {value:.6g}, as good as {rule.value:g}"
        if rule.patience is not None and self.num_since >= rule.patience:
            best = f"{self.best:.6g}, that of round {self.best_round}"
            found = "a number in none of them" if isnan(self.best) else f"never better than {best}"
            evaluations = "1 evaluation" if rule.patience == 1 else f"{rule.patience} evaluations"
            return f"in {evaluations} {of} was {found}"
        return None

    def snapshot(self) -> Mapping[str, Any]:
        """JSON-ready."""
        return {"best": None if isnan(self.best) else self.best, "round": self.best_round, "num_since": self.num_since}

    def restore(self, values: Mapping[str, Any]) -> None:
        self.best = nan if values["best"] is None else values["best"]
        self.best_round, self.num_since = values["round"], values["num_since"]
