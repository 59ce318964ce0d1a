"""The command line. Only typer is imported here; each command imports what it needs, so that `--help` is quick."""

import io
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from gossipfl import __version__
from gossipfl.cli import completion
from gossipfl.cli.audit import audit
from gossipfl.cli.catalogue import algorithms, data_app, scenario_app, topology_app
from gossipfl.cli.certs import certs_app
from gossipfl.cli.live import dashboard as follow_peers
from gossipfl.cli.live import status, stop
from gossipfl.cli.measure import measure
from gossipfl.cli.options import (
    Address,
    AlgorithmLabel,
    BehindProxy,
    Certs,
    CheckpointEvery,
    Dashboard,
    DashboardPort,
    Data,
    Download,
    EngineName,
    Insecure,
    Json,
    Listen,
    ListenFd,
    LogFormat,
    LogFormatOption,
    LogLevel,
    LogLevelOption,
    LogTo,
    OptionalScenarioName,
    Output,
    RayAddress,
    Resume,
    ScenarioName,
    Seed,
    Seeds,
    Set,
    Trainer,
    TrainerName,
    addresses_of,
    host_and_port,
)
from gossipfl.cli.privacy import privacy_app
from gossipfl.cli.report import report, table
from gossipfl.cli.sweep import sweep

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(topology_app, name="topology")
app.add_typer(data_app, name="data")
app.add_typer(scenario_app, name="scenario")
app.add_typer(certs_app, name="certs")
app.add_typer(privacy_app, name="privacy")


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"gossipfl {__version__}")
        raise typer.Exit


