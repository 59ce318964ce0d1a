"""The `algorithms`, `topology`, `data` and `scenario` commands: what there is, and what is in it."""

from typing import Annotated, Optional

import typer

from gossipfl.cli import completion
from gossipfl.cli.measure import PATIENCE, Name, OwnSource, Patience, check_name
from gossipfl.cli.options import (
    Address,
    BehindProxy,
    Certs,
    Data,
    Download,
    Insecure,
    Json,
    Listen,
    ScenarioName,
    Set,
    addresses_of,
    host_and_port,
)

topology_app = typer.Typer(help="Who may talk to whom: the graphs that come with gossipfl.", no_args_is_help=True)
data_app = typer.Typer(help="Where examples come from, and who gets which.", no_args_is_help=True)
scenario_app = typer.Typer(help="Scenarios: list, check and describe them.", no_args_is_help=True)


@topology_app.command("list")
def topology_list(json: Json = False) -> None:
    """The topologies that come with gossipfl."""
    from gossipfl.cli.commands.catalogue import list_topologies

    list_topologies(json)


@topology_app.command("show")
def topology_show(
    name: Annotated[
        str, typer.Argument(help="A name from `topology list`, or a graph file.", autocompletion=completion.topologies)
    ],
    json: Json = False,
) -> None:
    """Degrees, diameter, spectral gap and predicted rounds to consensus of a topology."""
    from gossipfl.cli.commands.catalogue import show_topology

    show_topology(name, json)


@data_app.command("show")
def data_show(
    scenario: ScenarioName = "gossip_vs_fedavg",
    set_: Set = None,
    data: Data = None,
    download: Download = False,
    json: Json = False,
    name: Name = None,
    shard: OwnSource = None,
    listen: Listen = None,
    address: Address = None,
    certs: Certs = None,
    behind_proxy: BehindProxy = False,
    insecure: Insecure = False,
    patience: Patience = PATIENCE,
) -> None:
    """Show what each peer of a scenario holds; or, asked over HTTP as one of them, what all hold together."""
    check_name(name, shard=shard, listen=listen, address=address, certs=certs)
    if name is None:
        from gossipfl.cli.commands.catalogue import show_data

        show_data(scenario, set_ or [], data, download, json)
        return
    from gossipfl.cli.commands.measure import show_holdings
    from gossipfl.deploy.measuring_peer import MeasuringOptions

    options = MeasuringOptions(
        name=name,
        listen=host_and_port("--listen", listen) if listen else None,
        addresses=addresses_of(address or []),
        certificates=certs,
        behind_proxy=behind_proxy,
        insecure=insecure,
        shard=shard,
        patience=patience,
        download=download,
    )
    show_holdings(scenario, set_ or [], data, options, json)


@scenario_app.command("list")
def scenario_list() -> None:
    """The scenarios that come with gossipfl."""
    from gossipfl.cli.commands.listings import list_scenarios

    list_scenarios()


@scenario_app.command("show")
def scenario_show(
    scenario: ScenarioName,
    set_: Set = None,
) -> None:
    """Check a scenario and print it as JSON, defaults included."""
    from gossipfl.cli.commands.catalogue import show_scenario

    show_scenario(scenario, set_ or [])


@scenario_app.command("schema")
def scenario_schema() -> None:
    """The JSON schema of scenario files."""
    from gossipfl.cli.commands.listings import print_schema

    print_schema()


def algorithms(
    name: Annotated[
        Optional[str],  # noqa: UP045, typer reads this at run time
        typer.Argument(
            help="A name from the list: its parameters, and how to name it in a scenario. Or a kind, such as "
            "schedules.",
            autocompletion=completion.choices,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List what there is to compare: algorithms, and what they are made of, such as schedules of gossip in rounds."""
    from gossipfl.cli.commands.listings import list_algorithms

    list_algorithms(name, json)
