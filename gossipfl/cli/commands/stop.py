"""`stop`: ask running peers to end."""

from collections.abc import Sequence
from pathlib import Path

import typer

from gossipfl.cli.terminal.console import new_console
from gossipfl.deploy.stop_over_http import ask_to_stop, checked_urls
from gossipfl.deploy.token_files import read_token
from gossipfl.errors import TransportError


def stop_peers(urls: Sequence[str], token: Path, *, insecure: bool) -> None:
    """`stop`."""
    word, console, is_done = read_token(token), new_console(), True
    for address in checked_urls(urls, insecure=insecure):
        try:
            console.print(f"{ask_to_stop(address, word)} stops", soft_wrap=True)
        except TransportError as error:
            is_done = False
            console.print(str(error), soft_wrap=True)
    if not is_done:
        raise typer.Exit(1)