@app.callback()
def gossipfl(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Decentralized deep learning for Keras: simulate gossip, deploy its peers, and compare it with FedAvg."""


@app.command()
def simulate(
    scenario: OptionalScenarioName = None,
    set_: Set = None,
    data: Data = None,
    download: Download = False,
    seeds: Seeds = 1,
    output: Output = None,
    json: Json = False,
    log_to: LogTo = None,
    checkpoint_every: CheckpointEvery = None,
    resume: Resume = None,
    trainer: Trainer = TrainerName.local,
    ray_address: RayAddress = None,
    dashboard: Dashboard = False,
    dashboard_port: DashboardPort = None,
) -> None:
    """Run every algorithm of a scenario in virtual time."""
    if scenario is None and resume is None:
        raise typer.BadParameter("name a scenario (`gossipfl scenario list` has some), or a run to --resume")
    from gossipfl.cli.commands.run import run_scenario
    from gossipfl.cli.commands.run_options import RunOptions
    from gossipfl.experiments.mode import Command, Mode, TrainerKind

    options = RunOptions(
        Mode(Command.SIMULATE, trainer=TrainerKind(trainer)),
        scenario,
        set_ or [],
        data,
        download,
        seeds,
        output,
        json,
        log_to=log_to or [],
        ray_address=ray_address,
        checkpoint_every=checkpoint_every,
        resume=resume,
        dashboard=dashboard,
        dashboard_port=dashboard_port,
    )
    run_scenario(options)


@app.command()
def compare(
    scenario: OptionalScenarioName = None,
    set_: Set = None,
    data: Data = None,
    download: Download = False,
    seeds: Seeds = 1,
    output: Output = None,
    json: Json = False,
    log_to: LogTo = None,
    engine: Annotated[
        EngineName, typer.Option(help="In virtual time, or over real HTTP on this machine.")
    ] = EngineName.virtual,
    checkpoint_every: CheckpointEvery = None,
    resume: Resume = None,
    trainer: Trainer = TrainerName.local,
    ray_address: RayAddress = None,
    dashboard: Dashboard = False,
    dashboard_port: DashboardPort = None,
) -> None:
    """Run a scenario (by default gossip_vs_fedavg) with local-only and centralized training as bounds, and print the
    common table."""
    if scenario is None and resume is None:
        scenario = "gossip_vs_fedavg"
    from gossipfl.cli.commands.run import run_scenario
    from gossipfl.cli.commands.run_options import RunOptions
    from gossipfl.experiments.mode import Command, EngineKind, Mode, TrainerKind

    carrier = EngineKind.LOOPBACK if engine is EngineName.http else EngineKind.VIRTUAL_TIME
    options = RunOptions(
        Mode(Command.COMPARE, carrier, TrainerKind(trainer)),
        scenario,
        set_ or [],
        data,
        download,
        seeds,
        output,
        json,
        log_to=log_to or [],
        ray_address=ray_address,
        checkpoint_every=checkpoint_every,
        resume=resume,
        dashboard=dashboard,
        dashboard_port=dashboard_port,
    )
    run_scenario(options)


app.command()(sweep)
app.command()(measure)
app.command()(audit)
app.command()(algorithms)


@app.command()
def launch(
    scenario: ScenarioName,
    set_: Set = None,
    data: Data = None,
    download: Download = False,
    seeds: Seeds = 1,
    output: Output = None,
    json: Json = False,
    log_to: LogTo = None,
    processes: Annotated[
        bool, typer.Option("--processes", help="A process for each peer, instead of all in this one.")
    ] = False,
    dashboard: Dashboard = False,
    dashboard_port: DashboardPort = None,
) -> None:
    """Run every algorithm of a scenario in real time: all its peers on this machine, over HTTP."""
    from gossipfl.cli.commands.run import run_scenario
    from gossipfl.cli.commands.run_options import RunOptions
    from gossipfl.experiments.mode import Command, EngineKind, Mode

    mode = Mode(Command.LAUNCH, EngineKind.PROCESSES if processes else EngineKind.LOOPBACK)
    options = RunOptions(
        mode,
        scenario,
        set_ or [],
        data,
        download,
        seeds,
        output,
        json,
        log_to or [],
        dashboard=dashboard,
        dashboard_port=dashboard_port,
    )
    run_scenario(options)


@app.command()
def peer(
    scenario: ScenarioName,
    name: Annotated[str, typer.Option(help="Which peer of the scenario this is.", autocompletion=completion.peers)],
    set_: Set = None,
    algorithm: AlgorithmLabel = None,
    data: Data = None,
    shard: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="SOURCE",
            help="This peer's own examples, all that are not held out, in place of its part of the data.",
        ),
    ] = None,
    download: Download = False,
    listen: Listen = None,
    address: Address = None,
    certs: Certs = None,
    behind_proxy: BehindProxy = False,
    insecure: Insecure = False,
    initial: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Begin with these weights (.safetensors, .keras, .weights.h5), the same at every peer."),
    ] = None,
    run_directory: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Where checkpoints and results go. [default: runs/SCENARIO-NAME]"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint in the run directory, if there is one.")
    ] = False,
    time: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0.0, metavar="SECONDS", help="Leave after so much time, whatever the rounds."),
    ] = None,
    watch: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to serve /healthz, /status and /metrics; port 0 is any.")
    ] = "127.0.0.1:0",
    seed: Seed = None,
    key: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="The key by which clients encrypt (`gossipfl privacy key`); not the server."),
    ] = None,
    listen_fd: ListenFd = None,
    give_weights: Annotated[
        bool, typer.Option("--give-weights", help="Serve the present weights at /weights of the watching port, too.")
    ] = False,
    stop_token: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Let `gossipfl stop` end this peer, for those who have the token in this file (mode 600).",
        ),
    ] = None,
    log_format: LogFormatOption = LogFormat.text,
    log_level: LogLevelOption = LogLevel.info,
) -> None:
    """Run one peer of a scenario, until its rounds or its time are done, or until SIGTERM."""
    from gossipfl.cli.commands.peer import run_one_peer
    from gossipfl.deploy.peer_options import PeerOptions

    run_one_peer(
        scenario,
        set_ or [],
        data,
        lambda command, chosen: PeerOptions(
            name=name,
            run_directory=run_directory or Path("runs") / f"{chosen.name}-{name}",
            command=command,
            algorithm=algorithm,
            seed=seed,
            listen=host_and_port("--listen", listen) if listen else None,
            listen_fd=listen_fd,
            addresses=addresses_of(address or []),
            watch=host_and_port("--watch", watch),
            certificates=certs,
            behind_proxy=behind_proxy,
            insecure=insecure,
            shard=shard,
            initial=initial,
            resume=resume,
            seconds=time,
            download=download,
            key=key,
            gives_weights=give_weights,
            stop_token=stop_token,
        ),
        log_format.value,
        log_level.value,
    )


app.command()(status)
app.command()(stop)
app.command("dashboard")(follow_peers)


@app.command()
def gather(
    directories: Annotated[list[Path], typer.Argument(metavar="DIRECTORY...", help="Run directories of single peers.")],
    output: Annotated[Path, typer.Option(help="Directory for the whole run; must be new or empty.")],
    scenario: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="SCENARIO", help="Refuse directories of another scenario than this one of yours."),
    ] = None,
    set_: Set = None,
    evaluate: Annotated[
        bool,
        typer.Option("--evaluate", help="Measure the average model, too, on the held-out data of --scenario."),
    ] = False,
) -> None:
    """Put the run directories of a run's peers together into one, with one report."""
    from gossipfl.cli.commands.directories import gather_peers

    gather_peers(directories, output, scenario, set_ or [], evaluate)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="The directory of a run, or of one peer's run.")],
    output: Annotated[Path, typer.Option(help="A new .keras or .weights.h5 file.")],
    peer: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NAME", help="The final model of this peer."),
    ] = None,
    average: Annotated[
        bool, typer.Option("--average", help="The average of all peers' final models (the server's, for FedAvg).")
    ] = False,
    best: Annotated[
        bool,
        typer.Option("--best", help="The average model of the best round, of a run whose scenario has `stop`."),
    ] = False,
    algorithm: AlgorithmLabel = None,
    seed: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Which of the run's seeds. [default: the first]"),
    ] = None,
    scenario: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="SCENARIO",
            help="Build the model as this scenario of yours says. Needed for a model that is package.module:function: "
            "code that a run directory names is not run, for it may come from elsewhere.",
        ),
    ] = None,
    set_: Set = None,
) -> None:
    """Write a final or the best model of a run as a file that Keras opens."""
    from gossipfl.cli.commands.directories import export_model

    export_model(run, peer, average, best, algorithm, seed, output, scenario, set_ or [])


app.command()(report)
app.command()(table)


def _never_fail_to_print() -> None:
    """A character that the terminal's encoding lacks is a question mark, so that no table is lost at the end of a run.

    Paths may hold bytes that are text in no encoding, so it is no matter of ASCII alone.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main() -> None:
    """Run the command line; what gossipfl reports on purpose is one line on standard error, never a traceback."""
    from gossipfl.errors import GossipFLError, described
    from gossipfl.names.visible_text import visible_lines

    _never_fail_to_print()
    try:
        app()
    except (GossipFLError, OSError, MemoryError) as error:  # a full disk, a directory that is not writable
        sentence = str(error) if isinstance(error, GossipFLError) else described(error)
        sys.stderr.write(f"Error: {visible_lines(sentence)}\n")
        sys.exit(1)
