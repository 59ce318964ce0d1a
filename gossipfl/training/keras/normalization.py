"""The Normalization layers of a model, and the inputs that go through them."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gossipfl.data.examples import leaves, mapped
from gossipfl.data.task import Task
from gossipfl.errors import ConfigurationError
from gossipfl.training.keras.models import ModelRecipe
from gossipfl.training.keras.named import first_line
from gossipfl.training.normalization import NormalizedInput

_NUM_EXAMPLES = 16
"""So many random examples tell one input from another, also where they are truth values."""


def normalized_inputs(models: ModelRecipe, task: Task) -> Sequence[NormalizedInput]:
    """The inputs that go through a Normalization layer of a model, whose mean and variance are variables, and through
    nothing that changes them before.

    Raises ConfigurationError for a model without such a layer, and for one that takes something else.
    """
    (built,) = models.models(1)
    name = built.model.name
    layers = built.normalizations
    if not layers:
        raise ConfigurationError(
            f"data.normalize needs a layer keras.layers.Normalization in which the mean and deviation of every feature "
            f"are kept, and model {name!r} has none with variables of its own: put one behind its input, or leave "
            "data.normalize out"
        )
    inputs, taken = _passed(built.model, layers, task)
    found = []
    for layer in layers:
        shape, places = _fitting(taken.get(layer.name), inputs)
        if len(places) != 1:
            raise ConfigurationError(
                f"data.normalize: the layer {layer.name!r} of model {name!r} does not take an input of the data as it "
                "is, so mean and deviation of the data are not its own: put it behind an input, or give it a mean and "
                "a variance"
            )
        kept = tuple(sorted(axis % (len(shape) + 1) for axis in layer.axis))
        if 0 in kept:
            raise ConfigurationError(
                f"data.normalize: the layer {layer.name!r} of model {name!r} has a mean for every example (axis = "
                f"{layer.axis}); the first axis is that of the examples"
            )
        place = {id(variable): position for position, variable in enumerate(built.layout.constants)}
        mean, variance = place[id(layer.adapt_mean)], place[id(layer.adapt_variance)]
        found.append(NormalizedInput(layer.name, places[0], shape, kept, mean, variance))
    return found


def _passed(
    model: keras.Model, layers: Sequence[keras.layers.Layer], task: Task
) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, tf.Tensor]]:
    """Random inputs by their places, and what the layers get of them, by their names, in an evaluation."""
    draw = np.random.default_rng(0)

    def random(array: NDArray[Any]) -> NDArray[Any]:
        numbers = draw.random(array.shape) if array.dtype.kind == "f" else draw.integers(2, size=array.shape)
        return numbers.astype(array.dtype)

    x = mapped(random, task.examples(_NUM_EXAMPLES).x)
    taken: dict[str, tf.Tensor] = {}
    for layer in layers:  # in place of their `call`, in this one call

        def noted(inputs: Any, layer: Any = layer) -> Any:
            taken[layer.name] = inputs
            return 0.5 - type(layer).call(layer, inputs)  # or what is behind it would seem to take the input, too

        vars(layer)["call"] = noted
    try:
        model(tf.nest.map_structure(tf.convert_to_tensor, x), training=False)
    except (ValueError, TypeError, KeyError, NotImplementedError, tf.errors.OpError) as error:
        raise ConfigurationError(
            f"data.normalize: model {model.name!r} does not show which inputs its Normalization layers take, because "
            f"it cannot be called: {first_line(error)}"
        ) from error
    finally:
        for layer in layers:
            del vars(layer)["call"]
    return dict(leaves(x, "x")), taken


def _fitting(taken: tf.Tensor | None, inputs: Mapping[str, NDArray[Any]]) -> tuple[tuple[int, ...], list[str]]:
    """The shape of an example that a layer has taken, and the places of the inputs that it may be."""
    if taken is None:
        return (), []
    shape = tuple(taken.shape)
    # Keras takes [N] as [N, 1]; a layer casts its input to the dtype that it calculates in.
    alike = {place: array.reshape(shape) for place, array in inputs.items() if (*array.shape, 1)[: len(shape)] == shape}
    same = [place for place, array in alike.items() if tf.reduce_all(tf.equal(tf.cast(array, taken.dtype), taken))]
    return shape[1:], same
