"""The table of an audit: what a place rebuilt under each defence, and what the defence cost."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from gossipfl.audits.audit import Audit
from gossipfl.audits.findings import Finding
from gossipfl.audits.summary import HEADINGS, cells, notes


def audit_table(audit: Audit, findings: Sequence[Finding]) -> Table:
    """One line for each defence; below them, what a reader has to know of the figures."""
    table = Table(
        title=f"{audit.label}: what the {audit.plan.attacker} gets",
        caption="\n".join(notes(audit.plan.attacker, findings)),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        pad_edge=False,
    )
    for position, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if position else "left", vertical="bottom", overflow="fold")
    for finding in findings:
        table.add_row(*cells(finding), style="" if finding.refused is None else "dim")
    return table
