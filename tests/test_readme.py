"""What the README shows works: its commands, its scenario and its Python, at toy size where they would take long."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gossipfl.cli import app
from gossipfl.scenario import Scenario

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("gossipfl ")]
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def test_the_two_commands_are_those_of_ci() -> None:
    """The first two blocks install and run; `.ci/run` does the same, step by step."""
    ci = (Path(__file__).parents[1] / ".ci" / "run").read_text("utf-8")
    main_job, tests = (block.strip() for block in blocks("sh")[:2])

    assert main_job == "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/gossipfl compare"
    assert tests == "python3 -m venv .venv && .venv/bin/pip install '.[dev]' && .venv/bin/pytest"
    for step in tests.split(" && "):
        assert f"\n{step}" in ci, step


def test_scenario_is_valid() -> None:
    (text,) = blocks("toml")
    scenario = Scenario(**tomllib.loads(text))
    assert scenario.labels == ["pairwise", "synchronous", "fedavg"]


def test_picture_is_there() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (Path(__file__).parents[1] / path).stat().st_size > 10_000


def test_paths_exist() -> None:
    for path in re.findall(r"`((?:gossipfl|simulations|topologies|docs)/[\w./-]*)`", README):
        assert (Path(__file__).parents[1] / path).exists(), path


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    arguments = shlex.split(command)[1:]
    if f"idx:{FASHION_MNIST}" in arguments and not FASHION_MNIST.exists():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    monkeypatch.chdir(tmp_path)
    if arguments[0] in ("simulate", "compare"):
        arguments += ["--set", "rounds=1", "--set", "data.max_train=400", "--set", "data.max_test=100"]

    result = CliRunner().invoke(app, arguments, catch_exceptions=False)

    assert result.exit_code == 0, result.output
    assert result.output.strip()
    assert bool(list(tmp_path.glob("runs/*/report.html"))) == (arguments[0] in ("simulate", "compare"))


@pytest.mark.slow
def test_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["model"].count_params() == 650  # type: ignore[attr-defined]
