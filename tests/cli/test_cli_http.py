"""The commands for peers over HTTP, without TensorFlow: launch, peer, status, certs, gather; and what they refuse."""

import json
import logging
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from outcome import Outcome
from softmax_trainer import SoftmaxTrainer

from gossipfl.data.sources import load
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.files.whole_files import kept_for_this_process
from gossipfl.scenario import Scenario, load_scenario

TOY = """
rounds = 3
targets = [0.3]
model = "softmax"
data = { source = "digits", partition = "iid", max_train = 80, max_test = 40 }
topology = { name = "ring", arguments = { n = 4 } }
http = { linger = 60, meeting_seconds = 20 }
algorithms = ["synchronous", "fedavg"]
"""

PEERS = """
rounds = 2
model = "softmax"
data = { source = "digits", partition = "iid", max_train = 80, max_test = 40 }
http = { linger = 1, meeting_seconds = 0.2 }
algorithms = ["local", "pairwise"]

[topology]
links = [["a", "b"]]

[topology.peers]
a = { address = "%s" }
b = { address = "%s" }
"""


def addresses(scheme: str) -> tuple[str, ...]:
    """Two addresses on this machine that nobody else uses."""
    with socket.socket() as first, socket.socket() as second:
        for taken in (first, second):
            taken.bind(("127.0.0.1", 0))
        return tuple(f"{scheme}://127.0.0.1:{taken.getsockname()[1]}" for taken in (first, second))


@pytest.fixture
def gossipfl_(command_line) -> Iterator[Callable[..., Outcome]]:
    """The command line in a directory with two scenarios; logging is put back after the test."""
    Path("toy.toml").write_text(TOY)
    Path("peers.toml").write_text(PEERS % addresses("http"))
    root, own = logging.getLogger(), logging.getLogger("gossipfl")
    before = root.handlers[:], root.level, own.level
    yield command_line
    root.handlers[:], root.level = before[0], before[1]
    own.setLevel(before[2])


def content(directory: str) -> dict[str, bytes]:
    """What is in the files of a directory."""
    return {
        str(file.relative_to(directory)): file.read_bytes() for file in Path(directory).rglob("*") if file.is_file()
    }


