"""The common table of a comparison: what each algorithm reached, and at what cost."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite, nan
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from gossipfl.history import History

if TYPE_CHECKING:
    from gossipfl.scenario import Scenario

MEASURES = {
    "mean_accuracy": "mean_accuracy",
    "worst_accuracy": "worst_accuracy",
    "best_accuracy": "best_accuracy",
    "average_accuracy": "average_accuracy",
    "consensus_distance": "consensus_distance",
    "rounds": "round",
    "time": "time",
    "num_bytes": "num_bytes",
    "busiest_peer_bytes": "busiest_peer_bytes",
}
"""The columns of the table, each with the field of a history row that it is; the last row of each run counts."""

COSTS = {"rounds": "round", "num_bytes": "num_bytes", "time": "time"}
"""What reaching a target accuracy costs, each with the field of the first history row that reaches it."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """Mean over seeds and their sample standard deviation (None for a single seed); NaN where a value is not finite."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "Statistic":
        finite = [value for value in values if value is not None and isfinite(value)]
        if len(finite) < len(values):
            return cls(nan, nan if len(values) > 1 else None)
        return cls(fmean(finite), stdev(finite) if len(finite) > 1 else None)


@dataclass(frozen=True, slots=True)
class TargetCost:
    """What it cost to reach a mean accuracy over peers of `target`, in the `reached` of `of` seeds that did."""

    target: float
    reached: int
    of: int
    costs: Mapping[str, Statistic | None]


@dataclass(frozen=True, slots=True)
class Row:
    """One algorithm of the table."""

    label: str
    values: Mapping[str, Statistic]
    targets: Sequence[TargetCost]

    def as_json(self) -> dict[str, Any]:
        """One flat mapping, as `summary.json` holds it."""
        return {
            "label": self.label,
            **{name: asdict(value) for name, value in self.values.items()},
            "targets": [
                {"target": target.target, "reached": target.reached, "of": target.of}
                | {name: None if cost is None else asdict(cost) for name, cost in target.costs.items()}
                for target in self.targets
            ],
        }


def summarize(history_rows: Iterable[Mapping[str, Any]], targets: Sequence[float]) -> list[Row]:
    """The table of a run's history rows (`History.rows`, or with None for NaN as `history.jsonl` has it), algorithms in
    order of appearance."""
    runs: dict[str, dict[int, list[Mapping[str, Any]]]] = {}
    for row in history_rows:
        runs.setdefault(row["algorithm"], {}).setdefault(row["seed"], []).append(row)
    return [
        Row(
            label,
            {
                measure: Statistic.of([rows[-1][name] for rows in by_seed.values()])
                for measure, name in MEASURES.items()
            },
            [_target_cost(list(by_seed.values()), target) for target in targets],
        )
        for label, by_seed in runs.items()
    ]


def _target_cost(runs: Sequence[Sequence[Mapping[str, Any]]], target: float) -> TargetCost:
    firsts = [first for rows in runs if (first := _first_reaching(rows, target)) is not None]
    costs = {cost: Statistic.of([first[name] for first in firsts]) if firsts else None for cost, name in COSTS.items()}
    return TargetCost(target, len(firsts), len(runs), costs)


def _first_reaching(rows: Sequence[Mapping[str, Any]], target: float) -> Mapping[str, Any] | None:
    return next((row for row in rows if row["mean_accuracy"] is not None and row["mean_accuracy"] >= target), None)


@dataclass(slots=True)
class Comparison:
    """Histories of several algorithms (and seeds) on one scenario."""

    scenario: "Scenario"
    histories: list[History] = field(default_factory=list)
    interrupted: bool = False

    def __getitem__(self, label: str) -> History:
        """The history of an algorithm with the first seed. Raises KeyError when there is none of that label."""
        for history in self.histories:
            if history.algorithm == label:
                return history
        raise KeyError(f"no algorithm {label!r}; there are {', '.join(self.scenario.labels)}")

    @property
    def table(self) -> list[Row]:
        """One row per algorithm."""
        rows = (row for history in self.histories for row in history.rows())
        return summarize(rows, self.scenario.targets)
