"""`gossipfl measure`: three people with a table each ask what they have together, without a model."""

import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack

import numpy as np
import pytest
from deadline import DEADLINE
from typer.testing import CliRunner

from gossipfl import queries
from gossipfl.cli import measure
from gossipfl.cli.app import app
from gossipfl.experiments.loaded_data import load_data
from gossipfl.scenario import load_scenario

THREE = """
name = "three"
[topology]
links = [["a", "b"], ["b", "c"]]
[topology.peers]
a = { address = "http://127.0.0.1:%d" }
b = { address = "http://127.0.0.1:%d" }
c = { address = "http://127.0.0.1:%d" }
"""
AGES = {"a": [30.5, 41.0, 29.5, 62.0], "b": [18.0, 25.0, 33.5], "c": [70.5, 55.0, 44.0, 38.0, 21.0]}
COLORS = ["red", "blue", "red", "green", "red"]


@pytest.fixture
def three(tmp_path):
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in AGES]
        ports = tuple(listener.getsockname()[1] for listener in listeners)
    (tmp_path / "three.toml").write_text(THREE % ports)
    for name, ages in AGES.items():
        lines = [f"{age},{color}" for age, color in zip(ages, COLORS, strict=False)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["age,color", *lines]) + "\n")
    return tmp_path


def started(directory, name, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "gossipfl", "measure", "three.toml", "--name", name, *words],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.long
def test_three_terminals_with_a_table_each(three):
    queries = ["mean:age", "quantiles:age,at=0.25/0.5", "count", "mean:*"]
    words = [word for query in queries for word in ("--query", query)]
    peers = [started(three, name, "--shard", f"csv:{name}.csv", "--json", *words) for name in AGES]
    told = []
    for peer in peers:
        output, said = peer.communicate(timeout=DEADLINE)
        assert peer.returncode == 0, said
        told.append(json.loads(output))
    ages = np.concatenate(list(AGES.values()))
    for told_by_one, (name, own) in zip(told, AGES.items(), strict=True):
        mean, quantiles, count, every = told_by_one["answers"]
        assert mean["value"] == pytest.approx(ages.mean(), abs=mean["bound"] + 1e-14)
        assert quantiles["value"] == np.quantile(ages, [0.25, 0.5]).tolist()
        assert (count["value"], count["num_peers"], every["names"]) == (len(ages), 3, ["age"])
        assert f"all {len(own)} examples of csv:{name}.csv count" in told_by_one["counted"]
    assert told[0]["answers"] == told[1]["answers"] == told[2]["answers"]


@pytest.mark.long
def test_ctrl_c_while_others_are_missing(three):
    peer = started(three, "a", "--shard", "csv:a.csv", "--query", "mean:age")
    assert peer.stderr is not None
    while "waiting up to" not in (line := peer.stderr.readline()):
        assert line, "it ended"
    peer.send_signal(signal.SIGINT)
    output, said = peer.communicate(timeout=DEADLINE)
    assert peer.returncode == 130, said
    assert "stopped before there was an answer" in output
    assert "Traceback" not in said


