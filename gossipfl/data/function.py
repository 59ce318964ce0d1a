"""A data set from a function of the user, named as `package.module:function`."""

import difflib
import importlib
from functools import reduce

from gossipfl.data.dataset import Dataset
from gossipfl.errors import DataError


def load_function(source: str) -> Dataset:
    """What the function returns: a `Dataset`, or ((x_train, y_train), (x_test, y_test)) as `keras.datasets` do.

    Errors inside the module and the function pass through, ModuleNotFoundError among them.

    Raises DataError when the name is not in the module, is not callable, or returns something else.
    """
    module_name, _, function_name = source.partition(":")
    module = importlib.import_module(module_name)
    try:
        function = reduce(getattr, function_name.split("."), module)
    except AttributeError as error:
        matches = difflib.get_close_matches(function_name, dir(module), n=1)
        hint = f". Did you mean '{module_name}:{matches[0]}'?" if matches else ""
        raise DataError(f"data source {source!r}: {error}{hint}") from error
    if not callable(function):
        raise DataError(f"data source {source!r} must be a function without arguments, got {type(function).__name__}")
    value = function()
    if isinstance(value, Dataset):
        return value
    match value:
        case ((train_x, train_y), (test_x, test_y)):
            return Dataset.from_arrays(source, (train_x, train_y), (test_x, test_y))
        case _:
            raise DataError(
                f"data source {source!r} must return a Dataset or ((x_train, y_train), (x_test, y_test)), "
                f"got {type(value).__name__}"
            )
