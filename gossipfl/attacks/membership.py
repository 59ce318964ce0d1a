"""Membership inference is judged by how many members are told at a low rate of false alarms (Carlini et al., 2022)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def true_positive_rate(
    members: NDArray[np.floating], non_members: NDArray[np.floating], false_positive_rate: float
) -> float:
    """The share of `members` whose score is above that of all but floor(rate n) of n `non_members`.

    >>> true_positive_rate(np.array([3.0, 0.5]), np.array([1.0, 2.0, 0.0, -1.0]), 0.25)
    0.5
    """
    num_false = int(false_positive_rate * len(non_members) + 1e-9)
    threshold = np.sort(non_members)[::-1][num_false]
    return float(np.mean(members > threshold))


def confidence(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """log(p / (1 - p)) of the probability [n] that a model gives to the label of each example: it is about normal,
    where a loss is not."""
    p = np.clip(np.asarray(probabilities, np.float64), 1e-12, 1 - 1e-12)
    return np.log(p) - np.log1p(-p)


def calibrated(scores: NDArray[np.float64], references: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The scores of examples, less their mean by models that were not trained on them: an example that is easy for all
    tells nothing (LiRA of Carlini et al., 2022, with models of others in place of shadow models, and one variance)."""
    return scores - np.mean(references, axis=0) if len(references) else scores
