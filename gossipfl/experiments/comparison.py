"""The common table of a comparison: what each algorithm reached, and at what cost."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite, nan
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from gossipfl.history import History
from gossipfl.measured import DECILES
from gossipfl.scenario.targets import targets_by_metric
from gossipfl.scores import LOSS, Metric

if TYPE_CHECKING:
    from gossipfl.scenario import Scenario

HELD_OUT = ("deployed", "mean", "worst", "best", "average", *DECILES)
"""These aspects of every metric have a column in the table: `mean_accuracy`."""

MEASURES = {
    "consensus_distance": "consensus_distance",
    "rounds": "round",
    "epochs": "epochs",
    "num_examples": "num_examples",
    "time": "time",
    "num_bytes": "num_bytes",
    "busiest_peer_bytes": "busiest_peer_bytes",
}
"""The other columns of the table, each with the field of a history row that it is; the last row of each run counts."""

COSTS = {
    "rounds": "round",
    "num_bytes": "num_bytes",
    "time": "time",
    "busiest_peer_bytes": "busiest_peer_bytes",
}
"""The costs of reaching a target, each with the field of the first history row that reaches it."""

CONTESTS = ("num_bytes", "time", "busiest_peer_bytes", "spread")
"""Algorithms that reach a target compete in these: the least of each wins."""


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
    """The costs until what an algorithm deploys was as good as `target` by the metric, in the `reached` of `of` seeds
    that did: the server's model, or else the peers' own in the mean.

    `spread` is how far the best and the worst peer are apart by it, at that moment; a server deploys one model to all.
    """

    metric: Metric
    target: float
    reached: int
    of: int
    costs: Mapping[str, Statistic | None]
    spread: Statistic | None

    def __getitem__(self, contest: str) -> Statistic | None:
        """A cost, or the spread, by its name."""
        return self.spread if contest == "spread" else self.costs[contest]

    def as_json(self) -> dict[str, Any]:
        """One flat mapping, as `summary.json` holds it."""
        figures = {name: self[name] for name in (*self.costs, "spread")}
        own = {"metric": self.metric.name, "target": self.target, "reached": self.reached, "of": self.of}
        return own | {name: None if figure is None else asdict(figure) for name, figure in figures.items()}


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
            "targets": [target.as_json() for target in self.targets],
        }


@dataclass(frozen=True, slots=True)
class Winners:
    """The winners by label: who reaches `target` by the metric with the least in each contest, in the mean of `of`
    seeds, or None."""

    metric: Metric
    target: float
    of: int
    labels: Mapping[str, str | None]

    def as_json(self) -> dict[str, Any]:
        """One flat mapping, as `summary.json` holds it."""
        return {"metric": self.metric.name, "target": self.target, "of": self.of, **self.labels}


def summarize(
    history_rows: Iterable[Mapping[str, Any]],
    metrics: Sequence[Metric],
    targets: Mapping[str, Sequence[float]],
    ended: Iterable[tuple[str, int]] = (),
) -> list[Row]:
    """The table of a run's history rows (`History.rows`, or with None for NaN as `history.jsonl` has it), algorithms in
    order of appearance; the `targets` are by the name of one of the `metrics`, or the loss, by which alone those are
    judged that have no metrics.

    Of those that have `ended`, by label and seed, the ones that failed before they were measured reach no target.
    """
    runs: dict[str, dict[int, list[Mapping[str, Any]]]] = {}
    for row in history_rows:
        runs.setdefault(row["algorithm"], {}).setdefault(row["seed"], []).append(row)
    columns = [f"{aspect}_{metric.name}" for metric in metrics or [LOSS] for aspect in HELD_OUT]
    measures = dict(zip(columns, columns, strict=True)) | MEASURES
    num_unmeasured = Counter(label for label, seed in set(ended) if seed not in runs.get(label, {}))
    return [
        Row(
            label,
            {
                measure: Statistic.of([rows[-1].get(name) for rows in by_seed.values()])
                for measure, name in measures.items()
            }
            | _epsilon(by_seed.values()),
            [
                _target_cost([*by_seed.values(), *[()] * num_unmeasured[label]], metric, target)
                for metric in (*metrics, LOSS)
                for target in targets.get(metric.name, ())
            ],
        )
        for label, by_seed in runs.items()
    ]


def _epsilon(runs: Iterable[Sequence[Mapping[str, Any]]]) -> dict[str, Statistic]:
    """The column of differential privacy, which algorithms have that keep ledgers."""
    spent = [rows[-1].get("epsilon") for rows in runs]
    return {"epsilon": Statistic.of(spent)} if any(one is not None for one in spent) else {}


def winners(rows: Sequence[Row]) -> list[Winners]:
    """The winners of each target, by the `CONTESTS`.

    Those compete who send messages at all (the bounds do not) and reach the target with every seed; of equals, the
    first in the order of the table wins. No spread at all wins nothing: it says that all hold one model, as the clients
    of a server do.
    """
    competitors = [row for row in rows if row.values["num_bytes"].mean > 0]
    found = []
    for costs in zip(*(row.targets for row in competitors), strict=True):
        num_seeds = max(cost.of for cost in costs)
        labeled = zip((row.label for row in competitors), costs, strict=True)
        whole = [(label, cost) for label, cost in labeled if cost.reached == num_seeds]
        labels = {contest: _least(whole, contest) for contest in CONTESTS}
        found.append(Winners(costs[0].metric, costs[0].target, num_seeds, labels))
    return found


def _least(costs: Sequence[tuple[str, TargetCost]], contest: str) -> str | None:
    figures = [
        (figure.mean, label)
        for label, cost in costs
        if (figure := cost[contest]) and isfinite(figure.mean) and (figure.mean > 0 or contest != "spread")
    ]
    return min(figures, key=lambda one: one[0])[1] if figures else None


def _target_cost(runs: Sequence[Sequence[Mapping[str, Any]]], metric: Metric, target: float) -> TargetCost:
    firsts = [first for rows in runs if (first := _first_reaching(rows, metric, target)) is not None]
    costs = {cost: Statistic.of([first[name] for first in firsts]) if firsts else None for cost, name in COSTS.items()}
    spread = Statistic.of([_spread(first, metric) for first in firsts]) if firsts else None
    return TargetCost(metric, target, len(firsts), len(runs), costs, spread)


def _spread(row: Mapping[str, Any], metric: Metric) -> float | None:
    if row["deploys_average"]:
        return 0.0
    best, worst = row.get(f"best_{metric.name}"), row.get(f"worst_{metric.name}")
    return None if best is None or worst is None else abs(best - worst)


def _first_reaching(rows: Sequence[Mapping[str, Any]], metric: Metric, target: float) -> Mapping[str, Any] | None:
    deployed = ((row, row.get(f"deployed_{metric.name}")) for row in rows)
    return next((row for row, value in deployed if value is not None and metric.reaches(value, target)), None)


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
    def metrics(self) -> list[Metric]:
        """The metrics that models were scored by, beside their loss."""
        evaluations = next((history.evaluations for history in self.histories if history.evaluations), None)
        return [] if evaluations is None else [one.metric for one in evaluations[-1].metrics.values()]

    @property
    def table(self) -> list[Row]:
        """One row per algorithm."""
        rows = (row for history in self.histories for row in history.rows())
        ended = [(history.algorithm, history.seed) for history in self.histories]
        is_measured = any(history.evaluations for history in self.histories)
        targets = targets_by_metric(self.scenario.targets, self.metrics) if is_measured else {}
        return summarize(rows, self.metrics, targets, ended)

    @property
    def winners(self) -> list[Winners]:
        """The winners of each target, who reach it with the least."""
        return winners(self.table)
