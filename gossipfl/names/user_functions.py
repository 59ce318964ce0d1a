"""The functions that users name as `package.module:function`: models, and data sets of their own.

A module is code, so it matters where it is found. It comes from an installed package, from PYTHONPATH, from the
current directory, as a file or a package with an `__init__.py`, or from beside the scenarios that come with gossipfl. A
directory without one may be anything that was copied there, and a run directory may come from another host: modules in
them are refused.
"""

import importlib
import importlib.util
import inspect
import os
import site
import sys
import sysconfig
from collections.abc import Callable, Sequence
from functools import reduce
from importlib.machinery import ModuleSpec, PathFinder
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.names import resources
from gossipfl.names.spelling import did_you_mean


def user_function(path: str, arguments: Sequence[str] = ()) -> Callable[..., Any]:
    """The function that `path` names, as `package.module:function` or `module:Class.method`; it can be called with
    these arguments, none unless they are named.

    Errors inside the module pass through; it must be installed, on PYTHONPATH or in the current directory, which comes
    to the end of `sys.path` when a module is found there alone.

    Raises ConfigurationError when there is no such module or function, with the nearest spelling, when the module lies
    where code may have come by accident, or when the function cannot be called with these arguments.
    """
    module_name, _, function_name = path.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise ConfigurationError(f"{module_name!r} is not the name of a module, expected package.module:function")
    try:
        module = _imported(module_name)
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
    takes = f"that takes ({', '.join(arguments)})" if arguments else "without arguments"
    if not callable(function):
        raise ConfigurationError(f"{function_name!r} is a {type(function).__name__}, expected a function {takes}")
    if (needed := _arguments_unless_callable(function, len(arguments))) is not None:
        raise ConfigurationError(f"the function needs the arguments {needed or 'none'}, expected one {takes}")
    return function  # type: ignore[no-any-return]


def _imported(name: str) -> ModuleType:
    """Import a module, after each of its packages was looked at."""
    root, _, _ = name.partition(".")
    if root not in sys.modules and importlib.util.find_spec(root) is None:
        for place in (os.getcwd(), str(resources.folder("simulations"))):
            if PathFinder.find_spec(root, [place]) is not None:
                sys.path.append(place)  # at the end, so that nothing in it can stand in for an installed module
                break
    for part in accumulate(name.split("."), "{}.{}".format):
        if part not in sys.modules:
            spec = importlib.util.find_spec(part)
            if spec is not None:
                _check_place(part, spec)
        module = importlib.import_module(part)
    return module


def _check_place(name: str, spec: ModuleSpec) -> None:
    """Raise ConfigurationError where a module lies in a directory that is no package, or in that of a run."""
    if spec.origin is None:
        for place in spec.submodule_search_locations or []:
            if not any(Path(place).is_relative_to(installed) for installed in _installed_packages()):
                raise ConfigurationError(
                    f"{name!r} is the directory {place}, and no package: anything that was copied there would be run. "
                    "If it is yours, put an __init__.py into it"
                )
        return
    if not spec.has_location:
        return  # built into Python
    for directory in Path(spec.origin).resolve().parents:
        if (directory / "manifest.json").exists() and (directory / "history.jsonl").exists():
            raise ConfigurationError(
                f"module {name!r} is {spec.origin}, in the run directory {directory}, which may come from another "
                "host: move the file out of it if it is yours"
            )


def _installed_packages() -> list[str]:
    return [*site.getsitepackages(), site.getusersitepackages(), *map(sysconfig.get_path, ("purelib", "platlib"))]


def _arguments_unless_callable(function: Callable[..., Any], number: int) -> str | None:
    """None if a function can be called with so many arguments; or else those that it takes."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions that are written in C do not tell
        return None
    try:
        signature.bind(*range(number))
    except TypeError:
        return ", ".join(signature.parameters)
    return None
