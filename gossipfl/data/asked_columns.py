"""Columns of tables that somebody asks about: numbers as they are, strings as strings, whatever a model gets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.columns import is_images, is_text, keys, numbers_of
from gossipfl.data.examples import Examples
from gossipfl.data.reading import Reading, columns_of
from gossipfl.errors import DataError
from gossipfl.names.spelling import did_you_mean, listed

EVERY = "*"
"""In place of a column: all features that are numbers."""


def asked_of(
    table: Mapping[str, Any], asked: Iterable[str], features: Sequence[str], what: Callable[[str], str]
) -> dict[str, NDArray[Any]]:
    """The columns of a table that are asked about, by name; those that `EVERY` stands for are the fields of one array.

    `what` says in errors which column it is. Raises DataError for one that is not there, or that lacks values.
    """
    found: dict[str, NDArray[Any]] = {}
    for name in asked:
        if name == EVERY:
            numbers = {
                column: numbers_of(table[column], what(column))
                for column in features
                if not (is_text(table[column]) or is_images(table[column]))
            }
            found[name] = _fields(numbers, what(name))
        elif name not in table:
            raise DataError(
                f"{what(name)} is asked about, and there is no such column.{did_you_mean(name, table)} The columns are "
                f"{listed(list(table))}"
            )
        else:
            found[name] = keys(table[name], what(name)) if is_text(table[name]) else numbers_of(table[name], what(name))
    return found


def _fields(numbers: Mapping[str, NDArray[Any]], what: str) -> NDArray[Any]:
    """Columns [N] and [N, ...] as an array [N] with a field for each number of an example."""
    flat = {name: column.reshape(len(column), -1) for name, column in numbers.items()}
    fields = {
        name if column.ndim == 1 else f"{name}[{position}]": flat[name][:, position]
        for name, column in numbers.items()
        for position in range(flat[name].shape[1])
    }
    if not fields:
        raise DataError(f"{what}: no feature is a number")
    array = np.empty(len(next(iter(fields.values()))), [(name, column.dtype) for name, column in fields.items()])
    for name, column in fields.items():
        array[name] = column
    return array


def own_columns(source: str, asked: Sequence[str], reading: Reading) -> tuple[Examples, str] | None:
    """All rows of a table in a file, as examples with the columns that are asked about, and a note of what was read.

    None for a source of another kind. Of the reading, features and target need not be known.
    Raises DataError for a file or a column that cannot be read.
    """
    kind, _, place = source.partition(":")
    if kind == "csv":
        from gossipfl.data.csv_files import read_csv

        table, note = read_csv(Path(place), source, [name for name in asked if name != EVERY])
    elif kind == "parquet":
        from gossipfl.data.parquet_files import read_parquet

        table, note = read_parquet(Path(place), source)
    else:
        return None
    features = columns_of(reading.features) or [name for name in table if name not in reading.columns]
    columns = asked_of(table, asked, features, lambda name: f"{source}: column {name!r}")
    return Examples(np.arange(len(next(iter(table.values())))), asked=columns), note
