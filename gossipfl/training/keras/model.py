"""A user's function becomes a compiled model that slots can train, or a ConfigurationError that says why not.

Slots run the forward pass, the loss, the gradient and the optimizer of a model themselves, unless it has steps of its
own. So whatever `model.fit` would do beyond that is refused here, with the reason.
"""

from typing import Any

import keras
import tensorflow as tf

from gossipfl.data.task import Task
from gossipfl.errors import ConfigurationError
from gossipfl.training.keras.batch import Batch, tensors_of
from gossipfl.training.keras.custom import Counting, OwnStep, own_steps
from gossipfl.training.keras.losses import (
    accepts_training,
    check_loss,
    default_loss,
    has_classes,
    loss_of,
    named_loss,
)
from gossipfl.training.keras.metrics import model_metrics
from gossipfl.training.keras.named import first_line, overrides
from gossipfl.training.keras.optimizers import made_optimizer
from gossipfl.training.keras.sharing import freeze
from gossipfl.training.models import BuildModel
from gossipfl.training.settings import TrainingSettings


def compiled_model(
    build_model: BuildModel, task: Task, settings: TrainingSettings
) -> tuple[keras.Model, Counting, Counting]:
    """A new model, compiled with the settings' optimizer and loss, its optimizer's variables built, and what counts in
    its training and in its evaluation.

    Raises ConfigurationError when the function does not return a fresh keras.Model that fits the task, or when the
    model needs more of `model.fit` than slots do.
    """
    name = getattr(build_model, "__qualname__", None) or repr(build_model)
    model = build_model()
    if not isinstance(model, keras.Model):
        raise ConfigurationError(
            f"model function {name} returned a {type(model).__name__}, expected a keras.Model, built anew at each call"
        )
    own = own_steps(model)
    if len(own) == 2 and all(layer.built for layer in model._flatten_layers()):  # need not have any output
        batch = Batch(*tensors_of(task, 2), None)
    else:
        batch = _two_examples(model, task, name)
    trained = batch._replace(weight=tf.ones(2)) if settings.class_weight else batch
    if "train_step" not in own or not _stays_compiled(model, settings):
        _compile(model, settings, task, batch)
    _refuse_optimizer(model)
    if len(own) < 2:
        check_loss(model, task, trained)
    freeze(model, settings.sharing)
    model.optimizer.build(model.trainable_variables)
    counting: dict[str, Counting] = {}
    if len(own) < 2:
        metrics = model_metrics(model, settings.metrics, trained, has_classes(model, task, batch))
        counting = {"train_step": metrics, "test_step": metrics}
    if "train_step" in own:
        counting["train_step"] = OwnStep(model, "train_step", trained)
    if "test_step" in own:
        counting["test_step"] = OwnStep(model, "test_step", batch, settings.metrics)
    return model, counting["train_step"], counting["test_step"]


def forward(model: keras.Model, x: Any, y: Any, weight: Any, *, training: bool) -> tuple[Batch, Any]:
    """A batch with its output, and its loss, as the steps of Keras make them."""
    output = model(x, training=training) if accepts_training(model.call) else model(x)
    batch = Batch(x, y, weight, output)
    return batch, loss_of(model, batch, training=training)


def _stays_compiled(model: keras.Model, settings: TrainingSettings) -> bool:
    """True if a model with a train_step of its own stays compiled as it is, perhaps without a loss that Keras knows."""
    if settings.optimizer is not None or settings.loss is not None:
        if overrides(model, "compile"):
            raise ConfigurationError(
                f"model {model.name!r} has a compile of its own, so training.optimizer and training.loss cannot be "
                "given to it; leave them out, and compile the model in its function"
            )
        return False
    return bool(model.compiled)


def _two_examples(model: keras.Model, task: Task, name: str) -> Batch:
    x, y, weight = tensors_of(task, 2)
    try:
        try:
            output = model(x, training=False) if accepts_training(model.call) else model(x)
        except tf.errors.InvalidArgumentError:  # zeros need not be in the range of an embedding; shapes are enough
            specs = keras.tree.map_structure(lambda one: keras.KerasTensor(one.shape, one.dtype), x)
            shapes = model.compute_output_spec(specs)
            output = keras.tree.map_structure(lambda one: keras.ops.zeros((2, *one.shape[1:]), one.dtype), shapes)
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        raise ConfigurationError(
            f"model function {name}: the model does not take the data's examples ({task.x}): {first_line(error)}"
        ) from error
    return Batch(x, y, weight, output)


def _compile(model: keras.Model, settings: TrainingSettings, task: Task, batch: Batch) -> None:
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
    optimizer = model.optimizer if settings.optimizer is None else made_optimizer(settings.optimizer)
    loss_weights = None
    if settings.loss is not None:
        loss: Any = named_loss(model, settings.loss)
    elif model.compiled and model.loss is not None:
        loss = model.loss
        loss_weights = (model.get_compile_config() or {}).get("loss_weights")
    else:
        loss = None if batch.output is None else default_loss(model, task, batch)
    model.compile(
        optimizer=optimizer, loss=loss, loss_weights=loss_weights, jit_compile=False, **_compiled_metrics(model)
    )


def _compiled_metrics(model: keras.Model) -> dict[str, Any]:
    """The metrics that a model is compiled with, as `compile` takes them."""
    compiled = getattr(model, "_compile_metrics", None)
    if compiled is None:
        return {}
    return {"metrics": compiled._user_metrics, "weighted_metrics": compiled._user_weighted_metrics}


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
