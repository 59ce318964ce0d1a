"""The `privacy` commands of the command line."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from gossipfl.cli.options import Data, Download, Json, ScenarioName, Set

privacy_app = typer.Typer(help="What a run tells of its data, and what it costs to tell less.", no_args_is_help=True)


@privacy_app.callback()
def _group() -> None:
    """Has its commands named, also while there is one."""


@privacy_app.command("plan")
def privacy_plan(
    scenario: ScenarioName,
    epsilon: Annotated[
        Optional[float],  # noqa: UP045, typer reads this at run time
        typer.Option(help="Find the least noise with which all rounds stay within this epsilon."),
    ] = None,
    level: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="example|peer|server", help="What is protected. [default: as in the scenario]"),
    ] = None,
    set_: Set = None,
    data: Data = None,
    download: Download = False,
    json: Json = False,
) -> None:
    """Show the noise, the rounds and the epsilon of a scenario with differential privacy, before it runs."""
    from gossipfl.cli.commands.privacy import show_plan

    show_plan(scenario, epsilon, level, set_ or [], data, download, json)


@privacy_app.command("key")
def privacy_key(
    scenario: ScenarioName,
    file: Annotated[Path, typer.Argument(help="Where to write it, for its owner only.")],
    set_: Set = None,
) -> None:
    """Make the key by which the clients of a scenario encrypt; copy it to each of them, and never to the server."""
    from gossipfl.cli.commands.privacy_key import make_key

    make_key(scenario, file, set_ or [])
