"""`peer`: one peer of a scenario, in this process."""

import shlex
import sys
from collections.abc import Callable, Sequence

import typer

from gossipfl.cli.commands import loading
from gossipfl.deploy import logs
from gossipfl.deploy.peer_options import PeerOptions
from gossipfl.deploy.peer_process import run_peer
from gossipfl.scenario import Scenario


def run_one_peer(
    name: str,
    overrides: Sequence[str],
    data: str | None,
    options: Callable[[str, Scenario], PeerOptions],
    log_format: str,
    log_level: str,
) -> None:
    """`peer`."""
    scenario = loading.load_with_data(name, overrides, data)
    chosen = options(shlex.join(["gossipfl", *sys.argv[1:]]), scenario)
    logs.configure(log_format, log_level)
    raise typer.Exit(run_peer(scenario, chosen, loading.import_tensorflow))
