"""What the README shows works: its commands, its scenario and its Python, at toy size where they would take long."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gossipfl.algorithms import ALGORITHMS
from gossipfl.cli.app import app
from gossipfl.scenario import Scenario

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


LINES = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("gossipfl ")]
DEPLOYMENT = ("peer", "gather", "export", "certs")
GOING_ON = [line for line in LINES if "--checkpoint-every" in line or "simulate --resume" in line]
COMMANDS = [line for line in LINES if line.split()[1] not in DEPLOYMENT and line not in GOING_ON]
TOY = ["--set", "rounds=1", "--set", "data.max_train=400", "--set", "data.max_test=100"]
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def test_the_two_commands_are_those_of_ci() -> None:
    """The first two blocks install and run; `.ci/run` does the same, step by step."""
    ci = (Path(__file__).parents[1] / ".ci" / "run").read_text("utf-8")
    main_job, tests = (block.strip() for block in blocks("sh")[:2])

    assert main_job == "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/gossipfl compare"
    assert tests == "python3 -m venv .venv && .venv/bin/pip install '.[dev]' && .venv/bin/pytest -n 2 --dist worksteal"
    for step in tests.split(" && "):
        assert f"\n{step}" in ci, step


def test_scenarios_are_valid() -> None:
    question, product, own = (Scenario(**tomllib.loads(text)) for text in blocks("toml"))
    assert own.labels == ["pairwise", "fedavg"]
    assert question.labels == ["pairwise", "synchronous", "fedavg"]
    assert product.labels == [
        "synchronous",
        "synchronous (base_graph)",
        "gradient_tracking",
        "gradient_tracking (base_graph)",
        "fedavg",
    ]


def test_the_number_of_algorithms_is_right() -> None:
    assert len(ALGORITHMS) == 19
    assert "Nineteen algorithms" in README


def test_picture_is_there() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (Path(__file__).parents[1] / path).stat().st_size > 10_000


def test_paths_exist() -> None:
    for path in re.findall(r"`((?:gossipfl|simulations|topologies|docs)/[\w./-]*)`", README):
        assert (Path(__file__).parents[1] / path).exists(), path


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("tensorflow")
    arguments = shlex.split(command)[1:]
    if "four_terminals" in arguments:
        request.getfixturevalue("ports_of_four_terminals")
    if f"idx:{FASHION_MNIST}" in arguments and not FASHION_MNIST.exists():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    monkeypatch.chdir(tmp_path)
    runs = ("simulate", "compare", "launch", "sweep")
    if arguments[0] in runs:
        arguments += TOY

    result = CliRunner().invoke(app, arguments, catch_exceptions=False)

    assert result.exit_code == 0, result.output
    assert result.output.strip()
    assert bool(list(tmp_path.glob("runs/*/report.html"))) == (arguments[0] in runs)


@pytest.mark.slow
def test_stop_and_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.chdir(tmp_path)
    begin, go_on = (shlex.split(line)[1:] for line in GOING_ON)
    printed = [
        CliRunner().invoke(app, arguments, catch_exceptions=False).output.splitlines()[-2:]
        for arguments in ([*begin, *TOY], go_on)
    ]
    assert printed == [["Run: runs/long", "Report: runs/long/report.html"]] * 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
@pytest.mark.usefixtures("ports_of_four_terminals")
def test_four_terminals_and_four_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of the deployments, as they stand there, with fewer rounds; all hosts are this machine."""
    keras = pytest.importorskip("keras")
    monkeypatch.chdir(tmp_path)
    lines = {word: [line for line in LINES if line.split()[1] == word] for word in DEPLOYMENT}
    *terminals, host = lines["peer"]

    def run(line: str, *options: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", *shlex.split(line), *options]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def said_here(line: str) -> str:
        """By a command that ends by itself, in this process, where TensorFlow is imported already."""
        result = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def ends_well(process: subprocess.Popen[str]) -> str:
        said, _ = process.communicate(timeout=200)
        assert process.returncode == 0, said
        return said

    for line in lines["certs"]:
        assert said_here(line)
    toy = ("--set", "rounds=2", "--set", "training.epochs=1")
    peers = [run(line, *toy) for line in terminals]
    assert all("done after round 2 of 2" in ends_well(peer) for peer in peers)
    for line in (*lines["gather"], *lines["export"]):
        said_here(line)
    assert keras.models.load_model("digits.keras").count_params() > 10_000
    alone = ("--set", "http.meeting_seconds=0", "--set", "http.linger=0", "--set", "http.connect_seconds=0.1")
    said = ends_well(run(host, *toy, *alone, "--listen", "127.0.0.1:0"))
    assert "done after round 2 of 2" in said


@pytest.mark.slow
def test_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.chdir(tmp_path)
    data_and_model: dict[str, Any] = {}
    step_by_step: dict[str, Any] = {}
    for code, names in zip(blocks("python"), (data_and_model, step_by_step), strict=True):
        exec(compile(code, "README.md", "exec"), names)
    assert 0 < data_and_model["history"].last.worst_own_mae < 10
    assert step_by_step["model"].count_params() == 650


@pytest.mark.slow
def test_a_table_of_ones_own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 5 + 1},{0.5 + i % 7 / 10},{i % 6},{i % 5 + i % 7}" for i in range(120)]
    Path("houses.csv").write_text("\n".join(["rooms,area,region,price", *rows]))
    Path("houses.toml").write_text(blocks("toml")[2])
    result = CliRunner().invoke(app, ["compare", "houses.toml"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert all(name in result.output for name in ("own_mae", "test_r2"))
