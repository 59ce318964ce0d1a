"""The roles of the variables of a compiled model, and how those of a role become a vector.

==============  ====================================================================================================
weights         trainable variables, in Keras order
statistics      what training changes without a gradient: floats (BatchNorm's means and variances), then integers
                (counters of a layer); they are part of the model, and are averaged with its weights
local           variables of both kinds that a scenario leaves to each peer: trainable ones, floats, then integers
constants       what training never changes: frozen layers, a Normalization's mean. The same for all peers of a run
seeds           seed generators of layers such as Dropout, private to a peer
optimizer       momenta and the like, and the counters that go with them
loss_scale      the scale of a LossScaleOptimizer and its counter, which follow the model's gradients: never reset
==============  ====================================================================================================

Integers travel and are averaged as floats, so a model has those that are nearest to the mean.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.auto_control_deps_utils import get_read_only_resource_input_indices_graph

from gossipfl.errors import ConfigurationError
from gossipfl.files.parked import leave_memory
from gossipfl.randomness import generator
from gossipfl.weights import LARGEST_INTEGER, Segment, Vector, WeightsSchema, as_integers, integer_range

SEED_GENERATOR_STATE = "seed_generator_state"
"""The name that keras.random.SeedGenerator gives to its variable, int64 [seed, number of draws]."""

ROLES: Mapping[str, type] = {
    "weights": np.float32,
    "statistics": np.float32,
    "local": np.float32,
    "optimizer": np.float32,
    "loss_scale": np.float32,
    "seeds": np.int64,
}
"""The vectors of a peer in training, and their dtypes."""

MODEL_ROLES = ("weights", "statistics", "local")
"""The vectors that are evaluated; the others, and those that are local, are a peer's state."""


@dataclass(frozen=True)
class VariableLayout:
    """The variables of one compiled model by role; see the table of this module."""

    weights: list[keras.Variable]
    statistics: list[keras.Variable]
    local: list[keras.Variable]
    constants: list[keras.Variable]
    seeds: list[keras.Variable]
    optimizer: list[keras.Variable]
    loss_scale: list[keras.Variable]

    def of(self, role: str) -> list[keras.Variable]:
        """The variables of a role."""
        return getattr(self, role)  # type: ignore[no-any-return]

    @property
    def num_floats(self) -> int:
        """Number of elements of a peer's vectors, seeds apart."""
        return size_of([*self.weights, *self.statistics, *self.local, *self.optimizer, *self.loss_scale])

    def initial_seeds(self, seed: int, *name: str | int) -> NDArray[np.int64]:
        """Seed generators derived from (seed, name)."""
        if not self.seeds:
            return np.empty(0, np.int64)
        drawn = generator(seed, "seed-generators", *name).integers(2**31 - 2, size=len(self.seeds))
        return np.stack([drawn, np.zeros_like(drawn)], axis=1).ravel()


def changes(model: keras.Model, forward: Callable[[bool], Any], written: Set[int] = frozenset()) -> list[bool]:
    """True if calls may write each of the variables that are not trainable; seed generators apart, which they do.

    `forward(training)` makes the model's outputs, in a graph, which shows what it writes; `written` are the identities
    of handles that other calls write.
    """
    variables = model.non_trainable_variables
    if all(variable.name == SEED_GENERATOR_STATE for variable in variables):
        return [True] * len(variables)

    def both() -> None:
        forward(True)
        forward(False)

    written = written | written_by(tf.function(both, autograph=False).get_concrete_function().graph)
    return [id(variable.value.handle) in written for variable in variables]


def draws(layout: VariableLayout, forward: Callable[[], Any]) -> bool:
    """True if `forward`, called in a graph, makes use of the seed generators."""
    if not layout.seeds:
        return False
    written = written_by(tf.function(forward, autograph=False).get_concrete_function().graph)
    return any(id(variable.value.handle) in written for variable in layout.seeds)


