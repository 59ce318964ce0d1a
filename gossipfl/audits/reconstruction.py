"""Examples are rebuilt from the training that a place has observed."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from gossipfl.attacks.dense_layer import input_without_bias, label_counts, rebuilt_inputs
from gossipfl.audits.gradient_matching import deep_leakage, inverted_gradients
from gossipfl.audits.model import ModelUnderAttack
from gossipfl.audits.observation import Observation
from gossipfl.errors import ConfigurationError
from gossipfl.weights import Vector

MOST_EXAMPLES = 64
"""The closed form rebuilds at most so many examples of one training."""

MOST_AT_ONCE = 16
"""Gradient matching looks for at most so many examples at once: more of them are rebuilt worse and slower."""


class Attack(StrEnum):
    """The attacks that rebuild examples."""

    CLOSED_FORM = "closed form of the first dense layer"
    INVERTED_GRADIENTS = "Inverting Gradients"
    DEEP_LEAKAGE = "Deep Leakage from Gradients"


@dataclass(frozen=True, eq=False, slots=True)
class Reconstruction:
    """One training as an `attack` rebuilt it: `images` [k, ...], as the model gets them, and the `labels` that it told,
    each as often as it was told."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    attack: str


def reconstruct(
    observation: Observation, model: ModelUnderAttack, iterations: int | None = None, attack: Attack | None = None
) -> Reconstruction:
    """Rebuild examples of a training: by the closed form where the first layer is a dense one that tells them, else by
    Inverting Gradients; or by the `attack` given, of so many `iterations` (None: those of its paper).

    All take (before - after) / (learning rate * steps) for the gradient, which it is for one step of SGD; without a
    known learning rate its direction, which is not enough for Deep Leakage from Gradients. Raises ConfigurationError
    for a model or an optimizer that the attack is not for.
    """
    facts, before = model.facts, np.asarray(observation.before, np.float64)
    # What is weather for the model is none for the attack: of a destroyed model there is nothing to rebuild.
    scale = (facts.learning_rate or 1.0) * observation.num_steps
    gradient = np.nan_to_num((before - observation.after) / scale, posinf=0.0, neginf=0.0)
    num_examples = facts.batch_size * observation.num_steps * observation.num_models
    told_alone = num_examples == 1 and model.first_dense is not None
    has_bias = model.first_dense is not None and model.first_dense.bias is not None
    if attack is None:
        attack = Attack.CLOSED_FORM if has_bias or told_alone else Attack.INVERTED_GRADIENTS
    labels = _labels(gradient, observation.before, model, min(num_examples, MOST_EXAMPLES))
    if attack is Attack.CLOSED_FORM:
        images = model.examples(_first_inputs(gradient, model, min(num_examples, MOST_EXAMPLES)))
    elif attack is Attack.INVERTED_GRADIENTS:
        chosen = _spread(labels, min(num_examples, MOST_AT_ONCE))
        images = inverted_gradients(model, observation.before, gradient, chosen, iterations or 4800)
    else:
        if facts.learning_rate is None:
            raise ConfigurationError(
                "Deep Leakage from Gradients needs the size of the gradient, so an optimizer whose learning_rate is a "
                "number in the scenario; take another attack"
            )
        images, labels = deep_leakage(
            model, observation.before, gradient, min(num_examples, MOST_AT_ONCE), iterations or 300
        )
    return Reconstruction(images, labels, attack.value)


def _first_inputs(gradient: NDArray[np.float64], model: ModelUnderAttack, most: int) -> NDArray[np.float64]:
    gradients, first = model.facts.schema.unflatten(gradient), model.first_dense
    if first is None or (first.bias is None and most > 1):
        raise ConfigurationError(
            "the first layer of the model is no dense one with a bias, of which a closed form is known; take a model "
            "such as softmax or mlp, or another attack"
        )
    if first.bias is None:
        return input_without_bias(gradients[first.kernel])[None]
    return rebuilt_inputs(gradients[first.kernel], gradients[first.bias], most)


def _labels(gradient: NDArray[np.float64], before: Vector, model: ModelUnderAttack, num: int) -> NDArray[np.int64]:
    """The labels of so many examples that the last bias tells; none where there is no such bias."""
    facts, last = model.facts, model.last_dense
    bias = None if last is None or last.bias is None else facts.schema.unflatten(gradient)[last.bias]
    if bias is None or bias.size != facts.task.num_classes:
        return np.empty(0, np.int64)
    probabilities = model.probabilities(before, model.guesses(64)).mean(axis=0)
    # Of one example the lowest is its class whatever the scale is: clipping changes that, and momenta.
    is_scaled = facts.learning_rate is not None and num > 1
    return np.repeat(np.arange(bias.size), label_counts(bias, probabilities, num, is_scaled=is_scaled))


def _spread(labels: NDArray[np.int64], num: int) -> NDArray[np.int64]:
    """So many of the labels, evenly; zeros where none were told."""
    if not labels.size:
        return np.zeros(num, np.int64)
    return labels[np.linspace(0, labels.size - 1, num).round().astype(np.int64)]
