"""Queries about columns of examples, and the values that examples have for them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gossipfl.data.columns_by_name import Column, column_of
from gossipfl.data.examples import Examples
from gossipfl.errors import ConfigurationError, DataError
from gossipfl.queries import Classes, Count, Mean, Query, Skew, StandardDeviation, Sum, Values, Variance, parsed

_WEIGHTED = (Mean, Sum, Variance, StandardDeviation)
"""The queries that take weights."""


class ColumnQuery(NamedTuple):
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


def column_queries(texts: Sequence[str], weight: str | None = None) -> tuple[ColumnQuery, ...]:
    """The queries that texts stand for, as `parsed` reads them; the column `weight` is for those that take weights.

    Raises ConfigurationError, also for a missing column, and for weights that no query takes.
    """
    found = tuple(ColumnQuery(text, *parsed(text)) for text in texts)
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


def local_of(parts: Sequence[tuple[Examples, Column | None]], asked: ColumnQuery, what: str) -> Local:
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


def _column_for(examples: Examples, classes: Column | None, asked: ColumnQuery, what: str) -> Column:
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
