"""A data set from a function of the user, named as `package.module:function`."""

from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError, DataError
from gossipfl.names.user_functions import user_function


def load_function(source: str) -> Dataset:
    """The result of the function: a `Dataset`, or ((x_train, y_train), (x_test, y_test)) as `keras.datasets` do.

    Errors inside the module and the function pass through.

    Raises DataError when there is no such function, when it needs arguments, or returns something else.
    """
    try:
        function = user_function(source)
    except ConfigurationError as error:
        raise DataError(f"data source {source!r}: {error}") from error
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
