"""The functions that users name as `package.module:function`: models, and data sets of their own."""

import importlib
import inspect
from collections.abc import Callable
from functools import reduce
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.spelling import did_you_mean


def user_function(path: str) -> Callable[[], Any]:
    """The function without required arguments that `path` names, as `package.module:function` or `module:Class.method`.

    Errors inside the module pass through; it must be installed, on PYTHONPATH or in the current directory.

    Raises ConfigurationError when there is no such module or function, with the nearest spelling, or when it cannot be
    called without arguments.
    """
    module_name, _, function_name = path.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise ConfigurationError(f"{module_name!r} is not the name of a module, expected package.module:function")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"cannot import module {module_name!r} ({error}); it must be installed or on PYTHONPATH"
        ) from error
    try:
        function: Any = reduce(getattr, function_name.split("."), module)
    except AttributeError:
        callables = [name for name, value in vars(module).items() if callable(value)]
        hint = did_you_mean(function_name, callables, before=f"{module_name}:")
        raise ConfigurationError(
            f"module {module_name!r} has no function {function_name!r}{hint and f'.{hint}'}"
        ) from None
    if not callable(function):
        raise ConfigurationError(
            f"{function_name!r} is a {type(function).__name__}, expected a function without arguments"
        )
    required = _required_arguments(function)
    if required:
        raise ConfigurationError(
            f"the function needs the arguments {', '.join(required)}, expected one without arguments"
        )
    return function  # type: ignore[no-any-return]


def _required_arguments(function: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some functions that are written in C do not tell
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in optional]