def captured_by(graph: Any) -> set[int]:
    """The identities of what a graph takes from outside, handles of variables among them."""
    return {id(outside) for outside, _ in graph.captures}


def written_by(graph: Any) -> set[int]:
    """The identities of what a graph takes from outside and may write."""
    read_only = {id(graph.inputs[index]) for index in get_read_only_resource_input_indices_graph(graph)}
    return {id(outside) for outside, inside in graph.captures if id(inside) not in read_only}


def variable_layout(
    model: keras.Model,
    changes: Sequence[bool],
    optimizers: Sequence[keras.optimizers.Optimizer],
    local: Set[int] = frozenset(),
    frozen: Set[int] = frozenset(),
) -> VariableLayout:
    """Sort the variables of a compiled model, and of its `optimizers`, which are built, by role.

    `changes` says of those that are not trainable which ones calls change; `local` and `frozen` are the identities of
    those that a scenario calls so. Raises ConfigurationError for a variable that cannot have the role that training
    gives it.
    """
    if not model.trainable_variables:
        left = " left by sharing.frozen" if frozen else ""
        raise ConfigurationError(f"model {model.name!r} has no trainable variables{left}, so there is nothing to train")
    seeds: list[keras.Variable] = []
    changed: list[keras.Variable] = []
    constants: list[keras.Variable] = []
    for variable, changes_it in zip(model.non_trainable_variables, changes, strict=True):
        is_seed = variable.name == SEED_GENERATOR_STATE
        (seeds if is_seed else changed if changes_it else constants).append(variable)
        if changes_it and id(variable) in frozen:
            raise ConfigurationError(
                f"sharing.frozen names the variable {variable.path!r}, which training changes without a gradient; "
                "freeze its layer as a whole, which then leaves it as it is"
            )
    scales = [variable for optimizer in optimizers for variable in _loss_scale(optimizer)]
    rates = {id(part._learning_rate) for optimizer in optimizers for part in optimizers_of(optimizer)}
    states = [variable for optimizer in optimizers for variable in optimizer.variables]
    layout = VariableLayout(
        weights=[variable for variable in model.trainable_variables if id(variable) not in local],
        statistics=sorted((variable for variable in changed if id(variable) not in local), key=is_integer),
        local=sorted(
            (variable for variable in (*model.trainable_variables, *changed) if id(variable) in local), key=is_integer
        ),
        constants=constants,
        seeds=seeds,
        optimizer=sorted(
            (variable for variable in states if id(variable) not in {*rates, *map(id, scales)}), key=is_integer
        ),
        loss_scale=scales,
    )
    _check(layout)
    return layout


def _check(layout: VariableLayout) -> None:
    """Raise ConfigurationError for variables that cannot travel as float32, and where none would."""
    if not layout.weights:
        raise ConfigurationError(
            "sharing.local names all trainable variables of the model, so peers would have nothing to average; leave "
            "some out, or use the algorithm 'local'"
        )
    for variable in [*layout.weights, *layout.statistics, *layout.local, *layout.optimizer]:
        if variable.dtype != "float32" and not is_integer(variable):
            raise ConfigurationError(
                f"variable {variable.path!r} has dtype {variable.dtype}, but weights travel as float32; build "
                f"the model with float32 variables (mixed precision, for example dtype='mixed_bfloat16', keeps them)"
            )
    for variable in [*layout.statistics, *layout.local]:
        if is_integer(variable) and (np.abs(variable.numpy().astype(np.float64)) > LARGEST_INTEGER).any():
            raise ConfigurationError(
                f"variable {variable.path!r}, which training changes, has integers beyond {LARGEST_INTEGER}: they are "
                f"averaged with other peers' as float32, which is exact up to there only"
            )


def optimizers_of(optimizer: keras.optimizers.Optimizer) -> list[keras.optimizers.Optimizer]:
    """An optimizer and those within it: that of a LossScaleOptimizer, those of a MultiOptimizer."""
    inner = [getattr(optimizer, "inner_optimizer", None), *getattr(optimizer, "_inner_optimizers", [])]
    return [optimizer, *(part for one in inner if one is not None for part in optimizers_of(one))]


