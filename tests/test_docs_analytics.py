"""The queries of `docs/analytics.md` are those that there are."""

import re
from pathlib import Path

from gossipfl import queries
from gossipfl.queries import QUERIES, parsed

TEXT = (Path(__file__).parents[1] / "docs" / "analytics.md").read_text("utf-8")
TABLES = re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE)


def cells(table: str) -> list[list[str]]:
    return [line.strip("|").split("|") for line in table.splitlines()[2:]]


def test_each_text_is_the_query_beside_it() -> None:
    for texts, in_python, *_ in cells(TABLES[0]):
        for text, expression in zip(*(re.findall("`(.*?)`", cell) for cell in (texts, in_python)), strict=False):
            assert parsed(text)[0] == eval(expression, vars(queries)), text


def test_both_tables_have_all_queries() -> None:
    for table in TABLES[:2]:
        assert {text.partition(":")[0] for row in cells(table) for text in re.findall("`(.*?)`", row[0])} == {*QUERIES}
