"""What is said of a run in one line."""

from gossipfl.history import Evaluation
from gossipfl.scenario import Scenario


def run_name(label: str, seed: int, scenario: Scenario) -> str:
    """What a line calls one algorithm's run; only further seeds are named."""
    return label if seed == scenario.seed else f"{label}, seed {seed}"


def evaluation_line(label: str, evaluation: Evaluation, *, final: bool = False) -> str:
    """One evaluation in one line; accuracies with four decimals."""
    parts = [f"{label}: {'final model' if final else f'round {evaluation.round}'}"]
    if evaluation.training_accuracy is not None and not final:
        parts.append(f"training accuracy {evaluation.training_accuracy:.4f}")
    parts.append(f"test accuracy of the average model {evaluation.average_accuracy:.4f}")
    parts.append(
        f"of the peers {evaluation.mean_accuracy:.4f} ({evaluation.worst_accuracy:.4f} to "
        f"{evaluation.best_accuracy:.4f})"
    )
    return ", ".join(parts)