def optimizers_in(attribute: Any) -> list[keras.optimizers.Optimizer]:
    """The optimizers in an attribute of a model: it is one, or holds some."""
    held: Any = list(attribute.values()) if isinstance(attribute, dict) else attribute
    held = held if isinstance(held, list | tuple) else [held]
    return [one for one in held if isinstance(one, keras.optimizers.Optimizer)]


def is_integer(variable: keras.Variable) -> bool:
    """True if a variable holds integers or truth values."""
    dtype = tf.as_dtype(variable.dtype)
    return bool(dtype.is_integer or dtype.is_bool)


def _loss_scale(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return []
    return [optimizer.dynamic_scale, optimizer.step_counter]


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
    """Split, in a graph, a vector [size] into the shapes and dtypes of the variables."""
    if not variables:
        return []
    parts = tf.split(row, [_num_elements(variable) for variable in variables])
    return [
        tf.cast(_within(tf.reshape(part, variable.shape), variable), variable.dtype)
        for part, variable in zip(parts, variables, strict=True)
    ]


def assign(variables: Sequence[keras.Variable], row: tf.Tensor) -> None:
    """Set, in a graph, the variables from a vector [size]."""
    for variable, part in zip(variables, split(row, variables), strict=True):
        variable.value.assign(part)


def join(tensors: Sequence[tf.Tensor], dtype: Any) -> tf.Tensor:
    """Join, in a graph, all tensors to one flat vector of `dtype`."""
    if not tensors:
        return tf.zeros(0, dtype)
    return tf.concat([tf.cast(tf.reshape(tensor, [-1]), dtype) for tensor in tensors], 0)


def read(variables: Sequence[keras.Variable], dtype: Any = tf.float32) -> tf.Tensor:
    """Read, in a graph, the variables' values as a vector [size]."""
    return join([variable.value.read_value() for variable in variables], dtype)


def _within(part: tf.Tensor, variable: keras.Variable) -> tf.Tensor:
    """In a graph: what `as_integers` does, where floats are to be integers."""
    if not (is_integer(variable) and part.dtype.is_floating):
        return part
    return tf.clip_by_value(tf.round(part), *integer_range(variable.dtype))


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
        empty(variable)
        value = tf.convert_to_tensor(in_dtype_of(variable, part))
        tf.raw_ops.AssignVariableOp(resource=variable.value.handle, value=value)
        leave_memory(part)


def empty(variable: keras.Variable) -> None:
    """Outside graphs: free the bytes of a variable, which has to be loaded before it is used again."""
    tf.raw_ops.AssignVariableOp(resource=variable.value.handle, value=tf.zeros(0, variable.dtype))  # any shape will do


def emptied(variables: Iterable[keras.Variable]) -> Iterator[tf.Tensor]:
    """Outside graphs: the value of each variable, which shares its bytes, and is its last."""
    for variable in variables:
        yield variable.value.read_value()
        empty(variable)


def in_dtype_of(variable: keras.Variable, part: NDArray[Any]) -> NDArray[Any]:
    """An array in the dtype of a variable; of floats, the nearest integers."""
    if is_integer(variable) and np.issubdtype(part.dtype, np.floating):
        return as_integers(part, variable.dtype)
    return np.asarray(part, variable.dtype)


def vector_of(tensors: Iterable[tf.Tensor], variables: Sequence[keras.Variable], dtype: Any) -> NDArray[Any]:
    """Outside graphs: one vector [size] of tensors in the shapes of the variables, which are taken one by one."""
    vector = np.empty(size_of(variables), dtype)
    for part, tensor in zip(parts_of(vector, variables), tensors, strict=True):
        part[...] = np.asarray(memoryview(tensor))
    return vector


def _num_elements(variable: keras.Variable) -> int:
    return int(np.prod(variable.shape, dtype=np.int64))
