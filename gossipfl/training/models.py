"""Built-in models, and the models that users name as `package.module:function`.

A model comes from a function without arguments, because one model is built per core. Keras is imported when a model
is built, not before.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

from gossipfl.data.task import Task
from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import did_you_mean
from gossipfl.names.user_functions import user_function

if TYPE_CHECKING:
    import keras

BuildModel: TypeAlias = "Callable[[], keras.Model]"
"""A function without arguments that builds a new Keras model, compiled or not, at each call."""


def softmax(
    input_shape: tuple[int, ...], num_outputs: int, activation: str | None = "softmax", *, normalizes: bool = False
) -> "keras.Model":
    """Multinomial logistic regression: one dense layer with softmax output, from zero weights; for quantities, linear
    regression.

    7,850 parameters for 28x28 images of 10 classes.
    """
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input(input_shape),
            *_normalization(normalizes),
            layers.Flatten(),
            layers.Dense(num_outputs, activation, kernel_initializer="zeros", bias_initializer="zeros"),
        ],
        name="softmax",
    )


def mlp(
    input_shape: tuple[int, ...], num_outputs: int, activation: str | None = "softmax", *, normalizes: bool = False
) -> "keras.Model":
    """Two hidden layers of 200 units with ReLU: "2NN" of McMahan et al. (2016).

    199,210 parameters for 28x28 images of 10 classes.
    """
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input(input_shape),
            *_normalization(normalizes),
            layers.Flatten(),
            layers.Dense(200, "relu"),
            layers.Dense(200, "relu"),
            layers.Dense(num_outputs, activation, name="head"),
        ],
        name="mlp",
    )


def cnn(
    input_shape: tuple[int, ...], num_outputs: int, activation: str | None = "softmax", *, normalizes: bool = False
) -> "keras.Model":
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
            *_normalization(normalizes, axis=-1 if len(input_shape) == 3 else None),
            layers.Reshape((*input_shape, 1)[:3]),
            layers.Conv2D(6, 5, padding=padding, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, padding=padding, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, "relu"),
            layers.Dense(84, "relu"),
            layers.Dense(num_outputs, activation, name="head"),
        ],
        name="cnn",
    )


def _normalization(normalizes: bool, axis: int | None = -1) -> "list[keras.layers.Layer]":
    """The layer behind the input that has a mean and a variance of each feature, or of each channel of images."""
    from keras import layers

    return [layers.Normalization(axis)] if normalizes else []


class _BuiltIn(Protocol):
    def __call__(
        self, input_shape: tuple[int, ...], num_outputs: int, activation: str | None = ..., *, normalizes: bool = ...
    ) -> "keras.Model": ...


MODELS: Mapping[str, _BuiltIn] = {"softmax": softmax, "mlp": mlp, "cnn": cnn}
"""Built-in models by name."""


def resolve(name_or_path: str, task: Task, *, normalizes: bool = False) -> BuildModel:
    """The function that builds the model: a built-in name, or `package.module:function` without arguments.

    Built-in models have one output for each class, with softmax; for each label, with sigmoid; or for each quantity.
    With `normalizes`, their first layer is a Normalization, in which there are no statistics yet.

    Raises ConfigurationError when there is no such name, module or function, with the nearest spelling, and when no
    built-in model is for such a task.
    """
    check_name(name_or_path)
    if ":" not in name_or_path:
        if task.input_shape is None or task.kind is None:
            raise ConfigurationError(
                f"model {name_or_path!r} is for one input and for classes, labels or quantities; the data have inputs "
                f"{task.x} and targets {task.y}: give a model of your own as package.module:function"
            )
        num_outputs = task.num_classes or task.num_targets
        activation = {"classes": "softmax", "labels": "sigmoid", "quantities": None}[task.kind]
        return partial(MODELS[name_or_path], task.input_shape, num_outputs, activation, normalizes=normalizes)
    try:
        return user_function(name_or_path)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"model {name_or_path!r} must be a function without arguments that returns a keras.Model: {error}"
        ) from error


def check_name(name_or_path: str) -> None:
    """Raise ConfigurationError for a name, without a colon, that no built-in model has."""
    if ":" not in name_or_path and name_or_path not in MODELS:
        raise ConfigurationError(
            f"there is no model {name_or_path!r}.{did_you_mean(name_or_path, MODELS)} There are {', '.join(MODELS)}, "
            "and your own as package.module:function"
        )
