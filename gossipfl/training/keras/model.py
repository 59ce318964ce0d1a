"""A user's function becomes a compiled model that slots can train, or a ConfigurationError that says why not.

Slots run the forward pass, the loss, the gradient and the optimizer of a model themselves. So whatever `model.fit`
would do beyond that is refused here, with the reason.
"""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import snake_case
from gossipfl.training.keras.metrics import Batch, ModelMetrics, model_metrics
from gossipfl.training.keras.named import first_line, made, named
from gossipfl.training.keras.sharing import freeze
from gossipfl.training.models import BuildModel
from gossipfl.training.settings import TrainingSettings


class Task(NamedTuple):
    """The data's demands on a model: the shape of one example and the number of classes, if the task has them."""

    input_shape: tuple[int, ...]
    num_classes: int | None


def compiled_model(build_model: BuildModel, task: Task, settings: TrainingSettings) -> tuple[keras.Model, ModelMetrics]:
    """A new model, compiled with the settings' optimizer and loss, its optimizer's variables built, and its metrics.

    Raises ConfigurationError when the function does not return a fresh single-input, single-output keras.Model that
    fits the task, or when the model needs more of `model.fit` than slots do.
    """
    name = getattr(build_model, "__qualname__", None) or repr(build_model)
    model = build_model()
    if not isinstance(model, keras.Model):
        raise ConfigurationError(
            f"model function {name} returned a {type(model).__name__}, expected a keras.Model, built anew at each call"
        )
    _refuse_custom_steps(model)
    output = _output_of_two_examples(model, task, name)
    _compile(model, settings, output.shape)
    _refuse_optimizer(model)
    _check_loss(model, output)
    freeze(model, settings.sharing)
    model.optimizer.build(model.trainable_variables)
    labels = keras.ops.zeros(2, "int32")
    metrics = model_metrics(model, settings.metrics, Batch(None, labels, None, output), task.num_classes is not None)
    return model, metrics


def accepts_training(function: Any) -> bool:
    """True if a model's `call` or `compute_loss` takes the argument `training`."""
    return "training" in inspect.signature(function).parameters


def forward(model: keras.Model, x: Any, y: Any, weight: Any = None, *, training: bool) -> tuple[Any, Any]:
    """The output and the loss of a batch, as the steps of Keras make them."""
    output = model(x, training=training) if accepts_training(model.call) else model(x)
    arguments = {"training": training} if accepts_training(model.compute_loss) else {}
    return output, model.compute_loss(x=x, y=y, y_pred=output, sample_weight=weight, **arguments)


def _refuse_custom_steps(model: keras.Model) -> None:
    for step in ("train_step", "test_step"):
        if getattr(getattr(model, step), "__func__", None) is not getattr(keras.Model, step):
            raise ConfigurationError(
                f"model {model.name!r} overrides {step}, which would be bypassed: many peers are trained in one "
                f"graph that does the forward pass, compute_loss, the gradient and optimizer.apply itself. "
                f"Override compute_loss or use a custom loss, layer or optimizer instead"
            )


def _output_of_two_examples(model: keras.Model, task: Task, name: str) -> Any:
    inputs = getattr(model, "inputs", None) or [None]
    if len(inputs) != 1:
        raise ConfigurationError(f"model function {name}: the model has {len(inputs)} inputs, expected one")
    examples = np.zeros((2, *task.input_shape), np.float32)
    try:
        output = model(examples, training=False) if accepts_training(model.call) else model(examples)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"model function {name}: the model does not take the data's examples of shape {task.input_shape}: {error}"
        ) from error
    if isinstance(output, list | tuple | dict):
        raise ConfigurationError(
            f"model function {name}: the model has {len(output)} outputs in a {type(output).__name__}, expected "
            f"one tensor"
        )
    shape = tuple(output.shape)
    if task.num_classes is None:
        return output
    fits = shape in {(2,), (2, 1)} if task.num_classes == 2 else False
    if not fits and not (len(shape) == 2 and shape[1] >= task.num_classes):
        binary = " or one output per example" if task.num_classes == 2 else ""
        raise ConfigurationError(
            f"model function {name}: the output for a batch of 2 examples has shape {shape}, expected "
            f"(2, {task.num_classes}){binary}, because the labels are integers from 0 to {task.num_classes - 1}"
        )
    return output


def _compile(model: keras.Model, settings: TrainingSettings, output_shape: Any) -> None:
    if model.compiled and model.run_eagerly:
        raise ConfigurationError(
            f"model {model.name!r} is compiled with run_eagerly=True, but peers are trained in a graph; compile "
            f"without it"
        )
    if settings.optimizer is None and not model.compiled:
        raise ConfigurationError(
            f"model {model.name!r} is not compiled and training.optimizer is not given; compile the model in "
            f"its function, or "
            f'set the optimizer, for example {{"name": "sgd", "learning_rate": 0.02}}'
        )
    if settings.optimizer is None and settings.loss is None and model.loss is not None:
        return
    optimizer = model.optimizer if settings.optimizer is None else _optimizer(settings.optimizer)
    loss_weights = None
    if settings.loss is None and model.compiled and model.loss is not None:
        loss = model.loss
        loss_weights = (model.get_compile_config() or {}).get("loss_weights")
    else:
        num_outputs = 1 if len(output_shape) == 1 else output_shape[1]
        loss = _loss(model, settings.loss or _default_loss_name(num_outputs))
    model.compile(
        optimizer=optimizer, loss=loss, loss_weights=loss_weights, jit_compile=False, **_compiled_metrics(model)
    )


