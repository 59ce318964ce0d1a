"""The queries of `docs/analytics.md` are those that there are, and its examples say what comes of them."""

import doctest
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from gossipfl import queries
from gossipfl.queries import QUERIES, parsed
from gossipfl.scenario import Scenario

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


def test_examples_say_what_comes_of_them() -> None:
    blocks = "".join(re.findall(r"```pycon\n(.*?)```", TEXT, re.DOTALL))
    example = doctest.DocTestParser().get_doctest(blocks, {}, "analytics.md", None, 0)
    results = doctest.DocTestRunner().run(example)
    assert (results.failed, results.attempted > 2) == (0, True)


COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
PATIENTS = "age,diagnosis\n" + "".join(f"{20 + i},{'ill' if i % 3 else 'well'}\n" for i in range(60))


@pytest.mark.parametrize("command", [line for line in COMMANDS if "--name" not in line])
def test_commands_answer(command: str, command_line: Callable) -> None:
    Path("patients.csv").write_text(PATIENTS)
    Path("scenario.toml").write_text('data = {source = "csv:patients.csv", target = "diagnosis"}')
    outcome = command_line(*shlex.split(command)[1:])
    assert outcome.status == 0, outcome.err
    assert outcome.out


def test_its_other_scenario_is_one() -> None:
    secret, _ = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert Scenario(**tomllib.loads(secret)).privacy.secure_aggregation is not None


@pytest.mark.long
def test_three_clinics_come_to_one_answer(tmp_path: Path) -> None:
    _, scenario = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    for there in ("7001", "7002", "7003"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            scenario = scenario.replace(there, str(free.getsockname()[1]))
    (tmp_path / "three_clinics.toml").write_text(scenario)
    (tmp_path / "patients.csv").write_text(PATIENTS)
    clinics = [
        subprocess.Popen(
            [sys.executable, "-m", *shlex.split(command), "--json"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        for command in COMMANDS
        if "--name" in command
    ]
    answers = {clinic.communicate(timeout=100)[0] for clinic in clinics}
    assert [clinic.returncode for clinic in clinics] == [0, 0, 0]
    assert all("49.5" in answer for answer in answers), answers
