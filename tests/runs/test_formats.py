"""What another version has written is refused in a sentence, at every door, and left as it was.

tests/fixtures/format_0 is what was left on disk before formats were numbered.
"""

import json
import shutil
from pathlib import Path

import pytest

from gossipfl.sweep.directory import SweepDirectory
from gossipfl.sweep.grid import Axis, points

FORMAT_0 = Path(__file__).parents[1] / "fixtures" / "format_0"
SCENARIO = """
name = "before_formats"
rounds = 1
model = "softmax"
data = {source = "digits", max_train = 60, max_test = 20}
training = {batch_size = 10, optimizer = {name = "sgd", learning_rate = 0.1}}
topology = {generator = "path_graph", arguments = {n = 2}}
algorithms = ["synchronous"]
"""
PEER = ("--name", "0", "--set", 'http.addresses={"0"="http://127.0.0.1:1", "1"="http://127.0.0.1:2"}', "--resume")


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


DOORS = {
    "report": ("run", "report run", "manifest.json"),
    "resume": ("run", "simulate --resume run", "manifest.json"),
    "gather": ("peer", "gather peer --output gathered", "manifest.json"),
    "export": ("run", "export run --average --output model.keras", "manifest.json"),
    "export of a peer": ("peer", "export peer --peer 0 --output model.keras", "manifest.json"),
    "peer": ("peer", "peer scenario.toml --run-directory peer", "manifest.json"),
    "sweep": ("sweep", "sweep scenario.toml --set-grid training.batch_size=10,20 --output sweep", "sweep.json"),
    "report of a sweep": ("sweep", "report sweep", "manifest.json"),
}


@pytest.fixture
def old(tmp_path, command_line):
    """A copy of an old directory in the working directory, and the command line."""

    def copied(name: str) -> Path:
        shutil.copytree(FORMAT_0 / name, tmp_path / name)
        (tmp_path / "scenario.toml").write_text(SCENARIO)
        return tmp_path / name

    return copied


@pytest.mark.parametrize("door", DOORS)
def test_what_was_left_before_formats_were_numbered_is_refused(door, old, command_line, tmp_path):
    name, command, file = DOORS[door]
    directory = old(name)
    before = contents(directory)
    outcome = command_line(*command.split(), *(PEER if door == "peer" else ()))
    assert outcome.status == 1
    said = " ".join(outcome.err.split())
    assert f"{name}/{file} is of format 0, and this version of gossipfl reads format 1 only" in said
    assert "go on with the version that wrote it" in said
    assert "Traceback" not in outcome.err
    assert contents(directory) == before
    assert {path.name for path in tmp_path.iterdir()} <= {name, "scenario.toml"}


@pytest.mark.parametrize("written", [2, 0, -1])
def test_a_later_format_is_refused_whatever_else_the_manifest_says(written, old, command_line):
    directory = old("run")
    (directory / "manifest.json").write_text(json.dumps({"format": written, "name": ["renamed"]}))
    outcome = command_line("report", "run")
    assert outcome.status == 1
    assert f"is of format {written}, and this version of gossipfl reads format 1 only" in " ".join(outcome.err.split())


@pytest.mark.parametrize("written", ["1", True, 1.0, None, "one"])
def test_what_is_no_number_is_no_format(written, old, command_line):
    manifest = old("run") / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": written}))
    outcome = command_line("simulate", "--resume", "run")
    assert outcome.status == 1
    assert "manifest.json is not what a run writes: format: Input should be a valid integer" in " ".join(
        outcome.err.split()
    )


def test_runs_within_an_old_sweep_are_refused_too(old, command_line):
    directory = old("sweep")
    axis = Axis.parse("training.batch_size=10,20")
    SweepDirectory(directory, points("scenario.toml", [], [axis])).write({"grid": {axis.field: list(axis.values)}})
    outcome = command_line(*DOORS["sweep"][1].split())
    assert outcome.status == 1
    assert "seed0/manifest.json is of format 0" in " ".join(outcome.err.split())


def test_old_checkpoints_in_a_new_run_are_refused(old, command_line, tmp_path):
    command_line("simulate", str(old("run").parent / "scenario.toml"), "--output", "new", "--checkpoint-every", "1")
    shutil.copytree(tmp_path / "run" / "checkpoints", tmp_path / "new" / "checkpoints")
    outcome = command_line("simulate", "--resume", "new")
    assert outcome.status == 1
    assert "checkpoint-1.safetensors is of format 0" in " ".join(outcome.err.split())
