"""The table of an audit: what a place rebuilt under each defence, and what the defence cost."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from gossipfl.audits.audit import Audit
from gossipfl.audits.findings import Finding
from gossipfl.audits.summary import HEADINGS, cells, notes
from gossipfl.cli.terminal.console import in_this_encoding


def audit_table(audit: Audit, findings: Sequence[Finding]) -> Table:
    """One line for each defence; below them, what a reader has to know of the figures."""
    table = Table(
        title=f"{audit.label}: what the {audit.plan.attacker} gets",
        caption=_encoded("\n".join(notes(audit.plan.attacker, findings))),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        pad_edge=False,
    )
    for position, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if position else "left", overflow="fold")
    for finding in findings:
        lines = [_encoded("\n".join(filter(None, cell))) for cell in cells(finding)]
        table.add_row(*lines, style="" if finding.refused is None else "dim")
    return table


def _encoded(text: str) -> str:
    return in_this_encoding(text, text.replace("±", "+-"))
