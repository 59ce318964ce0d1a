"""`simulate`, `compare` and `launch`: prepare a run, run it, show what came of it. Ctrl-C keeps what was measured."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from gossipfl.cli.commands import loading
from gossipfl.cli.commands.run_options import RunOptions
from gossipfl.cli.terminal.agreed_table import agreed_table
from gossipfl.cli.terminal.console import INTERRUPTED, new_console, print_json
from gossipfl.cli.terminal.progress import Progress
from gossipfl.cli.terminal.tables import comparison_tables
from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError, GossipFLError, described
from gossipfl.experiments.comparison import Comparison
from gossipfl.experiments.experiment import MakeTrainer
from gossipfl.experiments.fairness import spread, with_bounds
from gossipfl.experiments.mode import EngineKind, Mode, TrainerKind
from gossipfl.experiments.running import MakeEngine, run_all
from gossipfl.history import History
from gossipfl.observers.log_to import LogTo
from gossipfl.report.complete import complete
from gossipfl.runs.agreed_rows import agreed_rows, by_run
from gossipfl.runs.directory import CHECKPOINTS, RunDirectory
from gossipfl.runs.resuming import Checkpoints, RunName, stopped_run
from gossipfl.scenario import Scenario
from gossipfl.scenario.between_processes import between_processes
from gossipfl.scenario.own_scenario import functions_named

if TYPE_CHECKING:
    from gossipfl.dashboard.beside import Dashboard
    from gossipfl.engines.http.status import PeerStatus


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A run that can begin, or go on: what is run, how, what has `ended` already, and where all is recorded."""

    options: RunOptions
    mode: Mode
    scenario: Scenario
    num_seeds: int
    dataset: Dataset
    directory: RunDirectory
    checkpoints: Checkpoints
    ended: Mapping[RunName, History]
    logs: Sequence[LogTo]


def run_scenario(options: RunOptions) -> None:
    """Run all algorithms of a scenario, record them, and print what came of it."""
    console = new_console(stderr=options.as_json)
    prepared = _prepare(options, console)
    _show(prepared, _run(prepared, console), console)


def _prepare(options: RunOptions, console: Console) -> _Prepared:
    """Raises ConfigurationError or DataError for what stands in the way of the run, before its directory is made."""
    for place in options.log_to:
        LogTo(place)  # before anything that takes long
    mode, num_seeds, every = options.mode, options.num_seeds, options.checkpoint_every
    name = options.scenario
    own = None if name is None else loading.load_with_data(name, options.overrides, options.data)
    stopped = None if options.resume is None else stopped_run(options.resume, own)
    if stopped is not None:
        begun = stopped.manifest
        scenario, num_seeds, every = stopped.scenario, len(begun.seeds), every or begun.checkpoint_every
        mode = replace(mode, command=begun.mode.command)
    else:
        assert own is not None
        scenario = with_bounds(own) if mode.adds_bounds else own
        if mode.engine is EngineKind.PROCESSES:
            scenario = between_processes(scenario, scenario.algorithms)
            if scenario.privacy.encryption is not None:
                raise ConfigurationError(
                    "privacy.encryption: launch --processes gives nobody the key that clients share; start them with "
                    "`gossipfl peer --key`, or leave --processes out"
                )
            if scenario.privacy.secure_aggregation is not None:
                raise ConfigurationError(
                    "privacy.secure_aggregation: launch --processes gives peers no certificates, which their keys "
                    "need; start them with `gossipfl peer --certs`, or leave --processes out"
                )
    _check_network(scenario, mode)
    # a download has bars of its own
    with nullcontext() if options.download else console.status("reading the data and starting TensorFlow"):
        dataset = loading.load_dataset(scenario, options.download)
        if mode.trainer is TrainerKind.LOCAL:  # Ray's workers import it
            loading.import_tensorflow()
    if stopped is None:
        directory = RunDirectory.create(options.output, scenario, num_seeds, mode, options.words, every)
        checkpoints = Checkpoints(directory.checkpoints, every)
        logs = [LogTo(place, group=directory.path.resolve().name) for place in options.log_to]
        return _Prepared(options, mode, scenario, num_seeds, dataset, directory, checkpoints, {}, logs)
    checkpoints = Checkpoints(stopped.path / CHECKPOINTS, every)
    saved = checkpoints.evaluations()
    logs = [LogTo(place, group=stopped.path.resolve().name, begun=saved) for place in options.log_to]
    rows = stopped.rows(saved)
    directory = RunDirectory.resume(stopped.path, scenario, mode, stopped.manifest, rows)
    directory.check_data(dataset)
    return _Prepared(options, mode, scenario, num_seeds, dataset, directory, checkpoints, stopped.ended, logs)


def _check_network(scenario: Scenario, mode: Mode) -> None:
    """Raises ConfigurationError when the peers of a scenario cannot all be started over HTTP on this machine."""
    if mode.is_over_http:
        from gossipfl.deploy.loopback import check_descriptors
        from gossipfl.deploy.revocation import refuse_revoked

        refuse_revoked(scenario)
        check_descriptors(scenario, as_processes=mode.engine is EngineKind.PROCESSES)


