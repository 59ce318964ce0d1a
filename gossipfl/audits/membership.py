"""Scores say who is likely to be a member of the training set of a model that a place has seen."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gossipfl.attacks.membership import likelihood_scores, logit_confidences
from gossipfl.audits.model import ModelUnderAttack
from gossipfl.data.dataset import classes_of
from gossipfl.data.examples import Examples
from gossipfl.errors import ConfigurationError
from gossipfl.weights import Vector


def membership(
    weights: Vector, examples: Examples, model: ModelUnderAttack, references: Sequence[Vector] = ()
) -> NDArray[np.float64]:
    """The score [n] of each example, higher for likelier members: how sure the model is of its label, beside how sure
    the models of others are, `references`, where the place has any.

    Raises ConfigurationError for examples without classes, and a model without one output for each.
    """
    labels = classes_of(examples.y)
    if labels is None:
        raise ConfigurationError("membership is told by the classes of examples, which these have not")
    sure = [logit_confidences(model.probabilities(one, examples.x), labels) for one in (weights, *references)]
    return likelihood_scores(sure[0], sure[1:])
