"""The command line. Only typer is imported here; each command imports what it needs, so that `--help` is quick."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from gossipfl import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
topology_app = typer.Typer(help="Who may talk to whom: the graphs that come with gossipfl.", no_args_is_help=True)
data_app = typer.Typer(help="Where examples come from, and who gets which.", no_args_is_help=True)
scenario_app = typer.Typer(help="Scenarios: list, check and describe them.", no_args_is_help=True)
app.add_typer(topology_app, name="topology")
app.add_typer(data_app, name="data")
app.add_typer(scenario_app, name="scenario")

ScenarioName = Annotated[str, typer.Argument(help="A scenario file, or the name of one in simulations/.")]
Set = Annotated[
    Optional[list[str]],  # noqa: UP045, typer reads this at run time
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of the scenario: --set training.batch_size=32"),
]
Data = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        help="Take another data source: digits, tfds:NAME, idx:DIRECTORY, npz:FILE or package.module:function"
    ),
]
Download = Annotated[bool, typer.Option("--download", help="Fetch a tensorflow-datasets set that is not there yet.")]
Seeds = Annotated[int, typer.Option(min=1, help="Repeat with so many seeds; shows mean and spread.")]
Output = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Directory for the run; must be new or empty. [default: runs/NAME-DATE-TIME]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]


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
    """Decentralized deep learning for Keras: simulate gossip between peers, and compare it with FedAvg."""


@app.command()
def simulate(
    scenario: ScenarioName,
    set_: Set = None,
    data: Data = None,
    download: Download = False,
    seeds: Seeds = 1,
    output: Output = None,
    json: Json = False,
) -> None:
    """Run every algorithm of a scenario in virtual time."""
    from gossipfl.commands import run_scenario

    run_scenario("simulate", scenario, set_ or [], data, download, seeds, output, json)


@app.command()
def compare(
    scenario: ScenarioName = "gossip_vs_fedavg",
    set_: Set = None,
    data: Data = None,
    download: Download = False,
    seeds: Seeds = 1,
    output: Output = None,
    json: Json = False,
) -> None:
    """Run a scenario with local-only and centralized training as bounds, and print the common table."""
    from gossipfl.commands import run_scenario

    run_scenario("compare", scenario, set_ or [], data, download, seeds, output, json)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="The directory of a run.")]) -> None:
    """Write a run's report.html again, also for a run that was killed."""
    from gossipfl.commands import rewrite_report

    rewrite_report(run)


@topology_app.command("list")
def topology_list(json: Json = False) -> None:
    """The topologies that come with gossipfl."""
    from gossipfl.commands import list_topologies

    list_topologies(json)


@topology_app.command("show")
def topology_show(
    name: Annotated[str, typer.Argument(help="A name from `topology list`, or a graph file.")],
    json: Json = False,
) -> None:
    """Degrees, diameter, spectral gap and predicted rounds to consensus of a topology."""
    from gossipfl.commands import show_topology

    show_topology(name, json)


@data_app.command("show")
def data_show(
    scenario: ScenarioName = "gossip_vs_fedavg",
    set_: Set = None,
    data: Data = None,
    download: Download = False,
    json: Json = False,
) -> None:
    """What each peer of a scenario holds."""
    from gossipfl.commands import show_data

    show_data(scenario, set_ or [], data, download, json)


@scenario_app.command("list")
def scenario_list() -> None:
    """The scenarios that come with gossipfl."""
    from gossipfl.commands import list_scenarios

    list_scenarios()


@scenario_app.command("show")
def scenario_show(
    scenario: ScenarioName,
    set_: Set = None,
) -> None:
    """Check a scenario and print it as JSON, defaults included."""
    from gossipfl.commands import show_scenario

    show_scenario(scenario, set_ or [])


@scenario_app.command("schema")
def scenario_schema() -> None:
    """The JSON schema of scenario files."""
    from gossipfl.commands import print_schema

    print_schema()


def main() -> None:
    """Run the command line; what gossipfl reports on purpose is one line on standard error, never a traceback."""
    from gossipfl.errors import GossipFLError

    # A user's own package.module:function may lie in the current directory. At the end of the path, it cannot stand in
    # for an installed module.
    sys.path.append("")
    try:
        app()
    except (GossipFLError, OSError) as error:  # OSError: a full disk, a directory that is not writable
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(1)
