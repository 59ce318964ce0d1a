"""Optimizers and losses of Keras as a scenario writes them: a table of the name of the class and its arguments."""

import inspect
from typing import Any

import keras
import numpy as np

from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import snake_case
from gossipfl.training.keras.named import made, named
from gossipfl.training.keras.optimizers import made_optimizer

_SCHEDULES = keras.optimizers.schedules


def written(value: Any) -> dict[str, Any]:
    """The table from which an equal optimizer or loss is made, `{"name": "sgd", "learning_rate": 0.1}`; what it has
    learned is not in it.

    Raises ConfigurationError for a class that is not Keras's own, and for what no table says.
    """
    if isinstance(value, keras.optimizers.Optimizer):
        table = _table(value, keras.optimizers)
        learning_rate = value._learning_rate
        if isinstance(learning_rate, _SCHEDULES.LearningRateSchedule):
            table["learning_rate"] = _table(learning_rate, _SCHEDULES)
        elif "learning_rate" in table:
            table["learning_rate"] = float(str(np.float32(table["learning_rate"])))  # a variable had it in float32
        again: Any = made_optimizer(table)
        same = _state(again) == _state(value) and not hasattr(value, "_exclude_from_weight_decay")
    elif isinstance(value, keras.losses.Loss):
        table = _table(value, keras.losses)
        loss_class, config = named("loss", table, keras.losses, keras.losses.Loss)
        again = made("loss", loss_class, config)
        same = _state(again) == _state(value)
    else:
        raise ConfigurationError(f"expected an optimizer or a loss of Keras, got {type(value).__name__}")
    if not same:
        raise _unsaid(value, f"a {type(value).__name__} with what was set or wrapped in this one")
    return table


def _table(value: Any, module: Any) -> dict[str, Any]:
    """The name of a class and the arguments that are not the usual ones; `from_logits`, which is otherwise guessed from
    the model, is always said."""
    kind = type(value)
    if getattr(module, kind.__name__, None) is not kind:
        raise _unsaid(value, f"{kind.__name__}, which is not Keras's own,")
    parameters = inspect.signature(kind).parameters
    config = {**value.get_config(), **_arguments_of_loss(value)}
    own = {
        name: given
        for name, given in config.items()
        if name not in ("name", "fn")
        and (name == "from_logits" or name not in parameters or given != parameters[name].default)
    }
    if any(given is None or (isinstance(given, dict) and name != "learning_rate") for name, given in own.items()):
        raise _unsaid(value, f"such a {kind.__name__}")
    return {"name": snake_case(kind.__name__), **own}


def _arguments_of_loss(value: Any) -> dict[str, Any]:
    """The arguments that `get_config` of Keras 3.15 leaves out of Huber and CosineSimilarity, for two."""
    return dict(getattr(value, "_fn_kwargs", {}))


def _state(value: Any) -> Any:
    """All that two equal objects have the same, their own names left out."""
    config = {name: given for name, given in value.get_config().items() if name != "name"}
    return config, _arguments_of_loss(value), getattr(value, "dtype", None)


def _unsaid(value: Any, what: str) -> ConfigurationError:
    field = "loss" if isinstance(value, keras.losses.Loss) else "optimizer"
    return ConfigurationError(
        f"a scenario cannot say {what} in its {field}: compile the model with it in the function that builds the "
        f"model, and give no {field} here"
    )
