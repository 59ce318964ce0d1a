"""Queries as people write them: `mean:age`, `quantiles:age,at=0.1/0.9`."""

import re
from collections.abc import Mapping
from typing import Any, get_origin, get_type_hints

from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import did_you_mean
from gossipfl.queries.distinct import Distinct
from gossipfl.queries.extremes import Maximum, Minimum
from gossipfl.queries.histogram import Histogram
from gossipfl.queries.mean import Count, Mean, Sum
from gossipfl.queries.quantiles import Quantiles
from gossipfl.queries.query import Query
from gossipfl.queries.skew import Skew
from gossipfl.queries.top import Classes, Top
from gossipfl.queries.variance import StandardDeviation, Variance

QUERIES: Mapping[str, type[Query]] = {
    "mean": Mean,
    "sum": Sum,
    "count": Count,
    "variance": Variance,
    "std": StandardDeviation,
    "min": Minimum,
    "max": Maximum,
    "histogram": Histogram,
    "quantiles": Quantiles,
    "distinct": Distinct,
    "top": Top,
    "classes": Classes,
    "skew": Skew,
}
"""The queries by the names that people use; the exam in tests/queries is sat by each of them."""

_OPTION = re.compile(r",\s*(\w+)\s*=([^,=]*)$")


def parsed(text: str) -> tuple[Query, str | None]:
    """The query of a text NAME[:COLUMN][,option=value], and its column if there is one; several values of an option are
    separated by slashes.

    Raises ConfigurationError for a query, an option or a value that there is not.

    >>> parsed("mean:age,over=peers")
    (Mean(over='peers'), 'age')
    >>> parsed("count")
    (Count(), None)
    """
    rest, options = text, list[tuple[str, str]]()
    while found := _OPTION.search(rest):
        rest = rest[: found.start()]
        options.insert(0, (found[1], found[2].strip()))
    name, _, column = rest.partition(":")
    name = name.strip()
    if name not in QUERIES:
        raise ConfigurationError(
            f"there is no query {name!r}.{did_you_mean(name, QUERIES)} There are {', '.join(QUERIES)}; a query is "
            "written NAME:COLUMN,OPTION=VALUE"
        )
    makes = QUERIES[name]
    types = get_type_hints(makes)
    values: dict[str, Any] = {}
    for option, value in options:
        if option not in types:
            there = f"it has {', '.join(types)}" if types else "it has none"
            raise ConfigurationError(f"the query {name} has no option {option!r}: {there}")
        if option in values:
            raise ConfigurationError(f"the query {name} is given the option {option} twice")
        try:
            values[option] = _value(value, types[option])
        except ValueError:
            raise ConfigurationError(f"{option}={value} of the query {name}: {_MEANT[types[option]]} meant") from None
    return makes(**values), column.strip() or None


_MEANT = {int: "a whole number is", float: "a number is", tuple[float, ...]: "numbers with slashes between them are"}


def _value(text: str, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        return tuple(float(one) for one in text.split("/"))
    return kind(text) if kind in (int, float) else text
