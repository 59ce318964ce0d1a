"""All runs of a sweep as one: its algorithms are those of every point, its manifest is what the runs have in common."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from gossipfl.experiments.comparison import summarize
from gossipfl.experiments.fairness import spread
from gossipfl.experiments.mode import Command, Mode
from gossipfl.runs.manifest import FORMAT, EndedRun, Manifest, RunTopology
from gossipfl.scenario.loading import toml_value
from gossipfl.scenario.targets import targets_by_metric
from gossipfl.sweep.grid import Point, named
from gossipfl.sweep.run import JSON, Measured, Run

_FACTS = ("gossipfl", "versions", "machine", "flags", "model")
"""Fields of a manifest that are kept where they are the same in all runs."""


def label(algorithm: str, point: Point) -> str:
    """The name of an algorithm at a point, in tables and charts: `pairwise, batch_size=10`."""
    return ", ".join(filter(None, [algorithm, point.name]))


def whole(runs: Sequence[tuple[Run, Measured]], num_missing: int = 0) -> Measured:
    """One manifest and the history rows of all runs, which are in the order of their points."""
    by_point = [(point, list(group)) for point, group in groupby(runs, lambda one: one[0].point)]
    manifests = [_without_names_of_variables(measured.manifest) for _, measured in runs]
    facts, differing = _common(manifests, _FACTS)
    # Each seed has a split of its own; as in any other run, that of the first is shown.
    first_seed = min(run.seed for run, _ in runs)
    dealt, dealt_otherwise = _common([m.manifest for run, m in runs if run.seed == first_seed], ["data", "partition"])
    graphs, names = _graphs([(point, measured[0][1].manifest.topologies) for point, measured in by_point])
    left_out = ", ".join([*differing, *dealt_otherwise])
    notes = list(dict.fromkeys(note for manifest in manifests for note in manifest.differences))
    notes += _varied([point for point, _ in by_point])
    sizes = sorted({len(graph.nodes) for graph in graphs.values()})
    if len(sizes) > 1:
        notes.append(f"The number of peers is not the same in all runs: {', '.join(map(str, sizes))}")
    if left_out:
        notes.append(f"Not the same in all runs, and left out below: {left_out}")
    ended = [
        one.model_copy(update={"algorithm": label(one.algorithm, run.point)})
        for run, measured in runs
        for one in measured.manifest.ended
    ]
    notes += early_ends(ended)
    if num_missing:
        notes.append(f"{num_missing} of {len(runs) + num_missing} runs are not here")
    scenario = runs[0][0].point.scenario
    seeds = sorted({run.seed for run, _ in runs})
    manifest = Manifest(
        format=FORMAT,
        mode=Mode(Command.SWEEP),
        name=scenario.name,
        description=scenario.description,
        created=min(manifest.created or "" for manifest in manifests),
        failures=[", ".join([run.name, failure]) for run, measured in runs for failure in measured.manifest.failures],
        ended=ended,
        seeds=seeds,
        spread=spread(scenario, seeds),
        **facts,
        **dealt,
        topologies=graphs,
        algorithms=[
            algorithm.model_copy(
                update={
                    "label": label(algorithm.label, point),
                    "topology": None if algorithm.topology is None else names.get((point, algorithm.topology)),
                    "seeds": [run.seed for run, _ in measured],
                }
            )
            for point, measured in by_point
            for algorithm in measured[0][1].manifest.algorithms
        ],
        metrics=list({metric.name: metric for manifest in manifests for metric in manifest.metrics}.values()),
        targets=_targets(runs),
        differences=notes,
    )
    rows = [
        dict(row) | {"algorithm": label(row["algorithm"], run.point)} for run, measured in runs for row in measured.rows
    ]
    return Measured(manifest, rows)


def table_rows(runs: Sequence[tuple[Run, Measured]], together: Measured) -> list[JSON]:
    """The table for `sweep.json`, of all runs and what they are together: a row per point and algorithm."""
    manifest = together.manifest
    ended = [(one.algorithm, one.seed) for one in manifest.ended]
    table = summarize(together.rows, manifest.metrics, manifest.targets, ended)
    by_label = {row.label: row.as_json() for row in table}
    return [
        {
            "point": {field: toml_value(value) for field, value in point.settings},
            "seeds": [run.seed for run, _ in runs if run.point is point],
            **by_label[label(algorithm, point)],
            "label": algorithm,
            "name": label(algorithm, point),
        }
        for point in dict.fromkeys(run.point for run, _ in runs)
        for algorithm in point.scenario.labels
        if label(algorithm, point) in by_label
    ]


def early_ends(ended: Sequence[EndedRun]) -> list[str]:
    """Sentences on runs that were stopped before their rounds were over."""
    return [f"{one.algorithm} (seed {one.seed}): stopped early {one.stopped}." for one in ended if one.stopped]


def _targets(runs: Sequence[tuple[Run, Measured]]) -> Mapping[str, Sequence[float]]:
    """The targets of all points as they are now: what was measured does not depend on them."""
    found: dict[str, dict[float, None]] = {}
    for run, measured in runs:
        for name, values in targets_by_metric(run.point.scenario.targets, measured.manifest.metrics).items():
            found.setdefault(name, {}).update(dict.fromkeys(values))
    return {name: list(values) for name, values in found.items()}


def _varied(points: Sequence[Point]) -> list[str]:
    """What takes several values, in a sentence."""
    values: dict[str, dict[str, None]] = {}
    for point in points:
        for field, value in point.settings:
            values.setdefault(field, {})[value] = None
    varied = [f"{field} ({', '.join(taken)})" for field, taken in values.items()]
    return [f"Varied: {'; '.join(varied)}"] if varied else []


def _without_names_of_variables(manifest: Manifest) -> Manifest:
    """Keras numbers the models of a process, so one model has other names in each of its runs."""
    if manifest.model is None:
        return manifest
    unnamed = manifest.model.model_copy(update={"segments": [], "statistics_segments": [], "local_segments": []})
    return manifest.model_copy(update={"model": unnamed})


def _common(manifests: Sequence[Manifest], fields: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The fields that are the same in all manifests, and the names of the others."""
    first = manifests[0]
    same = [field for field in fields if all(getattr(one, field) == getattr(first, field) for one in manifests)]
    return {field: getattr(first, field) for field in same}, [field for field in fields if field not in same]


def _graphs(
    used: Sequence[tuple[Point, Mapping[str, RunTopology]]],
) -> tuple[dict[str, RunTopology], dict[tuple[Point, str], str]]:
    """The graphs that the points use, by a name of their own, and that name by point and by what the point calls it.

    Where points mean different graphs by one name, what is the same at all points of a graph tells it from the others.
    """
    users: dict[str, dict[str, list[Point]]] = {}
    for point, graphs in used:
        for called, graph in graphs.items():
            users.setdefault(called, {}).setdefault(graph.model_dump_json(), []).append(point)
    found: dict[str, RunTopology] = {}
    names: dict[tuple[Point, str], str] = {}
    contents = {(point, called): graph for point, graphs in used for called, graph in graphs.items()}
    for called, by_graph in users.items():
        for points in by_graph.values():
            name = called
            if len(by_graph) > 1:
                shared = [one for one in points[0].settings if all(one in point.settings for point in points)]
                fields = [field for field, _ in points[0].settings]
                name = f"{called}, {named(fields, shared)}"
                if not shared or name in found:
                    name = label(called, points[0])
            found[name] = contents[points[0], called]
            names |= {(point, called): name for point in points}
    return found, names
