"""Several runs as one, whose algorithms bear the names of their runs: what page, figures and tables compare."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from gossipfl.errors import ConfigurationError
from gossipfl.experiments.comparison import Row, summarize, winners
from gossipfl.files.strict_json import strict_json
from gossipfl.runs.files import Run, Summary, read_run
from gossipfl.runs.manifest import Manifest, RunPartition, RunTopology
from gossipfl.runs.parts import Part
from gossipfl.scores import LOSS, Metric

MAX_DIFFERENCES = 12
"""Fields of the scenarios that are named where they differ; more would be the scenarios themselves."""

_OF_A_HOST = ("versions", "machine", "flags")

_Relabeled = TypeVar("_Relabeled", bound=Part)


def read_runs(directories: Sequence[Path]) -> dict[str, Run]:
    """The runs in directories by their names, which are those of the directories; of two with one name, with as much of
    their paths as tells them apart. Raises ConfigurationError as `read_run` does, and for a directory named twice."""
    paths = [Path(directory).resolve() for directory in directories]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ConfigurationError(f"{twice} is named twice; give each run once")
    runs = {}
    for path in paths:
        length = next(
            number
            for number in range(1, len(path.parts) + 1)
            if sum(other.parts[-number:] == path.parts[-number:] for other in paths) == 1
        )
        runs["/".join(path.parts[-length:])] = read_run(path)
    return runs


def without_bounds(run: Run) -> Run:
    """The same run without its bounds. Raises ConfigurationError when nothing is left."""
    kept = {algorithm.label for algorithm in run.manifest.algorithms if not algorithm.bound}
    if not kept:
        raise ConfigurationError(f"{run.manifest.name} has bounds only, and would be empty without them")
    return Run(
        run.manifest.model_copy(
            update={"algorithms": [one for one in run.manifest.algorithms if one.label in kept]},
        ),
        [row for row in run.history if row.algorithm in kept],
        run.summary.model_copy(update={"rows": [row for row in run.summary.rows if row.label in kept]}),
        [row for row in run.events if row.algorithm in kept],
        [row for row in run.agreed if row.algorithm in kept],
        run.classes
        and run.classes.model_copy(update={"models": [one for one in run.classes.models if one.algorithm in kept]}),
    )


def laid_over(runs: Mapping[str, Run]) -> Run:
    """One run that has the algorithms of all, as "LABEL · NAME"; of one run, itself.

    Targets are those of all. What the runs do not have in common is left out, or stands among the differences; winners
    are named only where data, seeds and clock are the same.
    Raises ConfigurationError when a metric is better in one run where it is worse in another, or has another unit.
    """
    if len(runs) == 1:
        return next(iter(runs.values()))
    metrics = _metrics(runs)
    targets = _targets(runs)
    parts = [_Part(name, run) for name, run in runs.items()]
    tables = [part.table(targets) for part in parts]
    unfair = [*_unlike(runs), *_other_seeds(runs)]
    return Run(
        _manifest(parts, metrics, targets, unfair),
        [row for part in parts for row in part.relabeled(part.run.history)],
        Summary.model_validate(
            {
                "rows": [row for part, table in zip(parts, tables, strict=True) for row in part.summary(table)],
                "winners": [] if unfair else [one.as_json() for one in winners(_comparable(parts, tables))],
            }
        ),
        [row for part in parts for row in part.relabeled(part.run.events)],
        [row for part in parts for row in part.relabeled(part.run.agreed)],
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """One of several runs, and the names that its things have among those of the others."""

    name: str
    run: Run

    def of(self, label: str) -> str:
        return f"{label} · {self.name}"

    def relabeled(self, rows: Iterable[_Relabeled]) -> Iterator[_Relabeled]:
        for row in rows:
            yield row.model_copy(update={"algorithm": self.of(getattr(row, "algorithm"))})  # noqa: B009, of any kind

    def table(self, targets: Mapping[str, Sequence[float]]) -> list[Row]:
        """The table of the run by the targets of all runs, as far as it has their metrics."""
        manifest = self.run.manifest
        own = {metric.name for metric in (*manifest.metrics, LOSS)}
        return summarize(
            [row.model_dump() for row in self.run.history],
            manifest.metrics,
            {name: values for name, values in targets.items() if name in own},
            [(one.algorithm, one.seed) for one in manifest.ended],
        )

    def summary(self, table: Sequence[Row]) -> Iterator[dict[str, Any]]:
        bounds = {algorithm.label for algorithm in self.run.manifest.algorithms if algorithm.bound}
        for row in table:
            yield {**row.as_json(), "label": self.of(row.label), "bound": row.label in bounds}

    def algorithms(self, topologies: Mapping[str, RunTopology]) -> Iterator[Any]:
        """Its algorithms, on the topologies of all runs."""
        manifest = self.run.manifest
        for one in manifest.algorithms:
            is_here = one.topology is not None and one.topology in manifest.topologies
            topology = self.topology(one.topology, topologies) if is_here and one.topology else one.topology
            yield one.model_copy(update={"label": self.of(one.label), "topology": topology})

    def topology(self, name: str, topologies: Mapping[str, RunTopology]) -> str:
        return name if topologies.get(name) == self.run.manifest.topologies[name] else self.of(name)


def _manifest(
    parts: Sequence[_Part], metrics: Sequence[Metric], targets: Mapping[str, Sequence[float]], unfair: Sequence[str]
) -> Manifest:
    manifests = [part.run.manifest for part in parts]
    first, *others = manifests
    topologies: dict[str, RunTopology] = {}
    for part in parts:
        for name, topology in part.run.manifest.topologies.items():
            topologies.setdefault(name, topology)
            topologies[part.topology(name, topologies)] = topology
    in_common = {
        name: getattr(first, name)
        for name in ("data", "model", "spread", "description")
        if all(getattr(other, name) == getattr(first, name) for other in others)
    }
    has_one_partition = all(other.partition == first.partition for other in others)
    return Manifest(
        format=first.format,
        mode=first.mode,
        name=" and ".join(dict.fromkeys(part.name for part in parts)),
        command="\n".join(dict.fromkeys(one.command for one in manifests if one.command)),
        gossipfl=", ".join(dict.fromkeys(one.gossipfl for one in manifests if one.gossipfl)) or None,
        interrupted=any(one.interrupted for one in manifests),
        failures=[f"{part.name}: {failure}" for part in parts for failure in part.run.manifest.failures],
        ended=[ended for part in parts for ended in part.relabeled(part.run.manifest.ended)],
        seeds=list(dict.fromkeys(seed for one in manifests for seed in one.seeds)),
        scenario={part.name: part.run.manifest.scenario for part in parts},
        partition=first.partition if has_one_partition else RunPartition(),
        topologies=topologies,
        algorithms=[one for part in parts for one in part.algorithms(topologies)],
        metrics=list(metrics),
        targets=targets,
        comparable=not unfair,
        differences=[
            *unfair,
            *_differences_of_scenarios(parts),
            *dict.fromkeys(f"{part.name}: {note}" for part in parts for note in part.run.manifest.differences),
        ],
        **in_common,
        **{name: _of_each(parts, name) for name in _OF_A_HOST},
    )


def _of_each(parts: Sequence[_Part], field: str) -> dict[str, Any]:
    found = {part.name: getattr(part.run.manifest, field) for part in parts}
    values = list(found.values())
    return values[0] if all(value == values[0] for value in values) else found


def _metrics(runs: Mapping[str, Run]) -> list[Metric]:
    """The metrics of all, in order of appearance."""
    found: dict[str, tuple[str, Metric]] = {}
    for name, run in runs.items():
        for metric in run.manifest.metrics:
            other, known = found.setdefault(metric.name, (name, metric))
            if (known.higher_is_better, known.unit) != (metric.higher_is_better, metric.unit):
                raise ConfigurationError(
                    f"{metric.name} is not the same metric in {other} and in {name} (direction and unit "
                    f"{known.higher_is_better, known.unit} and {metric.higher_is_better, metric.unit}); rename it in "
                    "one of the scenarios, and run that again"
                )
    return [metric for _, metric in found.values()]


def _targets(runs: Mapping[str, Run]) -> dict[str, list[float]]:
    found: dict[str, set[float]] = {}
    for run in runs.values():
        for name, values in run.manifest.targets.items():
            found.setdefault(name, set()).update(values)
    return {name: sorted(values) for name, values in found.items()}


def _comparable(parts: Sequence[_Part], tables: Sequence[Sequence[Row]]) -> list[Row]:
    """The rows of all with the targets that all have."""
    rows = [replace(row, label=part.of(row.label)) for part, table in zip(parts, tables, strict=True) for row in table]
    sets = [{(cost.metric.name, cost.target) for cost in row.targets} for row in rows]
    common = set.intersection(*sets) if sets else set()
    return [
        replace(
            row,
            targets=sorted(
                (cost for cost in row.targets if (cost.metric.name, cost.target) in common),
                key=lambda cost: (cost.metric.name, cost.target),
            ),
        )
        for row in rows
    ]


def _unlike(runs: Mapping[str, Run]) -> list[str]:
    """Sentences on what makes the numbers of runs no fair comparison."""
    manifests = [run.manifest for run in runs.values()]
    names = ", ".join(runs)
    common = set.intersection(*({metric.name for metric in one.metrics} for one in manifests))
    asked: dict[str, list[Any]] = {
        "were not trained and measured on the same data": [one.data and one.data.digest for one in manifests],
        "deal their data to peers in other ways": [one.partition.digest for one in manifests],
        "measure time by different clocks, so that their times do not compare": [one.mode.clock for one in manifests],
        "measure a metric of one name on different data": [
            {metric.name: (metric.on, metric.by_share) for metric in one.metrics if metric.name in common}
            for one in manifests
        ],
    }
    return [
        f"{names} {what}; nobody is named the best"
        for what, values in asked.items()
        if any(value != values[0] for value in values)
    ]


def _other_seeds(runs: Mapping[str, Run]) -> list[str]:
    seeds = [sorted(run.manifest.seeds) for run in runs.values()]
    if all(one == seeds[0] for one in seeds):
        return []
    said = "; ".join(f"{name}: {', '.join(map(str, run.manifest.seeds)) or 'none'}" for name, run in runs.items())
    return [f"The runs have different seeds ({said}); nobody is named the best"]


def _differences_of_scenarios(parts: Sequence[_Part]) -> list[str]:
    """One sentence on the fields by which the scenarios differ, beside their algorithms, which the page shows."""
    flat = [dict(_leaves(part.run.manifest.scenario)) for part in parts]
    fields = dict.fromkeys(field for one in flat for field in one)
    ignored = ("name", "description", "algorithms", "targets")
    differing = [
        field
        for field in fields
        if field.split(".")[0] not in ignored and any(one.get(field) != flat[0].get(field) for one in flat)
    ]
    if not differing:
        return []
    shown = []
    for field in differing[:MAX_DIFFERENCES]:
        values = (f"{part.name}: {one.get(field, 'not set')}" for part, one in zip(parts, flat, strict=True))
        shown.append(f"{field} ({'; '.join(values)})")
    more = len(differing) - len(shown)
    return [f"The scenarios differ in {', '.join(shown)}" + (f" and {more} more fields" if more else "")]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    else:
        text = strict_json(value)
        yield path, text if len(text) <= 60 else f"{text[:57]}..."
