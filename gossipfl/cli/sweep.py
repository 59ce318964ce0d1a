"""The `sweep` command: many simulations side by side."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from gossipfl.cli import completion
from gossipfl.cli.options import Data, Download, Json, ScenarioName, Seeds, Set


def sweep(
    scenario: ScenarioName,
    set_grid: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="FIELD=VALUE,VALUE,...",
            help="Run with each value of a field, in all combinations: --set-grid training.batch_size=10,50",
            autocompletion=completion.overrides,
        ),
    ] = None,
    set_: Set = None,
    data: Data = None,
    download: Download = False,
    seeds: Seeds = 1,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Directory for the sweep; runs that are in it already are skipped. [default: runs/sweep-NAME]"
        ),
    ] = None,
    jobs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="At most so many runs at a time, each on one core. [default: one per core]"),
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Run on Ray: a cluster that is there, or this machine.")] = False,
    ray_address: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="ADDRESS", help="Run on the Ray cluster at this address (implies --ray)."),
    ] = None,
    json: Json = False,
) -> None:
    """Run a scenario with every combination of some values, with several seeds; the same command again goes on."""
    from gossipfl.cli.commands.sweep import SweepOptions, run_sweep

    if jobs is not None and (ray or ray_address):
        raise typer.BadParameter("--jobs is for processes of this machine; how much runs on Ray at a time, Ray decides")
    run_sweep(
        SweepOptions(scenario, set_grid or [], set_ or [], data, download, seeds, output, jobs, ray, ray_address, json)
    )
