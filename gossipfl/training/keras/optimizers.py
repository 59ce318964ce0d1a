"""Optimizers of Keras from the words of a scenario."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gossipfl.errors import ConfigurationError
from gossipfl.training.keras.named import first_line, made, named


def made_optimizer(given: str | Mapping[str, Any]) -> keras.optimizers.Optimizer:
    """The optimizer that a scenario names, new and not built.

    Raises ConfigurationError, with the nearest spelling, when Keras has none of that name, and for arguments that it
    does not take.
    """
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
