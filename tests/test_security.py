"""SECURITY.md claims nothing that no test attacks."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text("utf-8")


def test_each_line_of_what_is_defended_names_tests_that_exist() -> None:
    defined = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| against")]
    assert len(rows) >= 10
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= defined, set(named) - defined
        assert not re.search(r"\b[A-Z]{5,}\b", row.rpartition("|")[0].rpartition("|")[2]), row
