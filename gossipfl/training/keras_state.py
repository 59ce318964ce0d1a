"""Which variables of a compiled model are a peer's weights, statistics and state, and how they become vectors.

======================  ==========================================================================================
weights                 trainable variables, in Keras order
statistics              float variables that training changes without a gradient (BatchNorm means and variances)
optimizer               float variables of the optimizer, the learning rate apart
integers                step counters, other integer variables, then seed generators: never averaged
constants               frozen variables (`trainable = False`): the same for every peer, in no vector
======================  ==========================================================================================
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError
from gossipfl.randomness import generator
from gossipfl.weights import Segment, Vector, WeightsSchema

SEED_GENERATOR_STATE = "seed_generator_state"
"""The name that keras.random.SeedGenerator gives to its variable, int64 [seed, number of draws]."""


@dataclass(frozen=True)
class VariableLayout:
    """The variables of one compiled model by role; see the table of this module."""

    weights: list[keras.Variable]
    statistics: list[keras.Variable]
    optimizer: list[keras.Variable]
    optimizer_integers: list[keras.Variable]
    model_integers: list[keras.Variable]
    seeds: list[keras.Variable]
    constants: list[keras.Variable]

    @property
    def integers(self) -> list[keras.Variable]:
        """All variables behind the state vector `integers`, in order."""
        return [*self.optimizer_integers, *self.model_integers, *self.seeds]

    @property
    def num_floats(self) -> int:
        """Number of floats of a peer: weights, statistics and optimizer."""
        return size_of([*self.weights, *self.statistics, *self.optimizer])

    @cached_property
    def first_integers(self) -> NDArray[np.int64]:
        """The `integers` of a state at the very beginning, seed generators not yet derived."""
        return np.concatenate(
            [np.asarray(variable.numpy(), np.int64).ravel() for variable in self.integers] or [np.empty(0, np.int64)]
        )

    def initial_integers(self, seed: int, *name: str | int) -> NDArray[np.int64]:
        """The `integers` of an empty state: counters at their start, seed generators derived from (seed, name)."""
        integers = self.first_integers.copy()
        if self.seeds:
            drawn = generator(seed, "seed-generators", *name).integers(2**31 - 2, size=len(self.seeds))
            integers[-2 * len(self.seeds) :] = np.stack([drawn, np.zeros_like(drawn)], axis=1).ravel()
        return integers


def variable_layout(model: keras.Model) -> VariableLayout:
    """Sort the variables of a compiled model, its optimizer built, by role.

    Raises ConfigurationError for a float variable that is not float32, or a variable that is neither float nor integer.
    """
    frozen = {id(variable) for layer in model._flatten_layers() for variable in layer._trainable_variables}
    statistics, integers, seeds, constants = [], [], [], []
    for variable in model.non_trainable_variables:
        if id(variable) in frozen:
            constants.append(variable)
        elif variable.name == SEED_GENERATOR_STATE:
            seeds.append(variable)
        elif _is_float(variable):
            statistics.append(variable)
        else:
            integers.append(variable)
    if not model.trainable_variables:
        raise ConfigurationError(f"model {model.name!r} has no trainable variables, so there is nothing to train")
    changing = [variable for variable in model.optimizer.variables if variable is not model.optimizer.learning_rate]
    layout = VariableLayout(
        weights=list(model.trainable_variables),
        statistics=statistics,
        optimizer=[variable for variable in changing if _is_float(variable)],
        optimizer_integers=[variable for variable in changing if not _is_float(variable)],
        model_integers=integers,
        seeds=seeds,
        constants=constants,
    )
    for variable in [*layout.weights, *layout.statistics, *layout.optimizer]:
        if variable.dtype != "float32":
            raise ConfigurationError(
                f"variable {variable.path!r} has dtype {variable.dtype}, but weights travel as float32; build "
                f"the model with float32 variables (mixed precision, for example dtype='mixed_bfloat16', keeps them)"
            )
    for variable in layout.integers:
        if not tf.as_dtype(variable.dtype).is_integer and not tf.as_dtype(variable.dtype).is_bool:
            raise ConfigurationError(
                f"variable {variable.path!r} has dtype {variable.dtype}, expected floats or integers"
            )
    return layout


def size_of(variables: Sequence[keras.Variable]) -> int:
    """Number of elements of all variables."""
    return sum(_num_elements(variable) for variable in variables)


def schema_of(variables: Sequence[keras.Variable]) -> WeightsSchema:
    """The schema of variables, named by their paths."""
    return WeightsSchema(
        tuple(Segment(variable.path, tuple(variable.shape), str(variable.dtype)) for variable in variables)
    )


def values_of(variables: Sequence[keras.Variable]) -> Vector:
    """The current float32 values of variables as one read-only vector."""
    return schema_of(variables).flatten([np.asarray(variable.numpy()) for variable in variables])


def split(row: tf.Tensor, variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
    """In a graph: the parts of a vector [size], in the shapes and dtypes of the variables."""
    if not variables:
        return []
    parts = tf.split(row, [_num_elements(variable) for variable in variables])
    return [
        tf.cast(tf.reshape(part, variable.shape), variable.dtype)
        for part, variable in zip(parts, variables, strict=True)
    ]


def assign(variables: Sequence[keras.Variable], row: tf.Tensor) -> None:
    """In a graph: set the variables from a vector [size]."""
    for variable, part in zip(variables, split(row, variables), strict=True):
        variable.value.assign(part)


def join(tensors: Sequence[tf.Tensor], dtype: Any) -> tf.Tensor:
    """In a graph: one vector of `dtype` of all tensors, flattened."""
    if not tensors:
        return tf.zeros(0, dtype)
    return tf.concat([tf.cast(tf.reshape(tensor, [-1]), dtype) for tensor in tensors], 0)


def read(variables: Sequence[keras.Variable], dtype: Any = tf.float32) -> tf.Tensor:
    """In a graph: the variables' values as a vector [size]."""
    return join([variable.value.read_value() for variable in variables], dtype)


