"""The commands of `docs/deploying.md` run as they stand there, with fewer rounds; all hosts are this machine."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gossipfl.cli.app import app

TEXT = (Path(__file__).parents[1] / "docs" / "deploying.md").read_text("utf-8")
LINES = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
DEPLOYMENT = ("peer", "gather", "export", "certs")


def test_all_of_its_commands_are_known_here() -> None:
    others = [line for line in LINES if line.split()[1] not in DEPLOYMENT]
    assert others == ["gossipfl launch four_terminals"]  # which test_pages.py runs, out of the README


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
@pytest.mark.usefixtures("ports_of_four_terminals")
def test_four_terminals_and_four_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
