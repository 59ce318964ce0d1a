"""The loss of a model: the one that it is compiled with, that the scenario names, or that the task suggests.

Keras stretches targets and outputs of different shapes to a common one, and goes on: of ten examples, the mean squared
error of class numbers [10] and ten outputs each [10, 10] is a number. So the shapes are checked here.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gossipfl.data.task import Task
from gossipfl.errors import ConfigurationError
from gossipfl.training.keras.batch import Batch, by_output, outputs_by_name, shown_shape
from gossipfl.training.keras.named import first_line, made, named, overrides

SPARSE = "sparse_categorical_crossentropy"
"""The loss of Keras for class numbers."""

_OF_ANY_SHAPE = ("circle", "ctc", "dice", "tversky")
"""Losses of Keras whose targets need not have the shape of the outputs, beside the sparse one."""

_BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
"""Losses of Keras for targets in [0, 1]."""


def default_loss(model: keras.Model, task: Task, batch: Batch) -> keras.losses.Loss | None:
    """The loss for a task where neither the model nor the scenario names one; None where the model has a way of its
    own. Raises ConfigurationError when nothing suggests one."""
    if batch.y is None or _has_own_loss(model):
        return None
    if task.kind is None or not batch.is_single:
        raise ConfigurationError(
            f"model {model.name!r} has no loss, and its targets ({task.y}) do not suggest one: compile it "
            f'with its loss, or set training.loss, for example "mean_squared_error"'
        )
    if task.kind == "quantities":
        return keras.losses.MeanSquaredError()
    if task.kind == "labels" or _width(batch.output) == 1:
        return named_loss(model, "binary_crossentropy")
    return named_loss(model, SPARSE if len(batch.y.shape) == 1 else "categorical_crossentropy")


def named_loss(model: keras.Model, given: str | Mapping[str, Any]) -> keras.losses.Loss:
    """The loss of Keras that a scenario names. Without the argument `from_logits`, the model's last layer says it."""
    loss_class, config = named("training.loss", given, keras.losses, keras.losses.Loss)
    if "from_logits" in inspect.signature(loss_class).parameters and "from_logits" not in config:
        config["from_logits"] = _gives_logits(model)
    loss: keras.losses.Loss = made("training.loss", loss_class, config)
    return loss


def accepts_training(function: Any) -> bool:
    """True if a model's `call` or `compute_loss` takes the argument `training`."""
    return "training" in inspect.signature(function).parameters


def loss_of(model: keras.Model, batch: Batch, *, training: bool) -> Any:
    """The loss of a batch, as the steps of Keras make it."""
    arguments = {"training": training} if accepts_training(model.compute_loss) else {}
    return model.compute_loss(x=batch.x, y=batch.y, y_pred=batch.output, sample_weight=batch.weight, **arguments)


def check_loss(model: keras.Model, task: Task, batch: Batch) -> None:
    """Raise ConfigurationError unless a compiled model makes a scalar loss of some examples, and its targets and
    outputs are of the shapes that the losses of Keras in it are for."""
    try:
        value = loss_of(model, batch, training=False)
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        _check_shapes(model, task, batch)
        shapes = map(shown_shape, outputs_by_name(model, batch.output).values())
        raise ConfigurationError(
            f"the loss of model {model.name!r} does not take the data's targets ({task.y}) and outputs of shape "
            f"{', '.join(shapes)}: {first_line(error)}"
        ) from error
    if tuple(value.shape) != ():
        raise ConfigurationError(
            f"the loss of model {model.name!r} has shape {tuple(value.shape)}, expected a scalar; compile it "
            f"with the default reduction"
        )
    _check_shapes(model, task, batch)


def has_classes(model: keras.Model, task: Task, batch: Batch) -> bool:
    """True if accuracy is the share of right classes of a task with one target."""
    if not batch.is_single:
        return False
    if any(name == SPARSE for name, _, _ in _with_losses_of_keras(model, batch)):
        return True
    if task.kind != "classes" or task.num_classes is None or len(batch.output.shape) > 2:
        return False
    width = _width(batch.output)
    return width == task.num_classes or (width == 1 and task.num_classes == 2)


