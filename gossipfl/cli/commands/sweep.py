"""The body of `gossipfl sweep`."""

import json
import shlex
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from gossipfl.cli.commands.loading import load_dataset
from gossipfl.cli.terminal.console import INTERRUPTED, new_console, print_json
from gossipfl.cli.terminal.tables import comparison_tables
from gossipfl.errors import ConfigurationError, GossipFLError
from gossipfl.experiments.comparison import summarize
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.mode import Command, Mode
from gossipfl.files.strict_json import strict_json
from gossipfl.names.visible_text import visible
from gossipfl.scenario.loading import toml_value
from gossipfl.sweep.directory import SweepDirectory, write_run
from gossipfl.sweep.executors import Executor, RayTasks, WorkerProcesses
from gossipfl.sweep.grid import Axis, points
from gossipfl.sweep.run import JSON, Lost, Measured, Run
from gossipfl.sweep.whole import early_ends, table_rows, whole
from gossipfl.training.cores import available_cores


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """The options of `sweep` on the command line."""

    scenario: str
    grid: Sequence[str]
    overrides: Sequence[str]
    data: str | None
    download: bool
    num_seeds: int
    output: Path | None
    num_jobs: int | None
    on_ray: bool
    ray_address: str | None
    as_json: bool

    def all_overrides(self) -> list[str]:
        """All overrides, with `--data` as one of them."""
        source = [] if self.data is None else [f"data.source={json.dumps(self.data, ensure_ascii=False)}"]
        return [*self.overrides, *source]

    def words(self) -> str:
        """The words to type for the same sweep."""
        words = ["gossipfl", "sweep", self.scenario]
        for axis in self.grid:
            words += ["--set-grid", axis]
        return shlex.join(words + self._rest(self.num_seeds))

    def words_of_run(self, run: Run) -> str:
        """The words to type for the same measurements without a sweep."""
        settings = [word for field, value in run.point.settings for word in ("--set", f"{field}={value}")]
        if run.seed != run.point.scenario.seed:
            settings += ["--set", f"seed={run.seed}"]
        return shlex.join(["gossipfl", "simulate", self.scenario, *self._rest(1), *settings])

    def _rest(self, num_seeds: int) -> list[str]:
        words = [word for override in self.overrides for word in ("--set", override)]
        words += [] if self.data is None else ["--data", self.data]
        return words + (["--seeds", str(num_seeds)] if num_seeds > 1 else [])


def run_sweep(options: SweepOptions) -> None:
    """`sweep`: run what is not done yet, side by side; Ctrl-C keeps the runs that have ended."""
    grid = [Axis.parse(text) for text in options.grid]
    all_points = points(options.scenario, options.all_overrides(), grid)
    runs = [Run(point, point.scenario.seed + k) for point in all_points for k in range(options.num_seeds)]
    console = new_console(stderr=options.as_json)
    path = options.output or Path("runs") / f"sweep-{all_points[0].scenario.name}"
    directory = SweepDirectory(path, all_points)
    directory.check()
    left = [run for run in runs if not directory.has(run)]
    executor: Executor = WorkerProcesses(options.num_jobs or available_cores(), path / "workers.log")
    if options.on_ray or options.ray_address is not None:
        executor = RayTasks(options.ray_address)
    _check_data(left, options.download)
    content: JSON = {"grid": {axis.field: [toml_value(value) for value in axis.values] for axis in grid}}
    with directory.in_use():
        directory.write(content)
        if len(left) < len(runs):
            console.print(f"{len(runs) - len(left)} of {len(runs)} runs are done already.")
        # Every point with its first seed, then with the next: where the sweep is interrupted, all points are there.
        ordered = sorted(left, key=lambda run: run.seed - run.point.scenario.seed)
        lost, is_interrupted = _run(executor, ordered, directory, options, console)
        done = [(run, directory.read(run)) for run in runs if directory.has(run)]
        rows = _finish(done, len(runs), directory, content, options, console) if done else []
    if options.as_json:
        print_json({"run": str(path), "rows": rows, "lost": {run.name: reason for run, reason in lost.items()}})
    if is_interrupted:
        console.print(
            f"Interrupted: {len(done)} of {len(runs)} runs are done; the same command goes on with the others."
        )
        raise typer.Exit(INTERRUPTED)
    if lost:
        reasons = "\n".join(f"{run.name}: {reason}" for run, reason in lost.items())
        raise GossipFLError(
            f"{reasons}\n{len(lost)} of {len(runs)} runs are not done; the same command runs them again."
        )


