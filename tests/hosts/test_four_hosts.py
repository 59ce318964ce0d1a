"""Four hosts with addresses of their own, mutual TLS and real Keras; one of them is cut off for a while.

What is asserted holds at any speed: the outage ends when it was noticed, and the run a number of rounds after everybody
was back, however many rounds fell into the outage. The hosts are network namespaces, joined by a bridge. Needs root and
iproute2; skipped with a reason elsewhere.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from statistics import mean

import pytest

from gossipfl.engines.http.trust.certificates import create_authority, issue
from gossipfl.report.complete import complete
from gossipfl.report.contact import contact
from gossipfl.runs.files import read_run
from gossipfl.runs.gathering import gather

ROUNDS_TOGETHER = 40
"""That each peer does after the outage."""

NUM_LAST = 10
"""Of the rows that a mean is taken of: a single one may be of a moment just after local training."""

NAMES = ("amsterdam", "berlin", "cairo", "delhi")
SWITCH = "gfl-switch"

SCENARIO = """
rounds = 100000
model = "mlp"

[data]
source = "digits"
partition = { name = "labels", per_peer = 5 }

[training]
epochs = 4
batch_size = 20
optimizer = { name = "sgd", learning_rate = 0.1 }

[topology]
links = [["amsterdam", "berlin"], ["berlin", "cairo"], ["cairo", "delhi"], ["delhi", "amsterdam"]]

[topology.peers]
amsterdam = { address = "https://10.77.0.1:8443" }
berlin = { address = "https://10.77.0.2:8443" }
cairo = { address = "https://10.77.0.3:8443" }
delhi = { address = "https://10.77.0.4:8443" }

[http]
connect_seconds = 2.0
request_seconds = 5.0
max_backoff = 1.0
meeting_seconds = 240.0

[[algorithms]]
name = "pairwise"
timeout = 5.0
max_backoff = 5.0
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def why_not() -> str | None:
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    made = subprocess.run(["ip", "netns", "add", "gfl-try"], capture_output=True, text=True)
    if made.returncode != 0:
        return f"this machine does not allow network namespaces: {made.stderr.strip()}"
    ip("netns", "delete", "gfl-try")
    return None


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    """The namespace of each host; all hang on one bridge, as machines on a switch."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    names = {name: f"gfl-{name}" for name in NAMES}
    try:
        ip("netns", "add", SWITCH)
        ip("-n", SWITCH, "link", "add", "bridge", "type", "bridge")
        ip("-n", SWITCH, "link", "set", "bridge", "up")
        for number, host in enumerate(names.values(), start=1):
            ip("netns", "add", host)
            ip("-n", host, "link", "set", "lo", "up")
            ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", f"port{number}", "netns", SWITCH)
            ip("-n", host, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", SWITCH, "link", "set", f"port{number}", "master", "bridge")
            ip("-n", SWITCH, "link", "set", f"port{number}", "up")
        yield names
    finally:
        for host in (*names.values(), SWITCH):
            subprocess.run(["ip", "netns", "delete", host], check=False, capture_output=True)


def rows(path: Path) -> list[dict]:
    if not path.exists():
        return []
    text = path.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def until(is_so: Callable[[], bool], processes: dict[str, subprocess.Popen], what: str, seconds: float = 240) -> None:
    """Wait for something that the peers do, looking ten times a second; or until one of them ends."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"{what} did not happen in {seconds} s"
        for name, process in processes.items():
            with suppress(subprocess.TimeoutExpired):
                assert process.wait(0.1 / len(processes)) is None, f"{name} ended before {what}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_host_that_is_cut_off_comes_back_and_all_end_nearly_equal(hosts: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    certificates = tmp_path / "certs"
    create_authority(certificates)
    (tmp_path / "hosts.toml").write_text(SCENARIO)
    processes: dict[str, subprocess.Popen] = {}
    runs = {name: tmp_path / name for name in NAMES}
    logs = {name: tmp_path / f"{name}.log" for name in NAMES}
    try:
        for name in NAMES:
            issue(certificates, name)
            own = tmp_path / f"etc-{name}"  # what is copied to a host: its own key, and nobody else's
            own.mkdir()
            for file in ("ca.pem", f"{name}.pem", f"{name}.key"):
                shutil.copy(certificates / file, own / file)
            words = ["ip", "netns", "exec", hosts[name], sys.executable, "-m", "gossipfl", "peer"]
            words += [str(tmp_path / "hosts.toml"), "--name", name, "--certs", str(own)]
            words += ["--run-directory", str(runs[name])]
            with logs[name].open("wb") as log:
                processes[name] = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)

        def round_of(name: str) -> int:
            measured = rows(runs[name] / "history.jsonl")
            return measured[-1]["round"] if measured else 0

        def events(name: str, event: str) -> set[str]:
            return {row["neighbor"] for row in rows(runs[name] / "events.jsonl") if row["event"] == event}

        def neighbors_say(event: str) -> bool:
            return all("berlin" in events(name, event) for name in ("amsterdam", "cairo"))

        until(lambda: all(round_of(name) >= 3 for name in NAMES), processes, "the third round of all")
        ip("-n", SWITCH, "link", "set", "port2", "down")
        until(lambda: neighbors_say("unreachable"), processes, "berlin's silence")
        ip("-n", SWITCH, "link", "set", "port2", "up")
        until(lambda: neighbors_say("reachable"), processes, "berlin's return")
        enough = {name: round_of(name) + ROUNDS_TOGETHER for name in NAMES}
        until(lambda: all(round_of(name) >= enough[name] for name in NAMES), processes, "the last round of all")
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        statuses = {name: process.wait(timeout=120) for name, process in processes.items()}
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
    assert statuses == dict.fromkeys(NAMES, 0), {name: log.read_text()[-2000:] for name, log in logs.items()}

    last = {name: rows(run / "history.jsonl")[-NUM_LAST:] for name, run in runs.items()}
    accuracies = [mean(row["metrics"]["accuracy"] for row in measured) for measured in last.values()]
    assert min(accuracies) > 0.7, "with half of the classes nobody gets above 0.5 alone"
    assert max(accuracies) - min(accuracies) < 0.15

    report = complete(gather(list(runs.values()), tmp_path / "run"))
    links = contact(read_run(tmp_path / "run"))
    assert "berlin" in json.dumps(links)
    assert "Contact between peers" in report.read_text()
    for log in logs.values():
        assert "Traceback" not in log.read_text()
