"""The `certs` commands of the command line."""

from pathlib import Path
from typing import Annotated

import typer

from gossipfl.cli.options import Certificates, Json

certs_app = typer.Typer(help="Who may talk: a run's own certificate authority.", no_args_is_help=True)


@certs_app.command("init")
def certs_init(
    directory: Certificates = Path("certs"),
    days: Annotated[int, typer.Option(min=1, help="How long the authority is valid.")] = 365,
) -> None:
    """Make a certificate authority for one run: ca.pem for all peers, ca.key for nobody else."""
    from gossipfl.cli.commands.certs import make_authority

    make_authority(directory, days)


@certs_app.command("issue")
def certs_issue(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of peers, as in the topology.")],
    directory: Certificates = Path("certs"),
    days: Annotated[int, typer.Option(min=1, help="How long the certificates are valid.")] = 365,
    proxy: Annotated[
        bool,
        typer.Option("--proxy", help="For a proxy in front of the peer: it can end TLS, but not sign messages."),
    ] = False,
) -> None:
    """Issue certificates to peers: NAME.pem and NAME.key."""
    from gossipfl.cli.commands.certs import issue_certificates

    issue_certificates(directory, names, days, proxy)


@certs_app.command("show")
def certs_show(directory: Certificates = Path("certs"), json: Json = False) -> None:
    """Show whom certificates name, and until when they are valid."""
    from gossipfl.cli.commands.certs import show_certificates

    show_certificates(directory, json)
