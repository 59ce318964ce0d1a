"""The table of an audit: what a place rebuilt under each defence, and what the defence cost."""

from collections.abc import Sequence

from gossipfl.audits.audit import Audit
from gossipfl.audits.findings import Finding
from gossipfl.audits.summary import HEADINGS, cells, notes
from gossipfl.cli.terminal.console import in_this_encoding
from gossipfl.cli.terminal.whole_table import WholeTable


def audit_table(audit: Audit, findings: Sequence[Finding]) -> WholeTable:
    """A line for each defence, and one with what a guess would get; below them, what a reader has to know of all."""
    return WholeTable(
        HEADINGS,
        [[_encoded(f"{figure}\n{guess or ' '}") for figure, guess in cells(finding)] for finding in findings],
        title=f"{audit.label}: what the {audit.plan.attacker} gets",
        caption=_encoded("\n".join(notes(audit.plan.attacker, findings))),
        styles=["" if finding.refused is None else "dim" for finding in findings],
    )


def _encoded(text: str) -> str:
    return in_this_encoding(text, text.replace("±", "+-"))
