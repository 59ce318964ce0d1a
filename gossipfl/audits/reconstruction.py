"""Examples are rebuilt from the training that a place has observed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossipfl.attacks.dense_layer import inputs_told, labels_told
from gossipfl.audits.model import ModelUnderAttack
from gossipfl.audits.observation import Observation
from gossipfl.errors import ConfigurationError


@dataclass(frozen=True, eq=False, slots=True)
class Reconstruction:
    """One training as an `attack` rebuilt it: `images` [k, ...], as the model gets them, and `labels` that it told."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    attack: str


def reconstruct(observation: Observation, model: ModelUnderAttack, iterations: int | None = None) -> Reconstruction:
    """Rebuild examples of a training, by the closed form of a first dense layer.

    Raises ConfigurationError for a model that has none.
    """
    before = np.asarray(observation.before, np.float64)
    gradients = model.facts.schema.unflatten(before - observation.after)
    first, last = model.first_dense, model.last_dense
    if first is None:
        raise ConfigurationError(
            "the first layer of the model is no dense one with a bias, of which a closed form is known; take a model "
            "such as softmax or mlp"
        )
    images = model.examples(inputs_told(gradients[first.kernel], gradients[first.bias]))
    labels = labels_told(gradients[last.bias]) if last is not None else np.empty(0, np.int64)
    return Reconstruction(images, labels, "closed form of the first dense layer")
