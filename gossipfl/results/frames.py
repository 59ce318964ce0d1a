"""The rows of a history as frames of pandas and Polars, neither of which gossipfl depends on."""

from collections.abc import Iterable, Mapping
from math import nan
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from gossipfl.errors import ConfigurationError
from gossipfl.runs.files import Run

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


Points: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Further columns of a row, by its algorithm."""

NO_POINTS: Points = MappingProxyType({})


def pandas_frame(run: Run, *, peers: bool, points: Points = NO_POINTS) -> "pd.DataFrame":
    """Raises ConfigurationError without pandas."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ConfigurationError("to_pandas needs pandas, which is not installed: pip install pandas") from error
    return pd.DataFrame(_columns(run, peers, points, missing=nan))


def polars_frame(run: Run, *, peers: bool, points: Points = NO_POINTS) -> "pl.DataFrame":
    """Raises ConfigurationError without Polars."""
    try:
        import polars as pl
    except ImportError as error:
        raise ConfigurationError("to_polars needs Polars, which is not installed: pip install polars") from error
    frame = pl.DataFrame(_columns(run, peers, points, missing=None), infer_schema_length=None)
    return frame.with_columns(pl.col(pl.Null).cast(pl.Float64))  # where nothing was measured at all


def _columns(run: Run, peers: bool, points: Points, missing: float | None) -> dict[str, list[Any]]:
    """One row per evaluation, or with `peers` one for each evaluated peer of it; what was not measured is `missing`."""
    rows = [{**points.get(row["algorithm"], {}), **row} for row in (_rows_of_peers(run) if peers else _rows(run))]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [missing if (value := row.get(name)) is None else value for row in rows] for name in names}


def _rows(run: Run) -> Iterable[Mapping[str, Any]]:
    return (row.own_numbers() for row in run.history)


def _rows_of_peers(run: Run) -> Iterable[Mapping[str, Any]]:
    for row in run.history:
        common = {"algorithm": row.algorithm, "seed": row.seed, "round": row.round, "time": row.time}
        for peer, own in row.by_peer(run.manifest.metrics).items():
            yield common | {"peer": peer} | own