def check_range(model: keras.Model, y: Any, what: str) -> None:
    """Raise ConfigurationError for targets beyond those that the one loss of a model is for: it would fall for ever."""
    losses = [_name(loss) for _, loss, *_ in getattr(model._compile_loss, "_flat_losses", None) or []]
    if len(losses) == 1 and losses[0] in _BINARY and isinstance(y, np.ndarray) and (y.min() < 0 or y.max() > 1):
        raise ConfigurationError(
            f"loss {losses[0]!r} is for targets from 0 to 1, and those of {what} go from {y.min():g} to {y.max():g}: "
            f'scale them, or set training.loss, for example "mean_squared_error"'
        )


def _check_shapes(model: keras.Model, task: Task, batch: Batch) -> None:
    for name, target, output in _with_losses_of_keras(model, batch):
        wanted = _wanted(name, task, target, output)
        if wanted:
            raise ConfigurationError(
                f"loss {name!r} does not fit targets of shape {shown_shape(target)} and outputs of shape "
                f"{shown_shape(output)}: it wants {wanted}"
            )


def _wanted(name: str, task: Task, target: Any, output: Any) -> str | None:
    """A few words on the shapes that a loss of Keras is for, if these are none."""
    of_target, of_output = tuple(target.shape[1:]), tuple(output.shape[1:])
    num_classes = task.num_classes or 0
    if name == SPARSE:
        if of_output == () or of_output[-1] == 1 or _stripped(of_target) != _stripped(of_output[:-1]):
            return "a number of the class for every vector of outputs, with one output per class"
        if of_output[-1] < num_classes:
            return f"{num_classes} outputs, because the classes are 0 to {num_classes - 1}"
    elif _stripped(of_target) != _stripped(of_output):
        return "a target for every output"
    elif name in _BINARY and _width(output) == 1 and num_classes > 2:
        return f"targets from 0 to 1, and the classes are 0 to {num_classes - 1}"
    return None


def _with_losses_of_keras(model: keras.Model, batch: Batch) -> Iterator[tuple[str, Any, Any]]:
    """The names of the losses of Keras that a model is compiled with, once it has made a loss, and the target and the
    output of each; those of deeper structures of outputs are left out."""
    outputs = outputs_by_name(model, batch.output)
    names, targets = list(outputs), by_output(list(outputs), batch.y)
    for path, loss, *_ in getattr(model._compile_loss, "_flat_losses", None) or []:
        name = _name(loss)
        if len(path) > 1 or not name or name in _OF_ANY_SHAPE:
            continue
        output = names[0] if not path else path[0] if isinstance(path[0], str) else names[path[0]]
        if output in targets:
            yield name, targets[output], outputs[output]


def _name(loss: Any) -> str:
    """The name of a loss of Keras; empty for any other."""
    function: Any = getattr(loss, "fn", None)
    is_of_keras = str(getattr(function, "__module__", "")).startswith("keras.")
    return str(function.__name__) if is_of_keras else ""


def _has_own_loss(model: keras.Model) -> bool:
    """True if a model that is compiled without a loss computes one itself, or has those that its layers add."""
    if overrides(model, "compute_loss"):
        return True
    return bool(model.compiled and any(layer._losses for layer in model._flatten_layers()))


def _gives_logits(model: keras.Model) -> bool:
    last = model.layers[-1] if model.layers else None
    if isinstance(last, keras.layers.Softmax):
        return False
    activation = getattr(last, "activation", None)
    if activation in (keras.activations.softmax, keras.activations.sigmoid):
        return False
    if activation is keras.activations.linear:
        return True
    raise ConfigurationError(
        f"cannot tell whether model {model.name!r} gives logits or probabilities, because its last layer "
        f"{getattr(last, 'name', None)!r} is neither softmax, sigmoid nor linear; compile the model with its "
        f"loss, or set "
        f'training.loss, for example {{"name": "sparse_categorical_crossentropy", "from_logits": true}}'
    )


def _width(output: Any) -> int:
    return 1 if len(output.shape) == 1 else int(output.shape[-1])


def _stripped(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without ones at its end, which Keras adds and takes away."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape
