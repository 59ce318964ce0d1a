"""The programs of `docs/embedding.md` run as they stand there, with ports that are free."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from deadline import DEADLINE
from softmax_trainer import run_without_tensorflow

from gossipfl.runs.peer_records import read_peer
from gossipfl.scenario import Scenario

TEXT = (Path(__file__).parents[1] / "docs" / "embedding.md").read_text("utf-8")
FIT, TAKES_PART, APPLICATION = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def free_ports() -> list[int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return [one.getsockname()[1], other.getsockname()[1]]


def pair(*addresses: str) -> Scenario:
    return Scenario(
        model="softmax",
        rounds=2,
        data={"source": "digits", "max_train": 80, "max_test": 40},
        topology={"peers": {n: {"address": at} for n, at in zip("ab", addresses, strict=True)}, "links": [["a", "b"]]},
        algorithms=["synchronous"],
        http={"linger": 20},
    )


@pytest.mark.slow
def test_the_script_gossips_in_two_terminals(tmp_path: Path) -> None:
    pytest.importorskip("keras")
    code = FIT.replace('metrics=["accuracy"])', 'metrics=["accuracy"], jit_compile=False)')  # takes half of the time
    assert code != FIT
    for number, port in zip((7001, 7002), free_ports(), strict=True):
        code = code.replace(str(number), str(port))
    assert "epochs=5" in code
    (tmp_path / "fit.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "KERAS_BACKEND": "tensorflow"}
    terminals = [
        subprocess.Popen(
            [sys.executable, "fit.py", name],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in "ab"
    ]
    said = [terminal.communicate(timeout=DEADLINE)[0] for terminal in terminals]
    assert [terminal.returncode for terminal in terminals] == [0, 0], said
    assert all("Epoch 5/5" in text for text in said)
    last = [read_peer(tmp_path / "runs" / name).rows[-1] for name in "ab"]
    assert [row.round for row in last] == [5, 5]
    assert last[0].loss == last[1].loss, "two that average with each other alone have one model"
    assert last[0].metrics["accuracy"] > 0.85


def test_two_take_part_in_one_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    run_without_tensorflow(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gossipfl.deploy.hosted_peer.HostedPeer.model", lambda peer: "a model")
    scenario = pair(*(f"http://127.0.0.1:{port}" for port in free_ports()))
    names: dict[str, Any] = {}
    exec(TAKES_PART, names)

    async def both() -> Any:
        async with asyncio.timeout(DEADLINE):
            return await asyncio.gather(*(names["take_part"](scenario, name) for name in "ab"))

    assert asyncio.run(both()) == [(2, "a model"), (2, "a model")]
    assert len(re.findall(r"^[ab] after round [012] has \{'accuracy': ", capsys.readouterr().out, re.M)) >= 6


def test_two_applications_have_a_peer_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_without_tensorflow(monkeypatch)
    monkeypatch.chdir(tmp_path)
    ports = free_ports()
    scenario = pair(*(f"http://127.0.0.1:{port}/gossip" for port in ports))
    names: dict[str, Any] = {}
    exec(TAKES_PART + APPLICATION, names)

    async def both() -> None:
        runners = [web.AppRunner(names["application"](scenario, name)) for name in "ab"]
        async with asyncio.timeout(DEADLINE), aiohttp.ClientSession() as session:
            for runner, port in zip(runners, ports, strict=True):
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", port).start()
            for port in ports:
                status = 200
                while status == 200:  # until it is over
                    async with session.get(f"http://127.0.0.1:{port}/gossip/healthz") as answer:
                        status = answer.status
            for runner in runners:
                await runner.cleanup()

    asyncio.run(both())
    assert [read_peer(tmp_path / "runs" / name).rows[-1].round for name in "ab"] == [2, 2]
