"""Runs, each in one line."""

from gossipfl.history import Evaluation
from gossipfl.scenario import Scenario


def run_name(label: str, seed: int, scenario: Scenario) -> str:
    """The name of one algorithm's run in a line; only further seeds are named."""
    return label if seed == scenario.seed else f"{label}, seed {seed}"


def evaluation_line(label: str, evaluation: Evaluation, *, final: bool = False) -> str:
    """One evaluation in one line; metrics with four decimals."""
    parts = [f"{label}: {'final model' if final else f'round {evaluation.round}'}"]
    for name, of in evaluation.metrics.items():
        if of.training is not None and not final:
            parts.append(f"training {name} {of.training:.4f}")
        parts.append(f"test {name} of the average model {of.average:.4f}")
        parts.append(f"of the peers {of.mean:.4f} ({of.worst:.4f} to {of.best:.4f})")
    return ", ".join(parts)
