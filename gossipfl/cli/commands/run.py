"""What the commands of `cli/app` do."""

import gc
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from gossipfl.cli.terminal.console import (
    Progress,
    comparison_tables,
    evaluation_line,
    new_console,
    peer_table,
    print_json,
    run_name,
    winner_tables,
)
from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError, GossipFLError, described
from gossipfl.scenario import Scenario, load_scenario
from gossipfl.scenario.own_scenario import functions_named

if TYPE_CHECKING:
    from gossipfl.deploy.peer_process import PeerOptions
    from gossipfl.experiments.comparison import Comparison
    from gossipfl.experiments.experiment import MakeTrainer
    from gossipfl.experiments.simulation import MakeEngine
    from gossipfl.runs.directory import RunDirectory

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `simulate`, `compare` and `launch` are told on the command line."""

    scenario: str | None
    overrides: Sequence[str]
    data: str | None
    download: bool
    num_seeds: int
    output: Path | None
    as_json: bool
    over_http: bool = False
    as_processes: bool = False
    on_ray: bool = False
    ray_address: str | None = None
    checkpoint_every: int | None = None
    resume: Path | None = None

    def __post_init__(self) -> None:
        if self.resume is not None and (self.output is not None or self.num_seeds > 1):
            raise ConfigurationError(
                "--resume goes on with what the run was told when it began: leave out --seeds and --output"
            )
        if self.resume is not None and self.scenario is None and (self.overrides or self.data is not None):
            raise ConfigurationError(
                "--resume goes on with what the run was told when it began: leave out --set and --data, or name the "
                "scenario, too"
            )
        if self.over_http and (self.resume or self.checkpoint_every):
            raise ConfigurationError(
                "--checkpoint-every and --resume are for runs in virtual time; peers over HTTP save themselves, and go "
                "on with `gossipfl peer ... --resume`"
            )
        if self.on_ray and self.over_http:
            raise ConfigurationError("--trainer ray is for runs in virtual time: leave --engine http out")
        if self.ray_address is not None and not self.on_ray:
            raise ConfigurationError("--ray-address is for training on Ray: add --trainer ray")

    @property
    def scenario_words(self) -> list[str]:
        """What to type to name the same scenario again."""
        words = [str(self.scenario)]
        for override in self.overrides:
            words += ["--set", override]
        return words if self.data is None else [*words, "--data", self.data]

    def words(self, command: str) -> str:
        """What to type to run the same again."""
        words = ["gossipfl", command, *self.scenario_words]
        if self.num_seeds > 1:
            words += ["--seeds", str(self.num_seeds)]
        if command == "compare" and self.over_http:
            words += ["--engine", "http"]
        if self.as_processes:
            words += ["--processes"]
        if self.on_ray:
            words += ["--trainer", "ray"]
        if self.ray_address is not None:
            words += ["--ray-address", self.ray_address]
        if self.checkpoint_every is not None:
            words += ["--checkpoint-every", str(self.checkpoint_every)]
        return shlex.join(words)


def run_scenario(command: str, options: RunOptions) -> None:
    """`simulate`, `compare` and `launch`: run, record, report; Ctrl-C keeps what was measured."""
    from gossipfl.experiments.simulation import run_all, with_bounds
    from gossipfl.report.complete import complete
    from gossipfl.runs.directory import CHECKPOINTS, RunDirectory
    from gossipfl.runs.manifest import HTTP, VIRTUAL_TIME
    from gossipfl.runs.resuming import Checkpoints, stopped_run

    own = None if options.scenario is None else load_with_data(options.scenario, options.overrides, options.data)
    stopped = None if options.resume is None else stopped_run(options.resume, own)
    if stopped is not None:
        command, scenario, num_seeds = stopped.command, stopped.scenario, stopped.num_seeds
    else:
        assert own is not None
        scenario, num_seeds = with_bounds(own) if command == "compare" else own, options.num_seeds
    if options.over_http:
        from gossipfl.deploy.deployment import check_descriptors, refuse_revoked

        refuse_revoked(scenario)
        check_descriptors(scenario, as_processes=options.as_processes)
    console = new_console(stderr=options.as_json)
    # a download has bars of its own
    with nullcontext() if options.download else console.status("reading the data and starting TensorFlow"):
        dataset = load_dataset(scenario, options.download)
        if not options.on_ray:  # its workers import it
            _import_tensorflow()
    engine, every = HTTP if options.over_http else VIRTUAL_TIME, options.checkpoint_every
    if stopped is None:
        directory = RunDirectory.create(options.output, scenario, num_seeds, options.words(command), engine, every)
        checkpoints = Checkpoints(directory.checkpoints, every)
    else:
        checkpoints = Checkpoints(stopped.path / CHECKPOINTS, every or stopped.checkpoint_every)
        rows = stopped.rows(checkpoints.evaluations())
        directory = RunDirectory.resume(stopped.path, scenario, stopped.manifest, rows)
        directory.check_data(dataset)
    progress = Progress(console, scenario, prints_evaluations=command != "compare", engine=engine)
    make_engine = _http_engine(options, directory, progress) if options.over_http else checkpoints.simulator
    ended = {} if stopped is None else stopped.ended
    try:
        with directory, _trainers(options, console) as make_trainer, progress:
            comparison = run_all(scenario, num_seeds, [directory, progress], dataset, make_engine, make_trainer, ended)
    except (OSError, MemoryError) as error:
        if directory.has_begun:
            console.print(_report_anyway(directory, described(error)), soft_wrap=True)
            _print_going_on(console, command, options, scenario, directory.path)
        raise
    except GossipFLError:
        if directory.has_begun:
            console.print(f"For a report of what was measured: gossipfl report {directory.path}", soft_wrap=True)
        raise
    if not directory.has_begun:
        console.print("Interrupted before the run began.")
        raise typer.Exit(INTERRUPTED)
    failures = [history.failure for history in comparison.histories if history.failure is not None]
    with console.status("writing the report"):
        report = complete(directory.finish(interrupted=comparison.interrupted, failures=failures))
    _print_results(command, options, console, comparison, engine)
    console.print(f"Run: {directory.path}\nReport: {report}", soft_wrap=True)
    if options.as_json:
        won = [winner.as_json() for winner in comparison.winners]
        print_json({"run": str(directory.path), "rows": [row.as_json() for row in comparison.table], "winners": won})
    if comparison.interrupted:
        console.print("Interrupted: the table and the report show what was measured until then.")
        _print_going_on(console, command, options, scenario, directory.path)
        raise typer.Exit(INTERRUPTED)
    if failures:
        raise GossipFLError("\n".join(failures))


def _report_anyway(directory: "RunDirectory", failure: str) -> str:
    """What to say of a run that the machine did not carry: where its report is, if it can be written still."""
    from gossipfl.report.complete import complete

    try:
        return f"Report of what was measured: {complete(directory.finish(interrupted=True, failures=[failure]))}"
    except (GossipFLError, OSError, MemoryError):
        return f"For a report of what was measured, when there is room: gossipfl report {directory.path}"


def _print_going_on(console: Console, command: str, options: RunOptions, scenario: Scenario, run: Path) -> None:
    if not options.over_http:
        own_words = options.scenario_words if functions_named(scenario) else []
        words = shlex.join(["gossipfl", command, *own_words, "--resume", str(run)])
        console.print(f"To go on: {words}", soft_wrap=True)


@contextmanager
def _trainers(options: RunOptions, console: Console) -> "Iterator[MakeTrainer | None]":
    """What makes trainers, where they do not train in this process."""
    if not options.on_ray:
        yield None
        return
    from gossipfl.training.ray.trainer import RayTrainer, ray_cluster
    from gossipfl.training.ray.workers import RayWorkers

    with ExitStack() as stack:
        with console.status("connecting to the Ray cluster" if options.ray_address else "starting Ray"):
            stack.enter_context(ray_cluster(options.ray_address))
        yield partial(RayTrainer, RayWorkers())


def _http_engine(options: RunOptions, directory: "RunDirectory", progress: Progress) -> "MakeEngine":
    if not options.as_processes:
        from gossipfl.deploy.deployment import loopback_federation

        return lambda experiment, section: loopback_federation(experiment, section, progress.look)
    from gossipfl.deploy.process_federation import ProcessFederation

    extra = ["--download"] if options.download else []
    return lambda experiment, section: ProcessFederation(
        experiment, section, directory.peers_directory(experiment, section), progress.look, extra
    )


def _print_results(command: str, options: RunOptions, console: Console, comparison: "Comparison", engine: str) -> None:
    from gossipfl.runs.manifest import spread

    scenario = comparison.scenario
    if command != "simulate":
        seeds = list(dict.fromkeys(history.seed for history in comparison.histories))
        notes = [] if (contained := spread(scenario, seeds)) is None else [contained]
        notes += [f"Ended early: {history.failure}" for history in comparison.histories if history.failure is not None]
        notes += [note for history in comparison.histories for note in history.notes()]
        for table in comparison_tables(comparison.table, scenario, console.width, engine, notes):
            console.print(table)
        return
    for history in comparison.histories:
        if history.evaluations:
            name = run_name(history.algorithm, history.seed, scenario)
            console.print(evaluation_line(name, history.last, final=True), soft_wrap=True)
        for note in history.notes():
            console.print(note, soft_wrap=True)
    for table in winner_tables(comparison.table, engine):
        console.print(table)


def run_one_peer(
    name: str,
    overrides: Sequence[str],
    data: str | None,
    options: "Callable[[str, Scenario], PeerOptions]",
    log_format: str,
    log_level: str,
) -> None:
    """`peer`."""
    from gossipfl.deploy import logs
    from gossipfl.deploy.peer_process import run_peer

    scenario = load_with_data(name, overrides, data)
    chosen = options(shlex.join(["gossipfl", *sys.argv[1:]]), scenario)
    logs.configure(log_format, log_level)
    raise typer.Exit(run_peer(scenario, chosen, _import_tensorflow))


def show_status(urls: Sequence[str], as_json: bool) -> None:
    """`status`."""
    from gossipfl.deploy.status import ask

    answers = {url: ask(url) for url in urls}
    if as_json:
        print_json(answers)
    else:
        console = new_console()
        console.print(peer_table([answer for answer in answers.values() if "error" not in answer]))
        for url, answer in answers.items():
            if "error" in answer:
                console.print(f"{url}: {answer['error']}", soft_wrap=True)
    if any("error" in answer for answer in answers.values()):
        raise typer.Exit(1)


def gather_peers(directories: Sequence[Path], output: Path, scenario: str | None, overrides: Sequence[str]) -> None:
    """`gather`."""
    from gossipfl.report.complete import complete
    from gossipfl.runs.gathering import gather

    own = None if scenario is None else load_scenario(scenario, overrides)
    new_console().print(f"Run: {output}\nReport: {complete(gather(directories, output, own))}", soft_wrap=True)


def export_model(
    run: Path,
    peer: str | None,
    average: bool,
    algorithm: str | None,
    seed: int | None,
    output: Path,
    scenario: str | None,
    overrides: Sequence[str],
) -> None:
    """`export`."""
    from gossipfl.runs.export import export

    if (peer is None) == (not average):
        raise ConfigurationError("say which model to export: --peer NAME, or --average")
    own = None if scenario is None else load_scenario(scenario, overrides)
    _import_tensorflow()
    new_console().print(f"Model: {export(run, peer, algorithm, seed, output, own)}", soft_wrap=True)


def make_authority(directory: Path, days: int) -> None:
    """`certs init`."""
    from gossipfl.engines.http.trust.certificates import create_authority

    create_authority(directory, days)
    new_console().print(
        f"Authority: {directory / 'ca.pem'} (give it to every peer)\nIts key: {directory / 'ca.key'} (keep it here)",
        soft_wrap=True,
    )


def issue_certificates(directory: Path, names: Sequence[str], days: int, proxy: bool) -> None:
    """`certs issue`."""
    from gossipfl.engines.http.trust.certificates import issue

    console = new_console()
    for name in names:
        path = issue(directory, name, days, proxy=proxy)
        console.print(f"{name}: {path} and {path.with_suffix('.key')}", soft_wrap=True)


def show_certificates(directory: Path, as_json: bool) -> None:
    """`certs show`."""
    from gossipfl.engines.http.trust.certificates import described

    facts = described(directory)
    if as_json:
        print_json([{key: str(value) for key, value in asdict(fact).items()} for fact in facts])
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("name", "kind", "valid until", "days left", "SHA-256 of the certificate"):
        table.add_column(column, overflow="fold")
    for fact in facts:
        left = str(fact.days_left) if fact.days_left >= 0 else "expired"
        table.add_row(fact.name, fact.kind, f"{fact.not_after:%Y-%m-%d}", left, fact.fingerprint)
    new_console().print(table)


def rewrite_report(run: Path) -> None:
    """`report`."""
    from gossipfl.report.complete import complete

    left_out: list[str] = []
    console = new_console()
    console.print(f"Report: {complete(run, left_out)}", soft_wrap=True)
    for sentence in left_out:
        console.print(sentence, soft_wrap=True, markup=False)


def load_with_data(name: str, overrides: Sequence[str], data: str | None) -> Scenario:
    """The scenario of that name with what is overridden; `data` is in the place of its source."""
    scenario = load_scenario(name, overrides)
    return scenario if data is None else scenario.with_changes(data=scenario.data.model_copy(update={"source": data}))


def load_dataset(scenario: Scenario, download: bool) -> Dataset:
    """The data set of a scenario; what reading one of tensorflow-datasets writes on the terminal is left out."""
    from gossipfl.experiments.experiment import load_data

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
            gc.freeze()  # a million objects that stay: to look at them again took 0.4 s now and then
        except Exception:
            notes.seek(0)
            os.write(standard_error, notes.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
