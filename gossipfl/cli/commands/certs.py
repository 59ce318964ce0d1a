"""`certs`: a run's own certificate authority."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gossipfl.cli.terminal.console import new_console, print_json
from gossipfl.cli.terminal.whole_table import WholeTable
from gossipfl.engines.http.trust.certificates import create_authority, described, issue


def make_authority(directory: Path, days: int) -> None:
    """`certs init`."""
    create_authority(directory, days)
    new_console().print(
        f"Authority: {directory / 'ca.pem'} (give it to every peer)\nIts key: {directory / 'ca.key'} (keep it here)",
        soft_wrap=True,
    )


def issue_certificates(directory: Path, names: Sequence[str], days: int, proxy: bool) -> None:
    """`certs issue`."""
    console = new_console()
    for name in names:
        path = issue(directory, name, days, proxy=proxy)
        console.print(f"{name}: {path} and {path.with_suffix('.key')}", soft_wrap=True)


def show_certificates(directory: Path, as_json: bool) -> None:
    """`certs show`."""
    facts = described(directory)
    if as_json:
        print_json([{key: str(value) for key, value in asdict(fact).items()} for fact in facts])
        return
    headings = ["name", "kind", "valid until", "days left", "SHA-256 of the certificate"]
    rows = [
        [
            fact.name,
            fact.kind,
            f"{fact.not_after:%Y-%m-%d}",
            str(fact.days_left) if fact.days_left >= 0 else "expired",
            fact.fingerprint,
        ]
        for fact in facts
    ]
    new_console().print(WholeTable(headings, rows, left=headings))