def _check_data(runs: Sequence[Run], download: bool) -> None:
    """Raise ConfigurationError or DataError when data is not there, or cannot be dealt to the peers."""

    def source(run: Run) -> str:
        scenario = run.scenario
        return strict_json([scenario.data_seed, scenario.data.model_dump(mode="json", exclude={"partition"})])

    for _, group in groupby(sorted(runs, key=source), source):
        together = list(group)
        dataset = load_dataset(together[0].scenario, download)
        for run in together:
            try:
                Experiment(run.scenario, dataset)
            except ConfigurationError as error:
                raise ConfigurationError(f"{run.name}: {error}") from error


def _run(
    executor: Executor, runs: Sequence[Run], directory: SweepDirectory, options: SweepOptions, console: Console
) -> tuple[dict[Run, str], bool]:
    """The runs that were lost, each with its reason, and whether Ctrl-C ended the others."""
    lost: dict[Run, str] = {}
    with _Bar(console, len(runs)) as bar:
        try:
            with closing(executor.run(runs, bar.begins)) as outcomes:
                for run, outcome in outcomes:
                    if isinstance(outcome, Lost):
                        lost[run] = outcome.reason
                    else:
                        manifest = outcome.manifest.model_copy(update={"command": options.words_of_run(run)})
                        directory.add(run, Measured(manifest, outcome.rows))
                    bar.ended(run, len(lost))
        except KeyboardInterrupt:
            return lost, True
    return lost, False


def _finish(
    done: Sequence[tuple[Run, Measured]],
    num_runs: int,
    directory: SweepDirectory,
    content: JSON,
    options: SweepOptions,
    console: Console,
) -> list[JSON]:
    """Print the table and write the report over all runs that are done; gives the rows for machines."""
    together = whole(done, num_runs - len(done))
    scenario = done[0][0].point.scenario
    manifest = together.manifest.model_copy(update={"command": options.words(), "scenario": directory.base, **content})
    report = write_run(directory.path, manifest, together.rows)
    ended = [(one.algorithm, one.seed) for one in together.manifest.ended]
    metrics = together.manifest.metrics
    table = summarize(together.rows, metrics, together.manifest.targets, ended)
    notes = [*filter(None, [together.manifest.spread]), *early_ends(together.manifest.ended)]
    for shown in comparison_tables(table, scenario, metrics, Mode(Command.SWEEP), console.width, notes):
        console.print(shown)
    for failure in together.manifest.failures:
        console.print(f"Ended early: {failure}", soft_wrap=True)
    console.print(f"Sweep: {directory.path}\nReport: {report}", soft_wrap=True)
    rows = table_rows(done, together)
    directory.write(content | {"rows": rows})
    return rows


class _Bar:
    """Shows how many runs are done, and which are running; without a terminal, a line for each that has ended."""

    def __init__(self, console: Console, num_runs: int) -> None:
        self._console = console
        self._num_runs, self._num_ended = num_runs, 0
        self._running: list[str] = []
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=console,
            transient=True,
            disable=not console.is_terminal or num_runs == 0,
        )
        self._task = self._progress.add_task("runs", total=num_runs, state="")

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begins(self, run: Run) -> None:
        self._running.append(run.name)
        self._show(0)

    def ended(self, run: Run, num_lost: int) -> None:
        self._num_ended += 1
        if not self._console.is_terminal:
            lost = f" ({num_lost} lost)" if num_lost else ""
            self._console.print(f"{self._num_ended} of {self._num_runs} runs{lost}: {run.name}", soft_wrap=True)
        self._running = [name for name in self._running if name != run.name]  # where a run begins may not be known
        self._progress.update(self._task, description=f"runs ({num_lost} lost)" if num_lost else "runs")
        self._show(1)

    def _show(self, num_ended: int) -> None:
        state = visible(f"running {'; '.join(self._running)}") if self._running else ""
        self._progress.update(self._task, advance=num_ended, state=state)
