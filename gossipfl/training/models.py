"""Built-in models, and the models that users name as `package.module:function`.

A model comes from a function without arguments, because one model is built per core. Keras is imported when a model
is built, not before.
"""

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from gossipfl.errors import ConfigurationError

if TYPE_CHECKING:
    import keras

BuildModel: TypeAlias = "Callable[[], keras.Model]"
"""A function without arguments that builds a new Keras model, compiled or not, at each call."""


def softmax(input_shape: tuple[int, ...], num_classes: int) -> "keras.Model":
    """Multinomial logistic regression: one dense layer with softmax output, from zero weights.

    7,850 parameters for 28x28 images of 10 classes.
    """
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input(input_shape),
            layers.Flatten(),
            layers.Dense(num_classes, "softmax", kernel_initializer="zeros", bias_initializer="zeros"),
        ],
        name="softmax",
    )


def mlp(input_shape: tuple[int, ...], num_classes: int) -> "keras.Model":
    """Two hidden layers of 200 units with ReLU: "2NN" of McMahan et al. (2016).

    199,210 parameters for 28x28 images of 10 classes.
    """
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input(input_shape),
            layers.Flatten(),
            layers.Dense(200, "relu"),
            layers.Dense(200, "relu"),
            layers.Dense(num_classes, "softmax"),
        ],
        name="mlp",
    )


def cnn(input_shape: tuple[int, ...], num_classes: int) -> "keras.Model":
    """LeNet-5 with ReLU and max-pooling (after LeCun et al., 1998): 44,426 parameters for 28x28x1 images of 10 classes.

    Images smaller than 16x16 are padded in both convolutions, so that 8x8 digits fit. `input_shape` is (height, width,
    channels), or (height, width) for one channel. Raises ConfigurationError for other shapes and for sides below 4.
    """
    if len(input_shape) not in (2, 3) or min(input_shape[:2]) < 4:
        raise ConfigurationError(
            f"model 'cnn' needs images of shape (height, width[, channels]) with sides of at least 4, the data "
            f"has examples of shape {input_shape}; use 'softmax' or 'mlp'"
        )
    from keras import Input, Sequential, layers

    padding = "valid" if min(input_shape[:2]) >= 16 else "same"
    return Sequential(
        [
            Input(input_shape),
            layers.Reshape((*input_shape, 1)[:3]),
            layers.Conv2D(6, 5, padding=padding, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, padding=padding, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, "relu"),
            layers.Dense(84, "relu"),
            layers.Dense(num_classes, "softmax"),
        ],
        name="cnn",
    )


MODELS: Mapping[str, Callable[[tuple[int, ...], int], "keras.Model"]] = {"softmax": softmax, "mlp": mlp, "cnn": cnn}
"""Built-in models by name: functions of (input_shape, num_classes)."""


def resolve(name_or_path: str, input_shape: tuple[int, ...], num_classes: int) -> BuildModel:
    """The function that builds the model: a built-in name, or `package.module:function` without arguments.

    Raises ConfigurationError when there is no such name, module or function, with the nearest spelling.
    """
    if ":" in name_or_path:
        return _imported(name_or_path)
    if name_or_path not in MODELS:
        raise ConfigurationError(
            f"no model named {name_or_path!r}{_nearest(name_or_path, MODELS)}; choose one of {', '.join(MODELS)}, or "
            f"name a function without arguments that returns a keras.Model, as package.module:function"
        )
    return partial(MODELS[name_or_path], tuple(input_shape), num_classes)


def _imported(path: str) -> BuildModel:
    module_name, _, function_name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ModuleNotFoundError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"model {path!r}: cannot import module {module_name!r} ({error}); it must be installed or on PYTHONPATH"
        ) from error
    function: Any = getattr(module, function_name, None)
    if function is None:
        raise ConfigurationError(
            f"model {path!r}: module {module_name!r} has no function {function_name!r}"
            f"{_nearest(function_name, [name for name in vars(module) if callable(getattr(module, name))])}"
        )
    if not callable(function):
        raise ConfigurationError(
            f"model {path!r}: {function_name!r} is a {type(function).__name__}, expected a function without "
            f"arguments that returns a keras.Model"
        )
    required = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if required:
        raise ConfigurationError(
            f"model {path!r}: the function needs the arguments {', '.join(required)}, expected a function "
            f"without arguments that returns a keras.Model"
        )
    return function  # type: ignore[no-any-return]


def _nearest(name: str, candidates: "Mapping[str, object] | list[str]") -> str:
    matches = difflib.get_close_matches(name, list(candidates), n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
