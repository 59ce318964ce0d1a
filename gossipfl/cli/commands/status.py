"""`status`: what running peers say of themselves."""

from collections.abc import Sequence

import typer

from gossipfl.cli.terminal.console import new_console, print_json
from gossipfl.cli.terminal.peer_table import peer_table
from gossipfl.deploy.status import ask


def show_status(urls: Sequence[str], as_json: bool) -> None:
    """`status`."""
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
