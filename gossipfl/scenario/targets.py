"""Targets: values of metrics for which a comparison says at what cost they were reached."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import did_you_mean
from gossipfl.scenario.section import Finite
from gossipfl.scores import LOSS, Metric

Targets: TypeAlias = list[Finite] | dict[str, list[Finite]]
"""Values of the first metric, or values by the name of a metric."""

_OF_A_SHARE = (0.8, 0.9)


def judged(metric: str, metrics: Sequence[Metric], field: str) -> Metric:
    """The metric, or the loss, of that name, by which a run is to be judged.

    Raises ConfigurationError, naming the field, where there is none, or nothing says which way it is better.
    """
    found = next((one for one in (*metrics, LOSS) if one.name == metric), None)
    if found is None:
        names = [one.name for one in (*metrics, LOSS)]
        raise ConfigurationError(
            f"{field}: there is no metric {metric!r}.{did_you_mean(metric, names)} The run has {', '.join(names)}; "
            "name others in evaluation.metrics"
        )
    if found.higher_is_better is None:
        raise ConfigurationError(
            f"{field}: nothing says whether a higher {metric} is better; say it in evaluation.metrics: "
            f'{{name = "{metric}", higher_is_better = true}}'
        )
    return found


def targets_by_metric(given: Targets | None, metrics: Sequence[Metric]) -> Mapping[str, Sequence[float]]:
    """The targets of a run that has these metrics, by the name of each. Where none are given, those of a first metric
    that is a share, and better the higher it is, are 0.8 and 0.9; without a metric the loss is the first.

    Raises ConfigurationError for a metric that can have no target, or a value that it cannot reach.
    """
    main = metrics[0] if metrics else LOSS
    if given is None:
        return {main.name: _OF_A_SHARE} if main.higher_is_better and main.unit == "share" else {}
    by_name = given if isinstance(given, dict) else {main.name: given}
    for name, values in by_name.items():
        field = f"targets.{name}" if isinstance(given, dict) else "targets"
        metric = judged(name, metrics, field) if values else main
        for position, value in enumerate(values):
            check_reachable(value, metric, f"{field}.{position}")
    return {name: values for name, values in by_name.items() if values}


def check_reachable(value: float, metric: Metric, field: str) -> None:
    """Raise ConfigurationError, naming the field, for a value that a metric never has, or always."""
    if metric.unit != "share":
        return
    if value > 1:
        raise ConfigurationError(f"{field} is {value:g}: it should be at most 1, as {metric.name} is")
    if value < 0 or (value == 0 and metric.higher_is_better):
        raise ConfigurationError(f"{field} is {value:g}: it should be above 0, as {metric.name} is")
