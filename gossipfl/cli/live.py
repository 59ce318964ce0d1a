"""The commands that watch running peers: and end them: `status`, `dashboard`, `stop`."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from gossipfl.cli.options import Json, host_and_port

Urls = Annotated[list[str], typer.Argument(metavar="URL...", help="Where peers are watched: http://HOST:PORT")]


def status(
    urls: Urls,
    json: Json = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on showing it, until Ctrl-C; with --json, a line for every answer.")
    ] = False,
) -> None:
    """Show what running peers say of themselves."""
    from gossipfl.cli.commands.status import follow_status, show_status

    (follow_status if follow else show_status)(urls, json)


def stop(
    urls: Urls,
    token: Annotated[
        Path, typer.Option(metavar="FILE", help="The token that the peers were started with (`peer --stop-token`).")
    ],
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Send the token to other machines in the clear, too.")
    ] = False,
) -> None:
    """End running peers, as SIGTERM does: each drops its unfinished round, and may go on later with --resume."""
    from gossipfl.cli.commands.stop import stop_peers

    stop_peers(urls, token, insecure=insecure)


def dashboard(
    urls: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[URL]...", help="Where peers are watched: http://HOST:PORT"),
    ] = None,
    peers: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="URL", help="Stands before the URLs, or before each."),
    ] = None,
    file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="A file with such a URL in each line; # begins a comment."),
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to serve the page; port 0 is any.")
    ] = "127.0.0.1:0",
    token: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Show the page to those only who have the token in this file; needed where other machines can ask.",
        ),
    ] = None,
) -> None:
    """Serve a page that shows running peers as they go on, wherever they are, until Ctrl-C."""
    from gossipfl.cli.commands.dashboard import serve_dashboard

    serve_dashboard([*(peers or []), *(urls or [])], file, host_and_port("--listen", listen), token)
