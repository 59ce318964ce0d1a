"""Idle connections, more than a process may have files open: it trains on, writes on, and can still be watched."""

import json
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from deadline import DEADLINE

from gossipfl.engines.http.serving import descriptors
from gossipfl.engines.http.serving.descriptors import RESERVE, WATCHING, caps_of_loopback, caps_of_peer, check_launcher
from gossipfl.errors import ConfigurationError

SOFT, HARD = 64, 256
NUM_STRANGERS = 300

SCENARIO = """
rounds = 1000000
model = "softmax"
data = { source = "digits", partition = "iid", max_train = 40, max_test = 20 }
algorithms = ["synchronous"]
topology = { links = [["a", "b"]], peers = { a = { address = "%s" }, b = { address = "%s" } } }
"""


def two_addresses() -> list[str]:
    with socket.socket() as first, socket.socket() as second:
        for taken in (first, second):
            taken.bind(("127.0.0.1", 0))
        return [f"http://127.0.0.1:{taken.getsockname()[1]}" for taken in (first, second)]


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Two real peers that train with each other; both may have few files open."""
    (tmp_path / "two.toml").write_text(SCENARIO % tuple(two_addresses()))
    script = Path(__file__).with_name("limited_peer.py")
    with ExitStack() as stack:
        started = {}
        for name in "ab":
            words = [sys.executable, script, str(SOFT), str(HARD), "peer", "two.toml", "--name", name]
            log = stack.enter_context((tmp_path / f"{name}.log").open("wb"))
            started[name] = subprocess.Popen([*words, "--run-directory", name], cwd=tmp_path, stdout=log, stderr=log)
        try:
            yield started
        finally:
            for process in started.values():
                process.kill()
                process.wait()


def test_idle_strangers_on_both_ports_end_nobody(peers: dict[str, subprocess.Popen[bytes]], tmp_path: Path) -> None:
    def num_rows() -> int:
        history = tmp_path / "a" / "history.jsonl"
        return history.read_bytes().count(b"\n") if history.exists() else 0

    def wait_for_row(number: int) -> None:
        end = time.monotonic() + DEADLINE
        while num_rows() < number:
            assert {process.poll() for process in peers.values()} == {None}, (tmp_path / "a.log").read_text()
            assert time.monotonic() < end, f"{num_rows()} rows"
            time.sleep(0.02)

    wait_for_row(3)
    there = json.loads((tmp_path / "a" / "addresses.json").read_text())
    with ExitStack() as stack:
        for port in ("listen", "watch"):
            for _ in range(NUM_STRANGERS):
                stack.enter_context(socket.create_connection(there[port], timeout=DEADLINE))
        wait_for_row(num_rows() + 5)
        host, port_number = there["watch"]
        for page in ("status", "healthz"):
            with urllib.request.urlopen(f"http://{host}:{port_number}/{page}", timeout=DEADLINE) as answer:
                told = json.loads(answer.read())
        assert told["state"] in ("training", "waiting")
        assert list((tmp_path / "a").glob("*.safetensors"))
    for process in peers.values():
        process.send_signal(signal.SIGTERM)
    assert [process.wait(DEADLINE) for process in peers.values()] == [0, 0]
    for name in "ab":
        log = (tmp_path / f"{name}.log").read_text()
        assert "Too many open files" not in log
        assert "Traceback" not in log


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process may have 1,024 files open, and has 20."""
    monkeypatch.setattr(descriptors, "raised_limit", lambda: 1024)
    monkeypatch.setattr(descriptors, "_num_open", lambda: 20)
    return


@pytest.mark.usefixtures("limit")
class TestCaps:
    def test_all_that_may_be_open_at_once_fits(self) -> None:
        for num_neighbors in (0, 1, 2, 10, 100, 400):
            caps = caps_of_peer(num_neighbors, 10**6)
            calls = num_neighbors
            assert 2 + calls + caps.messages + caps.watching + 20 + RESERVE == 1024
            assert caps.messages >= num_neighbors
            assert 4 <= caps.watching <= WATCHING

    def test_what_is_wanted_is_enough_but_for_the_neighbors(self) -> None:
        assert caps_of_peer(2, 256).messages == 256
        assert caps_of_peer(2, 8).messages == 18
        assert caps_of_peer(300, 256).messages == 316

    def test_peers_of_one_process_share_what_is_left(self) -> None:
        caps = caps_of_loopback(dict.fromkeys(map(str, range(100)), 2), 256)
        left = 1024 - 20 - RESERVE - 100 - 4 * 100
        assert set(caps.values()) == {2 + left // 100}
        assert caps_of_loopback({"0": 0}, 256) == {"0": 256}

    def test_too_many_is_said_with_the_arithmetic(self) -> None:
        with pytest.raises(ConfigurationError, match=r"may need 1,102 file descriptors .*may have 1,024"):
            caps_of_peer(500, 256)
        with pytest.raises(ConfigurationError) as error:
            caps_of_loopback(dict.fromkeys(map(str, range(200)), 2), 256)
        for part in ("200 to listen", "2 for each of 400 connections", "20 that are open", "64 for files", "1,084"):
            assert part in str(error.value)
        with pytest.raises(ConfigurationError, match="starting 500 processes may need 1,100"):
            check_launcher(500, 2)


def test_the_limit_is_raised_as_far_as_it_may_be() -> None:
    code = "from gossipfl.engines.http.serving.descriptors import raised_limit; print(raised_limit(), raised_limit())"
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({SOFT}, {HARD})); "
    shown = subprocess.run([sys.executable, "-c", limit + code], check=True, capture_output=True, text=True)
    assert shown.stdout == f"{HARD} {HARD}\n"
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > HARD, "that of the tests themselves is another one"