def _compiled_metrics(model: keras.Model) -> dict[str, Any]:
    """The metrics that a model is compiled with, as `compile` takes them."""
    compiled = getattr(model, "_compile_metrics", None)
    if compiled is None:
        return {}
    return {"metrics": compiled._user_metrics, "weighted_metrics": compiled._user_weighted_metrics}


def _optimizer(given: str | Mapping[str, Any]) -> keras.optimizers.Optimizer:
    field = "training.optimizer"
    optimizer_class, config = named(field, given, keras.optimizers, keras.optimizers.Optimizer)
    learning_rate = config.get("learning_rate")
    if type(learning_rate) is int:
        config["learning_rate"] = float(learning_rate)
    elif isinstance(learning_rate, Mapping):
        schedules = keras.optimizers.schedules
        schedule_class, schedule = named(
            f"{field}.learning_rate", learning_rate, schedules, schedules.LearningRateSchedule
        )
        config["learning_rate"] = made(f"{field}.learning_rate", schedule_class, schedule)
    _try_out(field, made(field, optimizer_class, config), given)
    optimizer: keras.optimizers.Optimizer = made(field, optimizer_class, config)
    return optimizer


def _try_out(field: str, optimizer: keras.optimizers.Optimizer, given: str | Mapping[str, Any]) -> None:
    """One step on four numbers, because Keras looks at most arguments of an optimizer only when it is applied."""
    scratch = keras.Variable(np.ones((2, 2), np.float32), name="scratch")
    try:
        optimizer.apply([keras.ops.ones((2, 2))], [scratch])
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ConfigurationError(
            f"{field} {given} cannot make a step, so one of its arguments is wrong: {first_line(error)}"
        ) from error


def _default_loss_name(num_outputs: int) -> str:
    return "binary_crossentropy" if num_outputs == 1 else "sparse_categorical_crossentropy"


def _loss(model: keras.Model, given: str | Mapping[str, Any]) -> keras.losses.Loss:
    loss_class, config = named("training.loss", given, keras.losses, keras.losses.Loss)
    if "from_logits" in inspect.signature(loss_class).parameters and "from_logits" not in config:
        config["from_logits"] = _gives_logits(model)
    loss: keras.losses.Loss = made("training.loss", loss_class, config)
    return loss


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


def _refuse_optimizer(model: keras.Model) -> None:
    optimizer = model.optimizer
    if optimizer.built:
        raise ConfigurationError(
            f"model {model.name!r} comes with an optimizer that belongs to another model already; the model "
            f"function must make a new model and a new optimizer at each call"
        )
    if getattr(getattr(optimizer, "inner_optimizer", optimizer), "use_ema", False):
        raise ConfigurationError(
            f"the optimizer {optimizer.name!r} has use_ema=True: its averaged weights replace the trained ones "
            f"only when model.fit ends, which never happens here; leave it out"
        )


def _check_loss(model: keras.Model, output: Any) -> None:
    try:
        loss = keras.losses.get(model.loss)
        name = snake_case(getattr(loss, "__name__", None) or type(loss).__name__)
        module = getattr(loss, "__module__", type(loss).__module__) or ""
        num_outputs = 1 if len(output.shape) == 1 else output.shape[1]
        is_sparse = name.startswith("sparse_")
        if module.startswith("keras.") and is_sparse != (num_outputs > 1) and not name.endswith("wrapper"):
            raise ConfigurationError(
                f"loss {name!r} does not fit integer labels and {num_outputs} output(s) per example (it wants "
                f"{'several outputs' if is_sparse else 'one-hot or real-valued targets'}); use "
                f"{_default_loss_name(num_outputs)!r}"
            )
        arguments = {"training": False} if accepts_training(model.compute_loss) else {}
        value = model.compute_loss(
            x=np.zeros((2, *model.input_shape[1:]), np.float32) if hasattr(model, "input_shape") else None,
            y=keras.ops.convert_to_tensor(np.zeros(2, np.int32)),
            y_pred=output,
            sample_weight=None,
            **arguments,
        )
    except ConfigurationError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"the loss of model {model.name!r} does not take integer labels of shape (batch,) and outputs of shape "
            f"{tuple(output.shape)}: {error}"
        ) from error
    if tuple(value.shape) != ():
        raise ConfigurationError(
            f"the loss of model {model.name!r} has shape {tuple(value.shape)}, expected a scalar; compile it "
            f"with the default reduction"
        )
