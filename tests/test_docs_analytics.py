"""The queries of `docs/analytics.md` are those that there are, and its examples say what comes of them."""

import doctest
import re
from pathlib import Path

import pytest

from gossipfl import queries
from gossipfl.queries import QUERIES, parsed

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "analytics.md").read_text("utf-8")
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


@pytest.mark.parametrize("name", ["README.md", "docs/analytics.md"])
def test_examples_say_what_comes_of_them(name: str) -> None:
    blocks = "".join(re.findall(r"```pycon\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL))
    example = doctest.DocTestParser().get_doctest(blocks, {}, name, name, 0)
    results = doctest.DocTestRunner().run(example)
    assert (results.failed, results.attempted > 2) == (0, True)
