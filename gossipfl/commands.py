"""What the commands of `cli` do."""

import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from rich import box
from rich.table import Table

from gossipfl import resources, topology
from gossipfl.console import Progress, comparison_tables, evaluation_line, new_console, print_json, run_name
from gossipfl.data.dataset import Dataset
from gossipfl.data.partition import label_counts
from gossipfl.errors import GossipFLError
from gossipfl.scenario import Scenario, load_scenario
from gossipfl.topology import TopologySummary

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def run_scenario(
    command: str,
    name: str,
    overrides: Sequence[str],
    data: str | None,
    download: bool,
    num_seeds: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """`simulate` and `compare`: run, record, report; Ctrl-C keeps what was measured."""
    from gossipfl.run_directory import RunDirectory
    from gossipfl.simulation import run_all, with_bounds

    scenario = _load(name, overrides, data)
    if command == "compare":
        scenario = with_bounds(scenario)
    console = new_console(stderr=as_json)
    dataset = _load_data(scenario, download)
    _import_tensorflow()
    directory = RunDirectory.create(
        output, scenario, num_seeds, _command_line(command, name, overrides, data, num_seeds)
    )
    try:
        with directory, Progress(console, scenario, prints_evaluations=command == "simulate") as progress:
            comparison = run_all(scenario, num_seeds, [directory, progress], dataset)
    except GossipFLError:
        if directory.has_begun:
            console.print(f"For a report of what was measured: gossipfl report {directory.path}", soft_wrap=True)
        raise
    if not directory.has_begun:
        console.print("Interrupted before the run began.")
        raise typer.Exit(INTERRUPTED)
    failures = [history.failure for history in comparison.histories if history.failure is not None]
    report = directory.finish(interrupted=comparison.interrupted, failures=failures)
    if command == "compare":
        for table in comparison_tables(comparison.table, scenario, console.width):
            console.print(table)
    else:
        for history in comparison.histories:
            if history.evaluations:
                name = run_name(history.algorithm, history.seed, scenario)
                console.print(evaluation_line(name, history.last, final=True), soft_wrap=True)
    if as_json:
        print_json({"run": str(directory.path), "rows": [row.as_json() for row in comparison.table]})
    console.print(f"Run: {directory.path}\nReport: {report}", soft_wrap=True)
    if comparison.interrupted:
        console.print("Interrupted: the table and the report show what was measured until then.")
        raise typer.Exit(INTERRUPTED)
    if failures:
        raise GossipFLError("\n".join(failures))


def _command_line(command: str, name: str, overrides: Sequence[str], data: str | None, num_seeds: int) -> str:
    """What to type to get the same numbers again."""
    words = ["gossipfl", command, name]
    for override in overrides:
        words += ["--set", override]
    if data is not None:
        words += ["--data", data]
    if num_seeds > 1:
        words += ["--seeds", str(num_seeds)]
    return shlex.join(words)


def rewrite_report(run: Path) -> None:
    """`report`."""
    from gossipfl.run_directory import complete

    new_console().print(f"Report: {complete(run)}", soft_wrap=True)


def list_topologies(as_json: bool) -> None:
    """`topology list`."""
    names = topology.available()
    summaries = {name: topology.summarize(topology.named(name)) for name in names}
    if as_json:
        print_json({name: asdict(summary) for name, summary in summaries.items()})
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("name", *_TOPOLOGY_COLUMNS):  # on a narrow terminal the degrees wrap, and nothing is cut
        table.add_column(column, no_wrap=column in ("name", "rho"), overflow="fold", min_width=min(8, len(column)))
    for name, summary in summaries.items():
        table.add_row(name, *_topology_cells(summary))
    new_console().print(table)


def show_topology(name: str, as_json: bool) -> None:
    """`topology show`."""
    graph = topology.named(name)
    summary = topology.summarize(graph)
    if as_json:
        print_json({**asdict(summary), "nodes": list(graph), "links": [list(edge) for edge in graph.edges]})
        return
    table = Table(show_header=False, title=name, caption=graph.graph.get("description"))
    for column, cell in zip(_TOPOLOGY_COLUMNS, _topology_cells(summary), strict=True):
        table.add_row(column, cell)
    new_console().print(table)


_TOPOLOGY_COLUMNS = ("peers", "links", "degree", "diameter", "rho", "spectral gap", "rounds to 0.1 %")


def _topology_cells(summary: TopologySummary) -> list[str]:
    low, high = summary.min_degree, summary.max_degree
    return [
        str(summary.num_peers),
        str(summary.num_edges),
        str(low) if low == high else f"{low} to {high} (mean {summary.mean_degree:.1f})",
        str(summary.diameter),
        f"{summary.rho:.6f}",
        f"{summary.spectral_gap:.6f}",
        "never" if summary.predicted_rounds is None else str(summary.predicted_rounds),
    ]


def show_data(name: str, overrides: Sequence[str], data: str | None, download: bool, as_json: bool) -> None:
    """`data show`."""
    from gossipfl.simulation import Experiment

    scenario = _load(name, overrides, data)
    dataset = _load_data(scenario, download)
    shards = Experiment(scenario, dataset).shards
    counts = label_counts(dataset.train_y, list(shards.values()), dataset.num_classes)
    if as_json:
        print_json(
            {
                "source": dataset.name,
                "digest": dataset.digest,
                "num_train": len(dataset.train_y),
                "num_test": len(dataset.test_y),
                "label_counts": dict(zip(shards, counts.tolist(), strict=True)),
            }
        )
        return
    partition = scenario.data.partition
    title = (
        f"{dataset.name}: {len(dataset.train_y)} training and {len(dataset.test_y)} held-out examples, {partition.name}"
    )
    table = Table(title=title, caption="examples in all, and of each class", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("peer", "all", *map(str, range(dataset.num_classes))):
        table.add_column(column, justify="right", no_wrap=True, min_width=3)
    for peer_id, row in zip(shards, counts, strict=True):
        table.add_row(peer_id, str(row.sum()), *(str(count) if count else "·" for count in row))
    new_console().print(table, crop=False)  # of many classes a line is long, but whole


def list_scenarios() -> None:
    """`scenario list`."""
    table = Table("name", "question")
    for name in resources.names("simulations"):
        table.add_row(name, load_scenario(name).description)
    new_console().print(table)


def show_scenario(name: str, overrides: Sequence[str]) -> None:
    """`scenario show`."""
    print_json(load_scenario(name, overrides).model_dump(mode="json"))


def print_schema() -> None:
    """`scenario schema`."""
    print_json(Scenario.model_json_schema())


def _load(name: str, overrides: Sequence[str], data: str | None) -> Scenario:
    scenario = load_scenario(name, overrides)
    return scenario if data is None else scenario.with_changes(data=scenario.data.model_copy(update={"source": data}))


def _load_data(scenario: Scenario, download: bool) -> Dataset:
    from gossipfl.simulation import load_data

    if str(scenario.data.source).startswith("tfds:"):
        _import_tensorflow()  # reading the set would import it, with its notes
        logging.getLogger("absl").setLevel(logging.ERROR)  # tensorflow-datasets warns of its own calls
    return load_data(scenario, download=download)


def _import_tensorflow() -> None:
    """Import TensorFlow without the notes on processors and drivers that it writes at start-up, which none of its
    settings silences; they show when the import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    standard_error = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except KeyboardInterrupt:
            raise
        except BaseException:
            notes.seek(0)
            os.write(standard_error, notes.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
