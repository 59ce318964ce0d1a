"""Classes of Keras by the names that a scenario has for them, what is made of them, and what a model has of its own."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras

from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import did_you_mean, snake_case


def named(
    field: str, given: str | Mapping[str, Any], module: Any, base: type
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A class of a Keras module by its name in any spelling, and the arguments that are given for it.

    Raises ConfigurationError, with the nearest spelling, when there is no such class.
    """
    config: dict[str, Any] = {"name": given} if isinstance(given, str) else dict(given)
    name = str(config.pop("name", ""))
    classes = {
        snake_case(key): value
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, base) and value is not base
    }
    by_letters = {key.replace("_", ""): value for key, value in classes.items()}
    letters = name.replace("_", "").lower()
    if letters not in by_letters:
        raise ConfigurationError(
            f"{field} is {name!r}, which Keras does not have.{did_you_mean(snake_case(name), classes)} There are "
            f"{', '.join(sorted(classes))}"
        )
    return by_letters[letters], config


def made(field: str, keras_class: Callable[..., Any], config: Mapping[str, Any]) -> Any:
    """An object of the class. Raises ConfigurationError for arguments that it does not take, and for tables."""
    for argument, value in config.items():
        # Keras would make an object of a table, of any class that it names, and a scenario may come from elsewhere.
        if any(isinstance(one, Mapping) for one in (value if isinstance(value, list | tuple) else [value])):
            raise ConfigurationError(f"{field}: {argument} is a table, expected a number or a word: {value}")
    try:
        return keras_class(**config)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{field}: {keras_class.__name__} does not take {config}: {error}") from error


def overrides(model: keras.Model, name: str) -> bool:
    """True if a model has a method of its own in the place of that of Keras."""
    return getattr(getattr(model, name), "__func__", None) is not getattr(keras.Model, name)


def first_line(error: Exception) -> str:
    """The first line of what Keras says is wrong, without the call in which it was found, and without explanations."""
    said = str(error).replace("\x1b[1m", "").replace("\x1b[0m", "").strip()
    if said.startswith("Exception encountered when calling"):
        said = said.partition("\n")[2].strip() or said
    if said.startswith("Invalid input shape for input"):  # and then all of its numbers
        return f"invalid input shape: expected shape{said.rpartition('Expected shape')[2]}"
    return said.partition("\n")[0]
