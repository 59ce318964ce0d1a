"""Scores say who is likely to be a member of the training set of a model that a place has seen."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gossipfl.attacks.membership import calibrated, confidence
from gossipfl.audits.model import ModelUnderAttack
from gossipfl.data.examples import Examples
from gossipfl.weights import Vector


def membership(
    weights: Vector, examples: Examples, model: ModelUnderAttack, references: Sequence[Vector] = ()
) -> NDArray[np.float64]:
    """The score [n] of each example, higher for likelier members: how sure the model is of its label, beside how sure
    the models of others are, `references`, where the place has any."""
    sure = [confidence(model.probabilities(one, examples)) for one in (weights, *references)]
    return calibrated(sure[0], sure[1:])
