"""Columns of examples by the names that they have in their source, as numbers or strings; no model is needed."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.conversion import model_inputs
from gossipfl.data.examples import Examples, leaves
from gossipfl.errors import DataError
from gossipfl.names.spelling import did_you_mean, listed

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