def parts_of(vector: NDArray[Any], variables: Sequence[keras.Variable]) -> list[NDArray[Any]]:
    """Views on the parts of a vector [size], in the shapes of the variables."""
    ends = np.cumsum([_num_elements(variable) for variable in variables], dtype=np.int64)
    return [
        vector[end - _num_elements(variable) : end].reshape(variable.shape)
        for end, variable in zip(ends, variables, strict=True)
    ]


def load(variables: Sequence[keras.Variable], vector: NDArray[Any]) -> None:
    """Outside graphs: set the variables from a vector [size], with at most one variable's bytes beside them.

    TensorFlow copies an array twice to make a tensor of it, so the old value goes first: one variable may be most of a
    large model.
    """
    for variable, part in zip(variables, parts_of(vector, variables), strict=True):
        handle = variable.value.handle
        tf.raw_ops.AssignVariableOp(resource=handle, value=tf.zeros(0, variable.dtype))  # any shape will do
        tf.raw_ops.AssignVariableOp(resource=handle, value=tf.convert_to_tensor(np.asarray(part, variable.dtype)))


def vector_of(tensors: Iterable[tf.Tensor], variables: Sequence[keras.Variable], dtype: Any) -> NDArray[Any]:
    """Outside graphs: one vector [size] of tensors in the shapes of the variables, which are taken one by one."""
    vector = np.empty(size_of(variables), dtype)
    for part, tensor in zip(parts_of(vector, variables), tensors, strict=True):
        part[...] = np.asarray(memoryview(tensor))
    return vector


def _is_float(variable: keras.Variable) -> bool:
    return bool(tf.as_dtype(variable.dtype).is_floating)


def _num_elements(variable: keras.Variable) -> int:
    return int(np.prod(variable.shape, dtype=np.int64))
