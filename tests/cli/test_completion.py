"""The shell completes commands, scenarios, fields and their values."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gossipfl.algorithms import ALGORITHMS
from gossipfl.cli.app import app
from gossipfl.names import resources
from gossipfl.scenario import load_scenario
from gossipfl.topology import available


def offered(line: str) -> dict[str, str]:
    """What fish would offer for the last word of a line, with explanations."""
    environment = {
        "_GOSSIPFL_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    result = CliRunner().invoke(app, [], prog_name="gossipfl", env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return dict(text.partition("\t")[::2] for text in result.output.splitlines() if text)


def test_commands_and_scenarios_are_offered() -> None:
    assert {"compare", "simulate", "launch", "peer"} <= {*offered("gossipfl ")}
    assert {*resources.names("simulations")} <= {*offered("gossipfl compare ")}
    assert [*offered("gossipfl simulate label")] == ["label_skew"]


def test_scenarios_may_be_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for file in ("mine.toml", "mine.txt", "mine/own.toml"):
        (tmp_path / file).touch()
    assert [*offered("gossipfl compare mi")] == ["mine/", "mine.toml"]
    assert [*offered("gossipfl compare mine/")] == ["mine/own.toml"]
    assert offered("gossipfl compare nowhere/") == {}


def test_fields_are_offered_with_their_defaults_and_meanings() -> None:
    fields = offered("gossipfl compare label_skew --set training.")
    assert "training.batch_size=32" in fields
    assert fields["training.steps="] == "Optimizer steps per round, instead of epochs."
    assert {"rounds=20", "data.source=digits", "evaluation.every=1", "network.preset=LAN"} <= {
        *offered("gossipfl compare label_skew --set ")
    }


def test_every_default_that_is_offered_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").touch()
    given = [text for text in offered("gossipfl compare --set ") if not text.endswith("=")]
    assert len(given) > 30
    for text in given:
        if not text.startswith(
            ("stop.", "privacy.", "data.normalize", "topology.")
        ):  # these need other fields beside them
            load_scenario(tmp_path / "empty.toml", [text])


def test_values_are_offered_after_the_sign() -> None:
    assert [*offered("gossipfl compare --set network.preset=")] == [
        f"network.preset={name}" for name in ("IDEAL", "LAN", "WAN")
    ]
    assert [*offered("gossipfl sweep label_skew --set-grid training.shuffle=")] == [
        "training.shuffle=true",
        "training.shuffle=false",
    ]
    assert [*offered("gossipfl compare --set topology=")] == [f"topology={name}" for name in available()]
    assert [*offered("gossipfl compare --set algorithms=")] == [f"algorithms=['{name}']" for name in ALGORITHMS]


def test_what_depends_on_the_scenario_is_that_of_the_scenario() -> None:
    assert {*offered("gossipfl peer four_terminals --name ")} >= {"amsterdam", "berlin", "cairo", "delhi"}
    labels = load_scenario("label_skew").labels
    assert [*offered("gossipfl audit label_skew --algorithm ")] == labels
    assert offered("gossipfl peer no_such_scenario --name ") == {}


def test_names_that_other_commands_take_are_offered() -> None:
    assert "gradient_tracking" in offered("gossipfl algorithms gradient")
    assert "schedules" in offered("gossipfl algorithms sched")
    assert "torus" in offered("gossipfl topology show tor")
    assert "csv:" in offered("gossipfl compare --data c")
    assert "quantiles" in offered("gossipfl measure label_skew --query quan")


@pytest.mark.long
def test_bash_completes_with_the_script_that_is_installed(tmp_path: Path) -> None:
    if (bash := shutil.which("bash")) is None:
        pytest.skip("bash is not installed")
    program = tmp_path / "gossipfl"
    program.write_text(f"#!{sys.executable}\nfrom gossipfl.cli.app import main\nmain()\n")
    program.chmod(0o755)
    environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = subprocess.run([program, "--show-completion", "bash"], capture_output=True, text=True, env=environment)
    line = f"COMP_WORDS=({program} compare label_skew --set training.batch)\nCOMP_CWORD=4"
    script = f"{shown.stdout}\n{line}\n_gossipfl_completion {program}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    completed = subprocess.run([bash, "-c", script], capture_output=True, text=True)
    assert completed.stdout.splitlines() == ["training.batch_size=32"], shown.stderr + completed.stderr
