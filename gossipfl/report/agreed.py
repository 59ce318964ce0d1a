"""The page receives what the peers agree on, of how good all of their models are, in columns."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import product
from typing import Any, TypeAlias

from gossipfl.runs.agreed_rows import by_run
from gossipfl.runs.files import Run

JSON: TypeAlias = dict[str, Any]

COLUMNS = ("round", "known_in", "time", "num_peers", "of_peers")

SHOWN = ("mean", "worst", "decile1", "decile5", "decile9", "best")
"""The aspects of a metric that the page shows of an agreement."""


def agreed(run: Run, metrics: Sequence[str]) -> JSON:
    """Per algorithm whose peers agree, one table per seed, as columns: {"seed": 0, "round": [...], ...}; `num_bytes` is
    what the evaluation had counted that was the last one when the first peer knew."""
    found: dict[str, list[JSON]] = {}
    for (label, seed), rows in by_run(run.agreed).items():
        history = [row for row in run.history if (row.algorithm, row.seed) == (label, seed)]
        times, counted = [row.time or 0.0 for row in history], [None, *(row.num_bytes for row in history)]
        table: JSON = {"seed": seed} | {name: [getattr(row, name) for row in rows] for name in COLUMNS}
        table["num_bytes"] = [counted[bisect_right(times, row.time)] for row in rows]
        for aspect, metric in product(SHOWN, metrics):
            table[f"agreed_{aspect}_{metric}"] = [row.column(aspect, metric) for row in rows]
        found.setdefault(label, []).append(table)
    return found
