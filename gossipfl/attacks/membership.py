"""Who was a member of a training set, as the confidence of a model tells it: scores of examples, higher for members."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError

_LEAST = 1e-300


def logit_confidences(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """log(p_y / (1 - p_y)) of each example [N] from `probabilities` [N, classes]: close to a normal distribution, where
    the loss is not (Carlini et al., 2022).

    1 - p_y is the sum of the others, which float32 has to 1e-38, where it has p_y to 1e-7 only.
    """
    p = probabilities.astype(np.float64)
    rows = np.arange(len(p))
    of_label = p[rows, labels]
    p[rows, labels] = 0.0
    confidences: NDArray[np.float64] = np.log(np.maximum(of_label, _LEAST)) - np.log(np.maximum(p.sum(1), _LEAST))
    return confidences


def likelihood_scores(
    confidences: NDArray[np.float64], references: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """The scores of examples by their confidences in the model and in `references`, models of others that were not
    trained on them; their mean says how easy each example is for anybody.

    It is the one-sided likelihood-ratio test of Carlini et al. (2022), "LiRA", without shadow models: in decentralized
    learning everybody is sent models of others. The spread is one for all, the choice of the paper where models are
    few; so it changes no order, and is left out. Without references the order is that of the loss (Yeom et al., 2018).
    """
    return confidences - np.mean(references, axis=0) if len(references) else confidences


def true_positive_rate(
    members: NDArray[np.floating], non_members: NDArray[np.floating], false_positive_rate: float
) -> float:
    """The share of members whose score is above a threshold that at most this share of the non-members exceeds.

    Raises ConfigurationError where there are too few non-members to tell such a rate: fewer than one of them.

    >>> true_positive_rate(np.array([0.9, 0.7, 0.2]), np.array([0.8, 0.1, 0.0, 0.3]), 0.25)
    0.6666666666666666
    """
    allowed = int(false_positive_rate * len(non_members) + 1e-9)
    if not (allowed >= 1 and len(members)):
        raise ConfigurationError(
            f"a false positive rate of {false_positive_rate:g} cannot be told from {len(non_members)} non-members and "
            f"{len(members)} members; it needs at least {int(np.ceil(1 / false_positive_rate))} non-members, and a "
            "member"
        )
    if allowed >= len(non_members):
        return 1.0
    threshold = np.partition(non_members, -allowed - 1)[-allowed - 1]
    return float(np.mean(members > threshold))
