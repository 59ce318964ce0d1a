"""Whoever follows `docs/own_algorithm.md` has an algorithm that runs and passes the exam: in a copy of the checkout."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "own_algorithm.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
CHANGED = ("gossipfl/algorithms/__init__.py", "tests/exam.py")
"""The files that its diffs are of, in their order."""
TOY = ["--set", "rounds=1", "--set", "data.max_train=200", "--set", "data.max_test=100"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("checkout")
    for folder in ("gossipfl", "simulations", "tests", "topologies"):
        shutil.copytree(ROOT / folder, here / folder, ignore=shutil.ignore_patterns("__pycache__", "benchmarks"))
    shutil.copy(ROOT / "pyproject.toml", here)
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        name, _, text = block.removeprefix("# ").partition("\n")
        (here / name).write_text(text)
    for name, difference in zip(CHANGED, re.findall(r"```diff\n(.*?)```", TEXT, re.DOTALL), strict=True):
        added, context, member = difference.splitlines()
        text = (here / name).read_text()
        assert f"\n{context[1:]}\n" in text
        text = text.replace(f"{context[1:]}\n", f"{context[1:]}\n{member[1:]}\n")
        (here / name).write_text(text.replace("\nfrom gossipfl", f"\n{added[1:]}\nfrom gossipfl", 1))
    return here


def run(checkout: Path, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=checkout, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_it_is_explained_and_passes_the_exam(checkout: Path) -> None:
    explained, *_ = COMMANDS
    assert "Elastic Gossip" in run(checkout, *shlex.split(explained))
    install, exam = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    assert install.replace("\n", " && ").strip(" &") in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    passed = run(checkout, *shlex.split(exam.removeprefix(".venv/bin/")), "-p", "no:cacheprovider", "-m", "not long")
    assert int(re.findall(r"(\d+) passed", passed)[0]) >= 7


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS[1:])
def test_it_runs(checkout: Path, command: str) -> None:
    pytest.importorskip("tensorflow")
    assert "elastic" in run(checkout, *shlex.split(command), *TOY)