def rows_in(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestLaunch:
    def test_it_ends_with_the_history_table_and_report_of_a_simulation(self, gossipfl_):
        virtual = gossipfl_("simulate", "toy.toml", "--output", "virtual")
        real = gossipfl_("launch", "toy.toml", "--output", "real")
        assert (virtual.status, real.status, real.err) == (0, 0, "")
        measured = ("algorithm", "seed", "round", "average_accuracy", "mean_accuracy", "consensus_distance")
        expected = [{name: row[name] for name in measured} for row in rows_in(Path("virtual/history.jsonl"))]
        found = [{name: row[name] for name in measured} for row in rows_in(Path("real/history.jsonl"))]
        finals = [row for row in expected if row["round"] in (0, 3)]
        assert [row for row in found if row["round"] in (0, 3)] == finals  # between, a real moment is not a virtual one
        assert [row["round"] for row in found] == [row["round"] for row in expected]
        last = rows_in(Path("real/history.jsonl"))[-1]
        assert last["num_bytes"] == rows_in(Path("virtual/history.jsonl"))[-1]["num_bytes"]
        manifest = json.loads(Path("real/manifest.json").read_text())
        assert manifest["mode"] == {"command": "launch", "engine": "HTTP in one process", "trainer": "local"}
        assert manifest["command"] == "gossipfl launch toy.toml"
        assert "real" in real.out
        assert "virtual" not in real.out
        assert Path("real/report.html").exists()
        assert {path.name for path in Path("real/weights").iterdir()} == {
            path.name for path in Path("virtual/weights").iterdir()
        }

    def test_compare_runs_over_http_with_the_bounds(self, gossipfl_):
        outcome = gossipfl_("compare", "toy.toml", "--engine", "http", "--output", "run", "--json")
        answer = json.loads(outcome.out)
        assert [row["label"] for row in answer["rows"]] == ["synchronous", "fedavg", "local", "centralized"]
        assert json.loads(Path("run/manifest.json").read_text())["command"].endswith("--engine http")

    def test_two_peers_that_cannot_be_reached_on_one_link_are_refused(self, gossipfl_):
        peers = {"a": {"listen": False}, "b": {"listen": False}, "c": {}}
        topology = json.dumps({"peers": peers, "links": [["a", "b"], ["b", "c"]]})
        Path("nat.json").write_text(json.dumps({"topology": json.loads(topology), "model": "softmax"}))
        outcome = gossipfl_("launch", "nat.json")
        assert outcome.status == 1
        assert "peers 'a' and 'b' are linked, but neither can be reached" in outcome.err

    def test_a_peer_that_polls_takes_part(self, gossipfl_):
        peers = {"a": {"listen": False}, "b": {}, "c": {}}
        scenario = load_scenario("toy.toml").model_dump(mode="json", exclude_none=True)
        scenario["topology"] = {"peers": peers, "links": [["a", "b"], ["b", "c"]]}
        Path("nat.json").write_text(json.dumps(scenario))
        assert gossipfl_("launch", "nat.json", "--output", "run").status == 0
        assert gossipfl_("simulate", "nat.json", "--output", "virtual").status == 0
        real, virtual = (rows_in(Path(run, "history.jsonl"))[-1] for run in ("run", "virtual"))
        assert real["peer_accuracy"] == virtual["peer_accuracy"]


class TestPeer:
    def test_a_peer_leaves_what_gather_reads(self, gossipfl_):
        outcome = gossipfl_("peer", "peers.toml", "--name", "a", "--algorithm", "local", "--run-directory", "a")
        assert outcome.status == 0
        assert "a round 2 done after round 2 of 2" in outcome.err
        rows = rows_in(Path("a/history.jsonl"))
        assert [row["round"] for row in rows] == [0, 1, 2]
        gossipfl_("peer", "peers.toml", "--name", "b", "--algorithm", "local", "--run-directory", "b")
        gathered = gossipfl_("gather", "a", "b", "--output", "run")
        assert (gathered.status, gathered.out) == (0, "Run: run\nReport: run/report.html\n")
        assert rows_in(Path("run/history.jsonl"))[-1]["peer_accuracy"].keys() == {"a", "b"}

    def test_gather_measures_the_average_model_that_an_engine_measures(self, gossipfl_):
        gossipfl_("simulate", "peers.toml", "--set", "algorithms=['local']", "--output", "virtual")
        for name in ("a", "b"):
            gossipfl_("peer", "peers.toml", "--name", name, "--algorithm", "local", "--run-directory", name)
        outcome = gossipfl_("gather", "a", "b", "--output", "run", "--scenario", "peers.toml", "--evaluate")
        assert (outcome.status, outcome.err) == (0, "")
        found, expected = (rows_in(Path(run, "history.jsonl"))[-1] for run in ("run", "virtual"))
        for name in ("average_accuracy", "average_loss", "consensus_distance"):
            assert found[name] == expected[name]
        summary = json.loads(Path("run/summary.json").read_text())["rows"][0]
        assert summary["average_accuracy"]["mean"] == expected["average_accuracy"]
        notes = json.loads(Path("run/manifest.json").read_text())["differences"]
        assert any("measured when the run was gathered" in note and "same data as the peers'" in note for note in notes)

    def test_gather_does_not_measure_with_what_a_directory_names(self, gossipfl_):
        outcome = gossipfl_("gather", "a", "b", "--output", "run", "--evaluate")
        assert outcome.status == 1
        assert "name the scenario that the peers ran by --scenario" in outcome.err

    def test_alone_it_does_its_rounds_and_leaves_after_its_linger_time(self, gossipfl_):
        options = ("--set", "algorithms=[{name='pairwise', timeout=0.2, max_backoff=0.4}]", "--run-directory", "a")
        outcome = gossipfl_("peer", "peers.toml", "--name", "a", *options)
        assert outcome.status == 0
        assert "cannot be reached" in outcome.err
        assert rows_in(Path("a/history.jsonl"))[-1]["round"] == 2

    def test_it_goes_on_only_when_it_is_told_to(self, gossipfl_):
        options = ("peer", "peers.toml", "--name", "a", "--algorithm", "local", "--run-directory", "a")
        assert gossipfl_(*options).status == 0
        again = gossipfl_(*options)
        assert again.status == 1
        assert "a holds a run already; go on with it (--resume)" in again.err
        resumed = gossipfl_(*options, "--resume")
        assert resumed.status == 0
        assert [row["round"] for row in rows_in(Path("a/history.jsonl"))] == [0, 1, 2]
        assert Path("a/incarnation").read_text() == "2\n"
        other = gossipfl_(*options, "--resume", "--set", "seed=1")
        assert other.status == 1
        assert "holds the run of another" in other.err

    def test_one_that_was_stopped_before_it_began_can_begin_again(self, gossipfl_):
        Path("a/weights").mkdir(parents=True)
        Path("a/incarnation").write_text("3\n")
        Path("a/.checkpoint-1.safetensors.unfinished").write_bytes(b"half")  # it was killed while it wrote its first
        options = ("peer", "peers.toml", "--name", "a", "--algorithm", "local", "--run-directory", "a")
        assert gossipfl_(*options).status == 0
        assert Path("a/incarnation").read_text() == "4\n"
        Path("b").mkdir()
        Path("b/thesis.txt").write_text("")
        for more in ((), ("--resume",)):
            refused = gossipfl_(*options[:-1], "b", *more)
            assert refused.status == 1
            assert "b is there and not empty; give another --run-directory" in refused.err

    def test_messages_that_leave_after_the_last_round_are_in_the_last_row(self, gossipfl_, monkeypatch):
        run = HTTPPeer.run

        async def run_and_send(host):
            await run(host)
            b = host.neighbors["b"]
            b.traffic = b.traffic.and_sent(500)

        monkeypatch.setattr(HTTPPeer, "run", run_and_send)
        gossipfl_("peer", "peers.toml", "--name", "a", "--algorithm", "pairwise", "--run-directory", "a", "--time", "1")
        *_, before, last = rows_in(Path("a/history.jsonl"))
        assert (last["num_messages"], last["sent"]) == (before["num_messages"] + 1, before["sent"] + 2000)

    def test_two_processes_are_not_at_work_in_one_directory(self, gossipfl_):
        options = ("peer", "peers.toml", "--name", "a", "--algorithm", "local", "--run-directory", "a")
        assert gossipfl_(*options).status == 0
        before = content("a")
        with kept_for_this_process(Path("a/weights")):
            outcome = gossipfl_(*options, "--resume")
        assert (outcome.status, outcome.err.count("\n")) == (1, 1)
        assert "another process is at work in a" in outcome.err
        assert content("a") == before

    @pytest.mark.parametrize("option", ["--listen", "--watch"])
    def test_a_port_that_is_taken_is_said_before_anything_is_made(self, gossipfl_, option):
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = f"127.0.0.1:{other.getsockname()[1]}"
            outcome = gossipfl_(
                "peer", "peers.toml", "--name", "a", "--algorithm", "local", option, taken, "--run-directory", "a"
            )
        assert (outcome.status, outcome.err.count("\n")) == (1, 1)
        assert f"cannot listen on {taken}" in outcome.err
        assert not Path("a").exists()

    def test_one_that_is_stopped_while_it_starts_leaves_nothing(self, gossipfl_, monkeypatch):
        options = ("peer", "peers.toml", "--name", "a", "--algorithm", "local", "--run-directory", "a")
        with monkeypatch.context() as patch:
            patch.setattr(
                "gossipfl.cli.commands.loading.import_tensorflow", lambda: signal.raise_signal(signal.SIGTERM)
            )
            stopped = gossipfl_(*options)
        assert stopped.status == 0
        assert [line.rsplit("  ")[-1] for line in stopped.err.splitlines()][-1].endswith("stopped before the run began")
        assert "starting a of peers in a" in stopped.err
        assert not Path("a").exists()
        assert gossipfl_(*options).status == 0

    def test_being_stopped_is_not_lost_in_an_import_that_swallows_whatever_is_raised(self, gossipfl_, monkeypatch):
        def importing() -> None:
            with suppress(BaseException):
                signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr("gossipfl.cli.commands.loading.import_tensorflow", importing)
        stopped = gossipfl_("peer", "peers.toml", "--name", "a", "--algorithm", "local", "--run-directory", "a")
        assert stopped.status == 0
        assert stopped.err.splitlines()[-1].endswith("stopped before the run began")
        assert "checkpoint" not in " ".join(content("a"))

    @pytest.mark.parametrize("more", [(), ("--resume",), ("--set", "seed=7")], ids=["as before", "resumed", "another"])
    def test_one_that_is_stopped_before_its_first_checkpoint_can_begin_again(self, gossipfl_, monkeypatch, more):
        options = ("peer", "peers.toml", "--name", "a", "--algorithm", "local", "--run-directory", "a")
        with monkeypatch.context() as patch:
            patch.setattr(SoftmaxTrainer, "prepare", lambda trainer: os.kill(os.getpid(), signal.SIGTERM))
            stopped = gossipfl_(*options)
        assert stopped.status == 0
        assert "stopped before the run began" in stopped.err
        assert "listening on" in stopped.err
        assert "checkpoint" not in " ".join(content("a"))
        assert gossipfl_(*options, *more).status == 0
        assert Path("a/incarnation").read_text() == "2\n"
        assert [row["round"] for row in rows_in(Path("a/history.jsonl"))] == [0, 1, 2]

    @pytest.mark.parametrize(
        ("damage", "said"), [("changed", "are both damaged"), ("emptied", "are both damaged"), ("removed", "are gone")]
    )
    def test_without_a_whole_checkpoint_it_does_not_go_on_from_the_beginning(self, gossipfl_, damage, said):
        options = ("peer", "peers.toml", "--name", "a", "--algorithm", "local", "--run-directory", "a")
        assert gossipfl_(*options).status == 0
        for file in Path("a").glob("checkpoint-*"):
            if damage == "changed":
                noise = bytearray(file.read_bytes())
                noise[-1] ^= 1
                file.write_bytes(noise)
            elif damage == "emptied":
                file.write_bytes(b"")
            else:
                file.unlink()
        before = content("a")
        outcome = gossipfl_(*options, "--resume")
        assert (outcome.status, outcome.err.splitlines()[-1][:6]) == (1, "Error:")
        assert said in outcome.err
        assert "begin the run again at all peers" in outcome.err
        assert {name: found for name, found in content("a").items() if name != "incarnation"} == {
            name: found for name, found in before.items() if name != "incarnation"
        }

    @pytest.mark.parametrize("name", ["manifest.json", "history.jsonl"])
    @pytest.mark.parametrize(
        "garbage", [b"", b"\x00\xff\n", b"null\n", b"{}\n", b'{"round": "x"}\n', b"[" * 100_000 + b"\n"]
    )
    def test_a_garbled_file_is_a_sentence_and_nothing_is_lost(self, gossipfl_, name, garbage):
        options = ("peer", "peers.toml", "--name", "a", "--algorithm", "local", "--run-directory", "a")
        assert gossipfl_(*options).status == 0
        whole = Path("a", name).read_bytes()
        Path("a", name).write_bytes(garbage)
        before = content("a")
        outcome = gossipfl_(*options, "--resume")
        if not garbage and name == "history.jsonl":  # nothing was measured
            assert outcome.status == 0
            return
        assert outcome.status == 1, outcome.out
        assert outcome.err.splitlines()[-1].startswith("Error: ")
        assert "Traceback" not in outcome.err
        assert name in outcome.err
        assert "estore the file" in outcome.err
        after = content("a")
        assert {one for one in after if after[one] != before[one]} <= {"incarnation"}
        Path("a", name).write_bytes(whole)
        assert gossipfl_(*options, "--resume").status == 0

    def test_log_lines_for_machines_are_json_with_peer_and_round(self, gossipfl_):
        options = ("--algorithm", "local", "--run-directory", "a", "--log-format", "json")
        lines = gossipfl_("peer", "peers.toml", "--name", "a", *options).err.splitlines()
        said = [json.loads(line) for line in lines]
        assert {line["peer"] for line in said if "peer" in line} == {"a"}
        assert any(line.get("round") == 2 for line in said)
        assert all({"time", "level", "logger", "text"} <= line.keys() for line in said)
        last = [line for line in said if "loss" in line][-1]
        assert (last["after_round"], last["rounds"]) == (2, 2)
        assert f"loss {last['loss']:.4f}, accuracy {last['accuracy']:.4f}" in last["text"], "numbers are fields, too"

    def test_a_shard_of_its_own_takes_the_place_of_its_part(self, gossipfl_):
        options = ("--algorithm", "local", "--run-directory", "a", "--shard", "digits")
        assert gossipfl_("peer", "peers.toml", "--name", "a", *options).status == 0
        manifest = json.loads(Path("a/manifest.json").read_text())
        assert {name: sum(row) for name, row in manifest["partition"]["label_counts"].items()} == {"a": 80}

    def test_a_peer_goes_on_without_one_that_was_shut_out(self, gossipfl_):
        """In the same run: neither its id nor whose part of the data is whose has changed."""
        three = (PEERS % addresses("http")).replace('["local", "pairwise"]', '["synchronous", "d2", "fedavg"]')
        three = three.replace('[["a", "b"]]', '[["a", "mallory"]]').replace("b = {", "mallory = {")
        Path("three.toml").write_text(three.replace("linger = 1", "linger = 0"))
        options = (
            "peer",
            "three.toml",
            "--name",
            "a",
            "--algorithm",
            "synchronous",
            "--run-directory",
            "a",
            "--resume",
        )
        assert gossipfl_(*options, "--time", "0.5").status == 0
        before = json.loads(Path("a/manifest.json").read_text())
        assert "stopped " in gossipfl_(*options, "--time", "0.5").err  # it waits for its neighbor
        gone = ("--set", "http.revoked=['mallory']")
        outcome = gossipfl_(*options, *gone)
        assert (outcome.status, "done after round 2 of 2" in outcome.err) == (0, True)
        assert json.loads(Path("a/manifest.json").read_text())["run_id"] == before["run_id"]

        def refused(*arguments: str) -> str:
            outcome = gossipfl_(*arguments)
            assert (outcome.status, outcome.err.count("\n")) == (1, 1)
            return outcome.err

        peer = ("peer", "three.toml", "--run-directory", "b")
        assert "mallory has been shut out of the run" in refused(*peer, "--name", "mallory", *options[4:6], *gone)
        said = refused(*peer, "--name", "a", "--algorithm", "d2", *gone)
        assert "'d2' cannot go on without a participant: each step corrects the one before" in said
        of_the_server = ("--algorithm", "fedavg", "--set", "http.revoked=['server']")
        assert "'server', which keeps the model" in refused(*peer, "--name", "a", *of_the_server)
        assert "names the participant 'eve'; there are" in refused(
            *peer, "--name", "a", "--set", "http.revoked=['eve']"
        )
        assert not Path("b").exists()
        for how in ([], ["--processes"]):
            said = gossipfl_("launch", "three.toml", *how, *gone)
            assert (said.status, "here all are started: say --set http.revoked=[]" in said.err) == (1, True)
        assert not Path("runs").exists()

    def test_peers_that_would_deal_the_data_in_another_way_are_of_another_run(self, gossipfl_):
        def run_id(directory: str, *options: str) -> str:
            options = ("--algorithm", "local", "--run-directory", directory, *options)
            outcome = gossipfl_("peer", "peers.toml", "--name", "a", *options)
            assert outcome.status == 0, outcome.err
            return json.loads(Path(directory, "manifest.json").read_text())["run_id"]

        digits = load("digits")
        parts = (("train", digits.train), ("test", digits.test))
        arrays = {f"{name}_{part}": getattr(examples, name) for part, examples in parts for name in ("x", "y")}
        np.savez("one.npz", **arrays)
        np.savez("two.npz", **arrays)
        plain = run_id("plain")
        assert run_id("by-path", "--data", "npz:one.npz") == run_id("by-another", "--data", "npz:two.npz") == plain
        others = {
            run_id("rule", "--set", "data.partition=contiguous"),
            run_id("argument", "--set", "data.partition={name = 'dirichlet', alpha = 1.0}"),
            run_id("seed", "--seed", "1"),
            run_id("examples", "--set", "data.max_train=81"),
            run_id("held-out", "--set", "data.max_test=41"),
            run_id("own", "--shard", "npz:one.npz"),
        }
        assert len(others - {plain}) == 6
        assert run_id("own-too", "--shard", "npz:two.npz", "--set", "data.max_train=7") in others

    def test_with_the_digest_in_the_scenario_some_may_bring_their_own_examples(self, gossipfl_):
        digest = json.loads(gossipfl_("data", "show", "peers.toml", "--json").out)["digest"]
        options = ("peer", "peers.toml", "--algorithm", "local", "--set", f"data.digest={digest}")
        x, y = np.random.default_rng(0).random((30, 8, 8, 1), np.float32), np.arange(30) % 10
        np.savez("own.npz", x=x, y=y)
        assert gossipfl_(*options, "--name", "a", "--run-directory", "a").status == 0
        assert gossipfl_(*options, "--name", "b", "--run-directory", "b", "--shard", "npz:own.npz").status == 0
        ids = {json.loads(Path(name, "manifest.json").read_text())["run_id"] for name in "ab"}
        assert len(ids) == 1
        other = gossipfl_(*options, "--name", "a", "--run-directory", "c", "--data", "npz:own.npz")
        assert (other.status, "and data.digest is" in other.err) == (1, True)

    @pytest.mark.parametrize(
        ("scenario", "options", "expected"),
        [
            ("peers.toml", ["--name", "c"], "there is no peer 'c'; there are a, b"),
            ("toy.toml", ["--name", "0"], "nothing says where 1, 3 can be reached"),
            ("toy.toml", ["--name", "0", "--address", "1=http://x"], "the address of peer '1' is http(s)://HOST:PORT"),
            ("peers.toml", ["--name", "a", "--address", "z=http://127.0.0.1:1"], "--address names 'z'; there are a, b"),
            ("peers.toml", ["--name", "a", "--listen", "0.0.0.0:0"], "without TLS would be open to the network"),
            ("peers.toml", ["--name", "a", "--address", "b=http://10.0.0.1:80"], "in the clear and not on this"),
            ("peers.toml", ["--name", "a", "--address", "b=https://127.0.0.1:1"], "TLS needs certificates"),
            ("peers.toml", ["--name", "a", "--certs", "nowhere"], "nowhere"),
            ("peers.toml", ["--name", "a", "--initial", "nowhere.safetensors"], "nowhere.safetensors"),
        ],
    )
    def test_what_cannot_be_done_is_one_line_and_leaves_nothing(self, gossipfl_, scenario, options, expected):
        algorithm = ["--algorithm", "synchronous" if scenario == "toy.toml" else "pairwise"]
        outcome = gossipfl_("peer", scenario, *options, *algorithm)
        assert (outcome.status, outcome.out) == (1, "")
        assert expected in outcome.err
        assert outcome.err.splitlines()[-1].startswith("Error: ")
        assert "Traceback" not in outcome.err

    @pytest.mark.parametrize("listen", ["7000", "host", "host:port", "host:99999", ":80"])
    def test_a_garbled_address_is_a_usage_error(self, gossipfl_, listen):
        outcome = gossipfl_("peer", "peers.toml", "--name", "a", "--listen", listen)
        assert outcome.status == 2
        assert "--listen is HOST:PORT" in re.sub(r"\s+", " ", outcome.err)


class TestStatus:
    def test_nobody_there_is_said_and_is_a_failure(self, gossipfl_):
        outcome = gossipfl_("status", "http://127.0.0.1:9", "ftp://x", "--json")
        assert outcome.status == 1
        answers = json.loads(outcome.out)
        assert "cannot be reached" in answers["http://127.0.0.1:9"]["error"]
        assert "watched at http://HOST:PORT" in answers["ftp://x"]["error"]


class TestCertificates:
    def test_an_authority_issues_and_shows(self, gossipfl_):
        assert gossipfl_("certs", "init").status == 0
        assert gossipfl_("certs", "issue", "a", "b").status == 0
        assert Path("certs/a.key").stat().st_mode & 0o777 == 0o600
        shown = gossipfl_("certs", "show", "--json")
        assert [fact["name"] for fact in json.loads(shown.out)] == ["a", "b", json.loads(shown.out)[2]["name"]]
        assert "a" in gossipfl_("certs", "show").out

    def test_nothing_is_overwritten(self, gossipfl_):
        gossipfl_("certs", "init")
        key = Path("certs/ca.key").read_bytes()
        outcome = gossipfl_("certs", "init")
        assert outcome.status == 1
        assert outcome.err.startswith("Error: ")
        assert Path("certs/ca.key").read_bytes() == key

    def test_secrets_are_in_no_file_and_no_line(self, gossipfl_, tmp_path):
        Path("tls.toml").write_text(PEERS % addresses("https"))
        gossipfl_("certs", "init")
        said = gossipfl_("certs", "issue", "a", "b")
        options = ("--certs", "certs", "--log-level", "debug", "--run-directory")
        algorithm = ("--set", "algorithms=[{name='pairwise', timeout=0.2, max_backoff=0.4}]")
        runs = [gossipfl_("peer", "tls.toml", "--name", name, *algorithm, *options, name) for name in ("a", "b")]
        assert [run.status for run in runs] == [0, 0], runs
        gossipfl_("gather", "a", "b", "--output", "run")
        secrets = set()
        for key in Path("certs").glob("*.key"):
            secrets |= {line for line in key.read_text().splitlines() if not line.startswith("-----")}
        assert len(secrets) >= 3
        texts = [said.out, said.err, *(run.out + run.err for run in runs)]
        texts += [
            path.read_bytes().decode("latin-1")
            for folder in ("a", "b", "run")
            for path in (tmp_path / folder).rglob("*")
            if path.is_file()
        ]
        assert len(texts) > 10
        for secret in secrets:
            assert not any(secret in text for text in texts)


def test_a_scenario_may_be_json(gossipfl_):
    scenario = load_scenario("toy.toml")
    Path("toy.json").write_text(json.dumps(scenario.model_dump(mode="json", exclude_none=True)))
    assert load_scenario("toy.json") == Scenario(**scenario.model_dump(exclude_none=True))
    Path("list.json").write_text("[]")
    assert "it is a list" in gossipfl_("simulate", "list.json").err