def _run(prepared: _Prepared, console: Console) -> Comparison:
    """Says where the report is, or how to get one, when the run does not come to its end; then raises what ended it."""
    directory = prepared.directory
    progress = Progress(console, prepared.scenario, prepared.mode)
    try:
        with (
            directory,
            _dashboards(prepared, console) as dashboards,
            _trainers(prepared, console) as make_trainer,
            progress,
        ):
            engines = _engines(prepared, [progress.look, *(dashboard.look for dashboard in dashboards)])
            for dashboard in dashboards:
                engines = dashboard.watched(engines)
            comparison = run_all(
                prepared.scenario,
                prepared.num_seeds,
                [*prepared.logs, directory, progress, *dashboards],
                prepared.dataset,
                engines,
                make_trainer,
                prepared.ended,
            )
    except (OSError, MemoryError) as error:
        if directory.has_begun:
            console.print(_report_anyway(directory, described(error)), soft_wrap=True)
            _print_going_on(prepared, console)
        raise
    except GossipFLError:
        if directory.has_begun:
            console.print(f"For a report of what was measured: gossipfl report {directory.path}", soft_wrap=True)
        raise
    if not directory.has_begun:
        console.print("Interrupted before the run began.")
        raise typer.Exit(INTERRUPTED)
    return comparison


@contextmanager
def _trainers(prepared: _Prepared, console: Console) -> Iterator[MakeTrainer | None]:
    """What makes trainers, where they do not train in this process."""
    if prepared.mode.trainer is TrainerKind.LOCAL:
        yield None
        return
    from gossipfl.training.ray.trainer import RayTrainer, ray_cluster
    from gossipfl.training.ray.workers import RayWorkers

    address = prepared.options.ray_address
    with ExitStack() as stack:
        with console.status("connecting to the Ray cluster" if address else "starting Ray"):
            stack.enter_context(ray_cluster(address))
        yield partial(RayTrainer, RayWorkers())


@contextmanager
def _dashboards(prepared: _Prepared, console: Console) -> Iterator[Sequence["Dashboard"]]:
    """The page that shows the run, where one is wanted."""
    options = prepared.options
    if not options.dashboard and options.dashboard_port is None:
        yield ()
        return
    from gossipfl.dashboard.beside import Dashboard

    with Dashboard(prepared.directory.path, options.dashboard_port or 0) as dashboard:
        console.print(f"Dashboard: {dashboard.address}", soft_wrap=True)
        yield (dashboard,)


def _engines(prepared: _Prepared, looks: Sequence[Callable[[Sequence["PeerStatus"]], None]]) -> MakeEngine:
    """What makes the engine of one algorithm; those over HTTP tell what their peers say to those who `look`."""

    def look(statuses: Sequence["PeerStatus"]) -> None:
        for one in looks:
            one(statuses)

    match prepared.mode.engine:
        case EngineKind.VIRTUAL_TIME:
            return prepared.checkpoints.simulator
        case EngineKind.LOOPBACK:
            from gossipfl.deploy.loopback import loopback_federation

            return partial(loopback_federation, look=look)
        case EngineKind.PROCESSES:
            from gossipfl.deploy.process_federation import ProcessFederation

            extra = ["--download"] if prepared.options.download else []
            place = prepared.directory.peers_directory
            return lambda experiment, section: ProcessFederation(
                experiment, section, place(experiment, section), look, extra
            )


def _report_anyway(directory: RunDirectory, failure: str) -> str:
    """What to say of a run that the machine did not carry: where its report is, if it can be written still."""
    try:
        return f"Report of what was measured: {complete(directory.finish(interrupted=True, failures=[failure]))}"
    except (GossipFLError, OSError, MemoryError):
        return f"For a report of what was measured, when there is room: gossipfl report {directory.path}"


def _show(prepared: _Prepared, comparison: Comparison, console: Console) -> None:
    """Write the report and print what was measured. Raises GossipFLError when an algorithm has failed."""
    directory = prepared.directory
    failures = [history.failure for history in comparison.histories if history.failure is not None]
    with console.status("writing the report"):
        report = complete(directory.finish(interrupted=comparison.interrupted, failures=failures))
    _print_results(comparison, prepared.mode, console)
    if newest := [rows[-1] for rows in by_run(agreed_rows(directory.path)).values()]:
        console.print(agreed_table(newest, comparison.metrics, comparison.histories, comparison.scenario))
    console.print(f"Run: {directory.path}\nReport: {report}", soft_wrap=True)
    if prepared.options.as_json:
        won = [winner.as_json() for winner in comparison.winners]
        rows = [row.as_json() for row in comparison.table]
        stopped = [
            {"label": one.algorithm, "seed": one.seed, "stopped": one.stopped, "best_round": one.best_round}
            for one in comparison.histories
            if one.best_round is not None or one.stopped is not None
        ]
        agreed = [row.model_dump() for row in newest]
        print_json({"run": str(directory.path), "rows": rows, "winners": won, "stopped": stopped, "agreed": agreed})
    if comparison.interrupted:
        console.print("Interrupted: the table and the report show what was measured until then.")
        _print_going_on(prepared, console)
        raise typer.Exit(INTERRUPTED)
    if failures:
        raise GossipFLError("\n".join(failures))


def _print_results(comparison: Comparison, mode: Mode, console: Console) -> None:
    scenario, histories = comparison.scenario, comparison.histories
    contained = spread(scenario, list(dict.fromkeys(history.seed for history in histories)))
    notes = [] if contained is None else [contained]
    notes += [f"Ended early: {history.failure}" for history in histories if history.failure is not None]
    notes += [note for history in histories for note in history.notes()]
    for table in comparison_tables(comparison.table, scenario, comparison.metrics, mode, console.width, notes):
        console.print(table)


def _print_going_on(prepared: _Prepared, console: Console) -> None:
    if prepared.mode.can_go_on:
        own_words = prepared.options.scenario_words if functions_named(prepared.scenario) else []
        run = str(prepared.directory.path)
        words = shlex.join(["gossipfl", prepared.mode.command, *own_words, "--resume", run])
        console.print(f"To go on: {words}", soft_wrap=True)
