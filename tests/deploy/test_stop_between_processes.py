"""Peers that are processes of their own agree on how good they are, and on when to end: the same as in virtual time."""

import json
import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest
from deadline import DEADLINE
from safetensors.numpy import load_file
from softmax_peer import start

from gossipfl.files.checkpoints import has_checkpoints
from gossipfl.runs.files import read_run

pytestmark = pytest.mark.long

NAMES = "abcd"

TOY = """
rounds = 30
model = "softmax"
data = { source = "digits", partition = "iid", max_train = 80, max_test = 40 }
http = { linger = 20, meeting_seconds = 20 }
algorithms = ["synchronous", "pairwise", "fedavg"]
stop = { metric = "accuracy", patience = 2 }

[topology]
links = [["a", "b"], ["b", "c"], ["c", "d"], ["d", "a"]]

[topology.peers]
"""


def addresses(number: int) -> list[str]:
    """So many addresses on this machine that nobody else uses."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for taken in sockets:
            taken.bind(("127.0.0.1", 0))
        return [f"http://127.0.0.1:{taken.getsockname()[1]}" for taken in sockets]


@pytest.fixture
def gossipfl_(command_line):
    peers = [f'{name} = {{ address = "{address}" }}\n' for name, address in zip(NAMES, addresses(4), strict=True)]
    Path("toy.toml").write_text(TOY + "".join(peers))
    return command_line


def peer_of(algorithm: str, name: str, more: Sequence[str] = ()) -> ForkServerProcess:
    words = ["peer", "toy.toml", "--name", name, "--algorithm", algorithm, "--run-directory", f"run-{name}", *more]
    return start(words, f"{name}.log")


def ended(running: Mapping[str, ForkServerProcess]) -> dict[str, str]:
    """Wait until these peers have ended; gives what each has said."""
    for process in running.values():
        process.join(DEADLINE)
    said = {name: Path(f"{name}.log").read_text() for name in running}
    assert {name: process.exitcode for name, process in running.items()} == dict.fromkeys(running, 0), said
    return said


def live(algorithm: str, *names: str, more: Sequence[str] = ()) -> dict[str, str]:
    return ended({name: peer_of(algorithm, name, more) for name in names})


def ended_in(said: str) -> int:
    (found,) = re.findall(r"stopped early in round (\d+): ", said)
    return int(found)


def agreed_in(directory: str) -> list[dict]:
    """The rows of what was agreed, without the time at which it was known."""
    rows = [json.loads(line) for line in Path(directory, "agreed.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in ("wall", "time", "known_to")} for row in rows]


def test_all_end_in_one_round_with_the_bits_of_virtual_time(gossipfl_):
    said = live("synchronous", *NAMES)
    (last,) = {ended_in(text) for text in said.values()}
    assert last < 30
    for text in said.values():
        assert re.search(
            r"agreed: all 4 peers after round 0, in the mean: .*accuracy 0\.0750 \(0\.0750 to 0\.0750\)", text
        )
        evaluations = re.findall(r"after round \d+ of \d+: .*", text)
        assert len(set(evaluations)) == len(evaluations) >= last  # also the last one is said once
    one = ("--set", "algorithms=['synchronous']", "--set", "stop.by='peers'")
    assert gossipfl_("simulate", "toy.toml", *one, "--output", "virtual").status == 0
    assert gossipfl_("gather", *(f"run-{name}" for name in NAMES), "--output", "gathered").status == 0
    assert agreed_in("gathered") == agreed_in("virtual")
    real, virtual = (read_run(Path(name)) for name in ("gathered", "virtual"))
    assert {row.known_to for row in (*real.agreed, *virtual.agreed)} == {4}
    assert [one.stopped for one in real.manifest.ended] == [one.stopped for one in virtual.manifest.ended]
    assert virtual.history[-1].round == last
    for name in NAMES:
        expected = load_file("virtual/weights/synchronous-seed0.peers.safetensors")
        found = load_file(f"run-{name}/weights/final.safetensors")["weights"]
        assert found.tobytes() == np.asarray(expected[name]).tobytes()


def test_one_that_is_killed_and_resumed_ends_with_the_others(gossipfl_):
    running = {name: peer_of("synchronous", name) for name in NAMES}
    killed = running.pop("d")
    while not has_checkpoints(Path("run-d")):
        killed.join(0.01)
    killed.kill()
    killed.join()
    said = live("synchronous", "d", more=("--resume",)) | ended(running)
    assert len({ended_in(text) for text in said.values()}) == 1
    assert all(agreed_in(f"run-{name}") == agreed_in("run-a") for name in NAMES)


def test_nobody_waits_for_ever_for_one_that_does_not_come(gossipfl_):
    hasty = ("--set", "http.linger=0.5", "--set", "http.meeting_seconds=0.2")
    said = live("synchronous", *"abc", more=hasty)
    for text in said.values():
        assert re.search(
            r"stopped early in round \d: .*, for whom it waited, had not answered for 0\.5 s: .*--resume", text
        )
    gossipfl_("gather", "run-a", "run-b", "run-c", "--output", "gathered")
    assert "had not answered for 0.5 s" in read_run(Path("gathered")).manifest.ended[0].stopped


@pytest.mark.parametrize(("algorithm", "names"), [("pairwise", NAMES), ("fedavg", (*NAMES, "server"))])
def test_those_that_do_not_wait_for_all_end_too(gossipfl_, algorithm, names):
    more = ("--address", f"server={addresses(1)[0]}") if "server" in names else ()
    said = live(algorithm, *names, more=more)
    assert all(ended_in(text) < 30 for text in said.values())
    assert gossipfl_("gather", *(f"run-{name}" for name in names), "--output", "gathered").status == 0
    run = read_run(Path("gathered"))
    assert run.manifest.ended[0].stopped is not None
    assert max(row.num_peers for row in run.agreed) == 4
