"""Values of examples for questions about them, by the names of columns; no model is needed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.conversion import model_inputs
from gossipfl.data.examples import Examples, leaves
from gossipfl.errors import ConfigurationError, DataError
from gossipfl.names.spelling import did_you_mean, listed
from gossipfl.queries import Classes, Count, Mean, Query, Skew, StandardDeviation, Sum, Values, Variance, parsed

LARGEST_WHOLE = 2**53
"""Beyond it float64 does not have all integers."""


class Column(NamedTuple):
    """Numbers or strings [N] of examples, or several numbers [N, F] of each; `names` are theirs, if they have any."""

    values: NDArray[Any]
    names: tuple[str, ...]


def column_of(examples: Examples, name: str, what: str) -> Column:
    """The column of that name: of a table, as it was read for it; else the input, the target or the weight so named,
    its numbers side by side. "*" are all numbers of the input.

    `what` begins the errors. Raises DataError where there is no such column, and for integers that float64 lacks.

    >>> examples = Examples({"age": np.array([31, 64]), "image": np.zeros((2, 2, 2))}, np.array([0, 1]))
    >>> column_of(examples, "age", "toy")
    Column(values=array([31., 64.]), names=('age',))
    >>> column_of(examples, "*", "toy").names
    ('age', 'image[0,0]', 'image[0,1]', 'image[1,0]', 'image[1,1]')
    """
    asked = examples.asked.get(name)
    if asked is not None and asked.dtype.names is None:
        return _column(name, asked, what)
    if asked is not None and asked.dtype.names is not None:
        return _side_by_side({field: asked[field] for field in asked.dtype.names}, what)
    arrays = _named(model_inputs(examples.x), "x")
    if name == "*":
        return _side_by_side(arrays, what)
    arrays |= examples.columns
    for field, tree in (("y", examples.y), ("weight", examples.weight)):
        arrays |= {} if tree is None else _named(tree, field)
    if name not in arrays:
        raise DataError(f"{what} has no column {name!r}.{did_you_mean(name, arrays)} There are {listed(list(arrays))}")
    return _column(name, arrays[name], what)


def _side_by_side(arrays: Mapping[str, NDArray[Any]], what: str) -> Column:
    columns = [_column(name, array, what) for name, array in arrays.items()]
    values = np.concatenate([_flat(column.values) for column in columns], axis=1)
    return Column(values, tuple(name for column in columns for name in column.names))


def _named(tree: Any, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of a tree: those of a dict by their names, a single one by that of the tree."""
    if isinstance(tree, dict):
        return {place: array for key, part in tree.items() for place, array in leaves(part, key)}
    return dict(leaves(tree, name))


def _column(name: str, array: NDArray[Any], what: str) -> Column:
    if array.dtype.kind in "US":
        return Column(array, (name,))
    if array.dtype.kind in "iu" and array.size and max(int(array.max()), -int(array.min())) > LARGEST_WHOLE:
        raise DataError(
            f"{what}: column {name!r} has integers beyond 2^53, which float64 does not tell apart: write strings"
        )
    numbers = array.astype(np.float64)
    if array.ndim == 1 or array.shape[1:] == (1,):
        return Column(numbers.reshape(-1), (name,))
    names = tuple(f"{name}[{','.join(map(str, place))}]" for place in np.ndindex(array.shape[1:]))
    return Column(_flat(numbers), names)


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    """The numbers of each example in one row, also where there is no example."""
    return array.reshape(len(array), math.prod(array.shape[1:]))


_WEIGHTED = (Mean, Sum, Variance, StandardDeviation)
"""The queries that take weights."""


class Asked(NamedTuple):
    """A query about a column, None for what needs none, with that of the examples' weights, if they have any; `text` is
    what somebody wrote for it."""

    text: str
    query: Query
    column: str | None
    weight: str | None = None

    @property
    def counts_classes(self) -> bool:
        """True if it is about the classes of examples."""
        return self.column is None and not isinstance(self.query, Count)


class Local(NamedTuple):
    """The values that somebody has for a query, and the name of each of their numbers."""

    values: Values
    names: tuple[str, ...]


def asked_by(texts: Sequence[str], weight: str | None = None) -> tuple[Asked, ...]:
    """The queries that texts stand for, as `parsed` reads them; the column `weight` is for those that take weights.

    Raises ConfigurationError, also for a missing column, and for weights that no query takes.
    """
    found = tuple(Asked(text, *parsed(text)) for text in texts)
    for text, query, column, _ in found:
        if column is None and not isinstance(query, Count | Classes | Skew):
            name, comma, options = text.partition(",")
            raise ConfigurationError(
                f"the query {text!r} names no column: write '{name}:COLUMN{comma}{options}', or "
                f"'{name}:*{comma}{options}' for all features that are numbers"
            )
    if weight is None:
        return found
    weighted = tuple(one._replace(weight=weight) if isinstance(one.query, _WEIGHTED) else one for one in found)
    if weighted == found:
        raise ConfigurationError("weights are for mean, sum, variance and std: leave them out, or ask for one of these")
    return weighted


def local_of(parts: Sequence[tuple[Examples, Column | None]], asked: Asked, what: str) -> Local:
    """The values that examples, in one or several parts with their classes, have for a query.

    Raises DataError, naming the column, where there is none such, or its values are none for a query.
    """
    columns = [_column_for(examples, classes, asked, what) for examples, classes in parts]
    weights = None
    if asked.weight is not None:
        weights = np.concatenate([column_of(examples, asked.weight, what).values for examples, _ in parts])
    try:
        values = Values(np.concatenate([column.values for column in columns]), weights)
        asked.query.first(values.num_features).local(values)
    except DataError as error:
        raise DataError(f"{what}: column {asked.column!r}: {error}") from error
    return Local(values, columns[0].names)


def _column_for(examples: Examples, classes: Column | None, asked: Asked, what: str) -> Column:
    if asked.column is not None:
        return column_of(examples, asked.column, what)
    if not asked.counts_classes:
        return Column(np.zeros(len(examples)), ())
    if classes is None:
        raise DataError(
            f"{what} has no classes to count: say in data.target which column has them, or name one, as in "
            f"'{asked.text}:COLUMN'"
        )
    return classes
