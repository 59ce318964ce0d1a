"""The `measure` command: what all peers have together, asked without a server, a model or TensorFlow."""

from typing import Annotated, Optional

import typer

from gossipfl.cli import completion
from gossipfl.cli.options import (
    Address,
    AlgorithmLabel,
    BehindProxy,
    Certs,
    Data,
    Download,
    Insecure,
    Json,
    Listen,
    ListenFd,
    LogFormat,
    LogFormatOption,
    LogLevel,
    LogLevelOption,
    ScenarioName,
    Seed,
    Set,
    addresses_of,
    host_and_port,
)

Query = Annotated[
    list[str],
    typer.Option(
        "--query",
        metavar="NAME[:COLUMN][,OPTION=VALUE]",
        help="mean:age, count, quantiles:age,at=0.1/0.9, mean:* (all features that are numbers), top:city,k=5; may be "
        "given several times. docs/analytics.md has all.",
        autocompletion=completion.queries,
    ),
]
Weight = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="COLUMN", help="How much each example counts: for mean, sum, variance and std."),
]
Name = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        help="Ask over HTTP, as this peer of the scenario; every peer runs the same command with its name.",
        autocompletion=completion.peers,
    ),
]
OwnSource = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="SOURCE", help="This peer's own examples, all of them, in place of its part of the data."),
]
Patience = Annotated[
    float,
    typer.Option(
        min=0.1,
        metavar="SECONDS",
        help="Go on without peers that have been silent for so long, for each link on the way to them; the answer "
        "says so.",
    ),
]

PATIENCE = 60.0
"""That of `gossipfl.queries`, which takes a while to import."""


def measure(
    scenario: ScenarioName,
    query: Query,
    weight: Weight = None,
    name: Name = None,
    set_: Set = None,
    algorithm: AlgorithmLabel = None,
    data: Data = None,
    shard: OwnSource = None,
    download: Download = False,
    listen: Listen = None,
    address: Address = None,
    certs: Certs = None,
    behind_proxy: BehindProxy = False,
    insecure: Insecure = False,
    patience: Patience = PATIENCE,
    seed: Seed = None,
    listen_fd: ListenFd = None,
    json: Json = False,
    log_format: LogFormatOption = LogFormat.text,
    log_level: LogLevelOption = LogLevel.info,
) -> None:
    """Ask all peers of a scenario what they have together: means, counts, quantiles, ...; no model is trained."""
    check_name(name, shard=shard, listen=listen, address=address, certs=certs)
    from gossipfl.cli.commands.measure import measure_in_virtual_time, measure_over_http

    if name is None:
        measure_in_virtual_time(scenario, set_ or [], data, query, weight, algorithm, seed, download, json)
        return
    from gossipfl.deploy.measuring_peer import MeasuringOptions

    options = MeasuringOptions(
        name=name,
        algorithm=algorithm,
        seed=seed,
        listen=host_and_port("--listen", listen) if listen else None,
        listen_fd=listen_fd,
        addresses=addresses_of(address or []),
        certificates=certs,
        behind_proxy=behind_proxy,
        insecure=insecure,
        shard=shard,
        patience=patience,
        download=download,
    )
    measure_over_http(scenario, set_ or [], data, query, weight, options, json, log_format.value, log_level.value)


def check_name(name: str | None, **given: object) -> None:
    """Refuse options that only a peer over HTTP has, where none is named."""
    if name is None and (alone := next((option for option, value in given.items() if value is not None), None)):
        raise typer.BadParameter(f"--{alone} is for a peer over HTTP: say which with --name")
