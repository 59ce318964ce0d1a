"""Runs, each in one line."""

from math import nan

from gossipfl.history import Evaluation
from gossipfl.scenario import Scenario
from gossipfl.scores import LOSS


def run_name(label: str, seed: int, scenario: Scenario) -> str:
    """The name of one algorithm's run in a line; only further seeds are named."""
    return label if seed == scenario.seed else f"{label}, seed {seed}"


def evaluation_line(label: str, evaluation: Evaluation) -> str:
    """One evaluation in one line; metrics, or without any the loss, with four decimals."""
    parts = [f"{label}: round {evaluation.round}"]
    for of in evaluation.metrics.values() or [evaluation.loss]:
        name = of.metric.name
        if of.training is not None:
            parts.append(f"training {name} {of.training:.4f}")
        if of.average is None and of.mean is None:
            continue
        where = f"test {name}" if of.metric.on == LOSS.on else f"{name} on {of.metric.on}"
        values = [nan if value is None else value for value in (of.average, of.mean, of.worst, of.best)]
        spread = "" if of.metric.higher_is_better is None else " ({:.4f} to {:.4f})".format(*values[2:])
        parts.append("{} of the average model {:.4f}, of the peers {:.4f}".format(where, *values) + spread)
    return ", ".join(parts)
