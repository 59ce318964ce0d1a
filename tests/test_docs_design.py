"""What the documents for contributors say of the house is true of it."""

import re
import subprocess
import sys

import pytest
from house import FLOORS, PICTURE, ROOT, drawn, graph

DESIGN, GLOSSARY, CONTRIBUTING = (
    (ROOT / path).read_text("utf-8") for path in ("docs/design.md", "docs/glossary.md", "CONTRIBUTING.md")
)


@pytest.mark.parametrize("text", [DESIGN, CONTRIBUTING, GLOSSARY], ids=["design", "contributing", "glossary"])
def test_what_is_named_is_there(text: str) -> None:
    named = set(re.findall(r"`((?:gossipfl|tests|docs|simulations|topologies|\.ci)/[\w./-]*)`", text))
    named |= {link for link in re.findall(r"\]\(([\w./-]+)\)", text) if "://" not in link and "." in link}
    assert [path for path in named if not ((ROOT / path).exists() or (ROOT / "docs" / path).exists())] == []


def test_lists_are_there_and_in_their_rooms() -> None:
    for room, name in re.findall(r"`(gossipfl/\w+)/`[^|]*\| `([A-Z_]+)` there", DESIGN):
        modules = (path.read_text("utf-8") for path in (ROOT / room).rglob("*.py"))
        assert any(re.search(rf"^{name}\b.*=", text, re.MULTILINE) for text in modules), f"{room} has no {name}"


def test_the_table_of_floors_has_all_rooms() -> None:
    table = {int(number): rooms for number, rooms in re.findall(r"^\| (\d+) \| ([^|]+) \|", DESIGN, re.MULTILINE)}
    assert set(table) == set(FLOORS)
    for name, number in graph().nodes(data="floor"):
        if name.startswith("engines/http/") or ("/" not in name and f"{name}/" not in DESIGN):
            continue  # rooms of a room, and words
        assert f"`{name}/`" in table[number], f"{name} stands on floor {number}"


def test_the_picture_shows_the_imports_as_they_are() -> None:
    assert PICTURE.read_text("utf-8") == drawn(), "draw it anew: python tests/house.py --draw"


def test_words_are_in_order_and_explained_once() -> None:
    words = re.findall(r"^\| ([a-z][^|]*?) \| [^|]+ \|$", GLOSSARY, re.MULTILINE)[1:]
    assert len(words) > 40
    assert words == sorted(set(words))


def test_the_commands_are_those_of_the_checks() -> None:
    (block,) = re.findall(r"```bash\n(.*?)```", CONTRIBUTING, re.DOTALL)
    commands = re.findall(r"^\.venv/bin/(\S+(?: [^#\n]*[^#\s])?)", block, re.MULTILINE)
    checks = (ROOT / ".ci" / "run").read_text("utf-8")
    assert len(commands) == 6
    for command in commands:  # the quick run has a test of its own, below
        assert command == "pytest -m quick" or re.search(rf"^\S*{re.escape(command)}( |$)", checks, re.MULTILINE), (
            command
        )


@pytest.mark.long
def test_the_quick_run_imports_no_framework() -> None:
    collect = (
        "import sys, pytest\n"
        "status = pytest.main(['-m', 'quick', '--collect-only', '-q', '-p', 'no:cacheprovider'])\n"
        "heavy = {'tensorflow', 'keras', 'ray', 'tensorflow_datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(status)"
    )
    collected = subprocess.run([sys.executable, "-c", collect], cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert collected.returncode == 0, collected.stdout[-2000:] + collected.stderr
    assert int(re.findall(r"(\d+)/\d+ tests collected", collected.stdout)[0]) > 2000