def invoked(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


class TestInVirtualTime:
    DATA = ("--set", 'data={source="csv:c.csv", features="age", target="color", test_fraction=0.2}')

    @pytest.fixture(autouse=True)
    def here(self, three, monkeypatch):
        monkeypatch.chdir(three)
        lines = [f"{age},{COLORS[age % 5]}" for age in range(20, 70)]
        (three / "c.csv").write_text("\n".join(["age,color", *lines]) + "\n")

    def test_training_examples_count_and_cost_what_was_expected(self):
        queries = ("--query", "count", "--query", "mean:*", "--query", "classes")
        told = json.loads(invoked("measure", "three.toml", *self.DATA, *queries, "--json"))
        count, mean, classes = told["answers"]
        training = load_data(load_scenario("three.toml", self.DATA[1:])).train
        assert (count["value"], count["num_peers"]) == (40, 3)
        assert mean["value"] == pytest.approx(training.x.mean(), abs=1e-6)
        assert mean["names"] == ["age"]
        assert classes["value"] == {"blue": 8, "green": 8, "red": 24}
        assert told["counted"] == "of csv:c.csv, the 40 training examples count"
        assert all(told["cost"][name] <= told["predicted"][name] for name in told["cost"])

    def test_examples_may_have_weights(self):
        words = ("--query", "mean:age", "--query", "count", "--weight", "age", "--json")
        mean, count = json.loads(invoked("measure", "three.toml", *self.DATA, *words))["answers"]
        ages = load_data(load_scenario("three.toml", self.DATA[1:])).train.x
        assert mean["value"] == pytest.approx((ages**2).sum() / ages.sum(), rel=1e-6)
        assert count["value"] == 40

    def test_people_see_what_it_will_cost_the_table_and_what_it_did(self):
        queries = ("--query", "mean:age", "--query", "histogram:age,bins=2", "--query", "top:color,k=1")
        output = invoked("measure", "three.toml", *self.DATA, *queries)
        before, _, after = output.partition(" query ")
        assert "Expected at most" in before
        assert "top:color,k=1 red" in after
        assert "It took" in after

    def test_secure_sums_need_no_other_graph(self):
        secure = ("--set", "privacy={secure_aggregation=true}", "--set", 'algorithms=["local"]')
        queries = ("--query", "mean:age", "--query", "histogram:age,edges=20/40/70")
        plain, masked = (
            json.loads(invoked("measure", "three.toml", *self.DATA, *queries, *words, "--json"))["answers"]
            for words in ((), secure)
        )
        assert plain == masked
        shown = invoked("measure", "three.toml", *self.DATA, *queries, *secure)
        assert "Nobody sees what a single peer has" in shown

    def test_a_server_has_no_rows(self):
        only = ("--set", 'algorithms=["fedavg"]')
        queries = [word for query in ("std:age", "mean:*", "classes", "top:color") for word in ("--query", query)]
        told = json.loads(invoked("measure", "three.toml", *self.DATA, *only, *queries, "--json"))
        assert {(answer["num_peers"], answer["num_examples"]) for answer in told["answers"]} == {(4, 40)}


def test_what_a_federation_holds(three, monkeypatch):
    """A federation of one, which has nobody to wait for."""
    monkeypatch.chdir(three)
    (three / "one.toml").write_text(
        'data = { source = "csv:a.csv", target = "color" }\n'
        "[topology]\n[topology.peers]\n" + 'a = { address = "http://127.0.0.1:0" }\n'
    )
    shown = invoked("data", "show", "one.toml", "--name", "a", "--shard", "csv:a.csv", "--listen", "127.0.0.1:0")
    assert re.search(r"blue +1 +25\.00", shown)
    assert re.search(r"red +2 +50\.00", shown)
    assert "4 examples at 1 peers, 4 to 4 each" in shown
    assert "all 4 examples of csv:a.csv count" in shown


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["--query", "maen:age", "--name", "a"], "Did you mean 'mean'?"),
            (["--query", "mean", "--name", "a"], "names no column: write 'mean:COLUMN'"),
            (["--query", "mean:agee", "--name", "a", "--shard", "csv:a.csv"], "Did you mean 'age'?"),
            (["--query", "mean:color", "--name", "a", "--shard", "csv:a.csv"], "column 'color': mean takes numbers"),
            (["--query", "mean:age", "--name", "d", "--shard", "csv:a.csv"], "there is no peer 'd'"),
            (["--query", "mean:age", "--name", "a", "--shard", "csv:d.csv"], "there is no file d.csv"),
            (["--query", "mean:age", "--shard", "csv:a.csv"], "say which with --name"),
            (["--query", "count", "--weight", "age"], "weights are for mean, sum, variance and std"),
        ],
    )
    def test_in_a_sentence(self, three, monkeypatch, capfd, words, sentence):
        monkeypatch.chdir(three)
        result = CliRunner().invoke(app, ["measure", "three.toml", *words])
        assert result.exit_code != 0
        assert sentence in result.output + str(result.exception)


def test_the_patience_of_the_options_is_that_of_queries():
    assert measure.PATIENCE == queries.PATIENCE


def test_tensorflow_is_not_imported(three):
    code = """
import sys
import gossipfl.cli.commands.measure
from gossipfl.data.asked_columns import own_columns
from gossipfl.data.reading import PLAIN
from gossipfl.experiments.loaded_data import load_data
from gossipfl.scenario import Scenario
assert own_columns("csv:a.csv", ["age"], PLAIN)
load_data(Scenario(data={"source": "csv:a.csv", "target": "color"}), asked=("age",))
sys.exit(any(name.partition(".")[0] in ("tensorflow", "keras", "ray") for name in sys.modules))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=DEADLINE, cwd=three)
