"""Arguments and options that several commands of the command line share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from gossipfl.cli import completion

ScenarioName = Annotated[
    str,
    typer.Argument(help="A scenario file, or the name of one in simulations/.", autocompletion=completion.scenarios),
]
OptionalScenarioName = Annotated[
    Optional[str],  # noqa: UP045, typer reads this at run time
    typer.Argument(
        metavar="[SCENARIO]",
        help="A scenario file, or the name of one in simulations/.",
        autocompletion=completion.scenarios,
    ),
]
Set = Annotated[
    Optional[list[str]],  # noqa: UP045, typer reads this at run time
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Override a field of the scenario: --set training.batch_size=32",
        autocompletion=completion.overrides,
    ),
]
Data = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        help="Take another data source: digits, csv:FILE, npz:FILE, folder:DIRECTORY, text:FILE, tfds:NAME, others of "
        "docs/data.md, or package.module:function",
        autocompletion=completion.sources,
    ),
]
Download = Annotated[bool, typer.Option("--download", help="Fetch a tensorflow-datasets set that is not there yet.")]
Seeds = Annotated[int, typer.Option(min=1, help="Repeat with so many seeds; shows mean and spread.")]
Output = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Directory for the run; must be new or empty. [default: runs/NAME-DATE-TIME]"),
]
AlgorithmLabel = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="LABEL",
        help="Which of the scenario's algorithms, where it has several.",
        autocompletion=completion.labels,
    ),
]
Certificates = Annotated[Path, typer.Option(help="Directory of the run's certificates.")]
RayAddress = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="HOST:PORT", help="The head of a Ray cluster. [default: start one on this machine]"),
]
CheckpointEvery = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        min=1,
        metavar="ROUNDS",
        help="Save the whole federation every so many rounds. Fewer: less is lost, at the expense of time on disk.",
    ),
]
Resume = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(metavar="RUN", help="Go on with the run in this directory, from what was saved last."),
]
LogTo = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        metavar="PLACE",
        help="Log every evaluation, too: to tensorboard:DIRECTORY, mlflow:TRACKING_URI or wandb:PROJECT (offline).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]

Dashboard = Annotated[
    bool, typer.Option("--dashboard", help="Serve a page on this machine that shows the run as it goes on.")
]
DashboardPort = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=0, max=65535, metavar="PORT", help="Where; it stands for --dashboard, too. [default: a free one]"),
]

Listen = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="HOST:PORT", help="Where to listen. [default: the peer's address in the topology]"),
]
Address = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        metavar="NAME=URL", help="Where a neighbor (or this peer) is, beside or instead of the address in the topology."
    ),
]
Certs = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Directory with ca.pem, NAME.pem and NAME.key: mutual TLS, and every message is signed."),
]
BehindProxy = Annotated[
    bool, typer.Option("--behind-proxy", help="A proxy ends TLS: listen in the clear; messages stay signed.")
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Talk to other machines in the clear, for networks that are trusted.")
]
Seed = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=0, help="Of this run. [default: the scenario's]"),
]
ListenFd = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=0, hidden=True, help="A socket that is listening already."),
]


class EngineName(StrEnum):
    virtual = "virtual"
    http = "http"


class TrainerName(StrEnum):
    local = "local"
    ray = "ray"


Trainer = Annotated[TrainerName, typer.Option(help="Train in this process, or on a Ray cluster.")]


class LogFormat(StrEnum):
    text = "text"
    json = "json"


class LogLevel(StrEnum):
    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


LogFormatOption = Annotated[LogFormat, typer.Option("--log-format", help="Lines for people, or JSON for machines.")]
LogLevelOption = Annotated[LogLevel, typer.Option("--log-level", help="The least that is written.")]


def host_and_port(option: str, text: str) -> tuple[str, int]:
    """The host and the port of HOST:PORT, as an option has it."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) < 2**16):
        raise typer.BadParameter(f"{option} is HOST:PORT, for example 127.0.0.1:7000; got {text!r}")
    return host.strip("[]"), int(port)


def addresses_of(pairs: list[str]) -> dict[str, str]:
    """The addresses of peers by name, from NAME=URL each."""
    found = {}
    for pair in pairs:
        name, equals, url = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"--address is NAME=URL, for example berlin=http://127.0.0.1:7001; got {pair!r}")
        found[name] = url
    return found
