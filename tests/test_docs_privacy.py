"""The examples and commands of `docs/privacy.md` are as the program has them."""

import json
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gossipfl.scenario import Scenario

TEXT = (Path(__file__).parents[1] / "docs" / "privacy.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


def test_scenarios_are_accepted() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert blocks
    for block in blocks:
        fields = tomllib.loads(block)
        algorithm = "fedavg" if "encryption" in fields.get("privacy", {}) else "synchronous"
        Scenario(**{"algorithms": [algorithm], **fields})


BY_THEMSELVES = [line for line in COMMANDS if re.search(r" simulate | plan (?!four)", line)]


@pytest.mark.parametrize("command", BY_THEMSELVES)
def test_commands_run(command: str, command_line) -> None:
    outcome = command_line(*shlex.split(command)[1:])
    assert outcome.status == 0, outcome.err
    assert "epsilon" in outcome.out or "accuracy on held-out data" in outcome.out


@pytest.mark.parametrize("command", [line for line in COMMANDS if " audit " in line])
def test_audits_name_what_there_is(command: str, command_line) -> None:
    """Whole ones take minutes: these stop at the number of targets, after all that is named was found."""
    outcome = command_line(*shlex.split(command)[1:], "--targets", "0")
    assert outcome.status == 2
    assert "--targets" in outcome.err
    outcome = command_line("audit", *shlex.split(command)[2:], "--defences", "none,wall")
    assert outcome.status == 1
    assert "wall" in outcome.err


@pytest.mark.slow
def test_four_hosts_add_up_in_secret_and_end_with_their_budget(tmp_path: Path, monkeypatch) -> None:
    """The commands as they stand there; all hosts are this machine."""
    pytest.importorskip("tensorflow")
    monkeypatch.chdir(tmp_path)
    section = TEXT.partition("## A federation with secure sums and a budget")[2]
    scenario = re.search(r"```toml\n(.*?)```", section, re.DOTALL)
    commands = re.search(r"```bash\n(.*?)```", section, re.DOTALL)
    assert scenario is not None
    assert commands is not None
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
    text, lines = scenario[1], commands[1]
    for there, here in zip(("8811", "8812", "8813", "8814", "8911"), sockets, strict=True):
        port = str(here.getsockname()[1])
        text, lines = text.replace(there, port), lines.replace(there, port)
        here.close()
    (tmp_path / "four.toml").write_text(text)
    python = [sys.executable, "-m"]

    def said(line: str) -> str:
        done = subprocess.run([*python, *shlex.split(line)], capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    first, *others = [line for line in lines.splitlines() if " peer " in line]
    plan, init, issue, status, gather = [line for line in lines.splitlines() if " peer " not in line]
    assert "Of 20 rounds there are 19" in said(plan)
    said(init)
    said(issue)
    peers = [
        subprocess.Popen([*python, *shlex.split(line)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in (first, *others[:2])
    ]
    watched = ""
    while "epsilon" not in watched:  # the fourth begins when this is asked, so nobody has ended
        asked = subprocess.run([*python, *shlex.split(status), "--json"], capture_output=True, text=True, timeout=60)
        watched = asked.stdout
        assert peers[0].poll() is None
    (told,) = json.loads(watched).values()
    assert told["privacy"]["budget"] == 8.0
    peers.append(
        subprocess.Popen(
            [*python, *shlex.split(others[2])], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    )
    for peer in peers:
        log, _ = peer.communicate(timeout=100)
        assert peer.returncode == 0, log
        assert "done after round 19 of 19" in log
    assert "four" in said(gather)
    manifest = json.loads((tmp_path / "four" / "manifest.json").read_text())
    assert any("epsilon 7.84 at delta 1e-05" in line for line in manifest["differences"])
