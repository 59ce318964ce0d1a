"""Integers that name something, such as a user, must reach a model as they are."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gossipfl.data.conversion import MAX_EXACT_FLOAT
from gossipfl.data.examples import Examples, Tree, leaves
from gossipfl.errors import ConfigurationError

_MAX_EXACT = {"bfloat16": 2**8, "float16": 2**11, "float64": 2**53}
"""Beyond it floats of these types do not have all integers."""


def refuse_collapsing_numbers(model: keras.Model, examples: Examples) -> None:
    """Raise ConfigurationError where an input of a model, in its dtype, would make one of several integers."""
    for place, array, tensor in _inputs_of(model, examples.x):
        dtype = tf.as_dtype(tensor.dtype)
        largest = _MAX_EXACT.get(dtype.name, MAX_EXACT_FLOAT) if dtype.is_floating else dtype.max
        if array.dtype.kind not in "iu" or _all_fit(array.dtype, None if dtype.is_floating else dtype.min, largest):
            continue
        if int(array.max()) > largest or (dtype.is_integer and int(array.min()) < dtype.min):
            raise ConfigurationError(
                f"{place} has integers from {array.min()} to {array.max()}, but the input {tensor.name!r} of model "
                f"{model.name!r} is {tensor.dtype}, which does not have all of them: give it dtype='int64' if they "
                "name something, and the data as floats if they are quantities"
            )


def _all_fit(dtype: np.dtype[Any], smallest: int | None, largest: int) -> bool:
    """True if no value of a dtype can be beyond these, whatever an array has."""
    bounds = np.iinfo(dtype)
    return bounds.max <= largest and (smallest is None or bounds.min >= smallest)


def _inputs_of(model: keras.Model, x: Tree) -> Iterator[tuple[str, NDArray[Any], Any]]:
    """The arrays of the data, each with the input that a model has for it, if it says so."""
    inputs = getattr(model, "inputs", None) or []
    if isinstance(x, dict):
        by_name = {tensor.name: tensor for tensor in inputs}
        given = getattr(model, "_inputs_struct", None)
        by_name |= given if isinstance(given, dict) else {}
        for key, part in x.items():
            if isinstance(part, np.ndarray) and key in by_name:
                yield f"x[{key!r}]", part, by_name[key]
    elif len(arrays := list(leaves(x, "x"))) == len(inputs):
        yield from ((place, array, tensor) for (place, array), tensor in zip(arrays, inputs, strict=True))
