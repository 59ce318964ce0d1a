"""A scenario says when runs end early; manifest, table, report and --json say where they did, and why."""

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from softmax_trainer import run_without_tensorflow
from test_resuming import content, stop_training

from gossipfl.errors import ConfigurationError
from gossipfl.runs.files import read_run
from gossipfl.runs.resuming import stopped_run
from gossipfl.scenario import Scenario
from gossipfl.scores import LOSS, Metric

TOY = """
rounds = 30
model = "softmax"
data = { source = "digits", partition = "iid", max_train = 80, max_test = 40 }
topology = { name = "ring", arguments = { n = 4 } }
algorithms = ["pairwise", "fedavg"]
stop = { metric = "accuracy", value = 0.3, patience = 30 }
"""
ACCURACY = Metric("accuracy")


@pytest.fixture
def gossipfl_(command_line, monkeypatch):
    Path("toy.toml").write_text(TOY)
    run_without_tensorflow(monkeypatch)
    return command_line


def test_it_is_said_wherever_a_run_is_told_of(gossipfl_):
    said = gossipfl_("compare", "toy.toml", "--output", "run", "--json")
    assert said.status == 0
    by_label = {one["label"]: one for one in json.loads(said.out)["stopped"]}
    why = by_label["pairwise"]["stopped"]
    assert "of what is deployed, on held-out data, was 0.3" in why
    assert f"pairwise (seed 0): stopped early {why}" in " ".join(said.err.split())
    run = read_run(Path("run"))
    (ended, *_) = run.manifest.ended
    assert (ended.stopped, ended.best_round) == (why, by_label["pairwise"]["best_round"])
    last = [row for row in run.history if row.algorithm == "pairwise"][-1]
    assert why.startswith(f"in round {last.round}, ")
    assert 0 < last.round < 30
    assert any(
        "Runs end, and their best round is chosen, by the test part" in note for note in run.manifest.differences
    )
    assert any(why in note for note in run.manifest.differences)  # the report shows those
    assert why in Path("run/report.html").read_text()
    best, average = (load_file(f"run/weights/pairwise-seed0.{kind}.safetensors") for kind in ("best", "average"))
    assert {name: array.tobytes() for name, array in best.items()} == {n: a.tobytes() for n, a in average.items()}
    history = stopped_run(Path("run")).ended["pairwise", 0]
    assert (history.stopped, history.best_round, len(history)) == (why, last.round, last.round + 1)


def test_it_ends_by_the_validation_part_and_is_measured_on_the_test_part_there(gossipfl_):
    validation = ("--set", "data.validation=0.3")
    assert gossipfl_("simulate", "toy.toml", "--output", "run", *validation).status == 0
    run = read_run(Path("run"))
    assert all("on validation data, was 0." in ended.stopped for ended in run.manifest.ended)
    assert not any("by the test part" in note for note in run.manifest.differences)
    *before, last = [row for row in run.history if row.algorithm == "pairwise"]
    assert last.round < 30
    assert last.column("deployed", "test_accuracy") is not None
    assert [row.column("deployed", "test_accuracy") for row in before] == [None] * len(before)


@pytest.mark.parametrize("call", [3, 9])
def test_a_run_that_goes_on_ends_early_as_if_it_had_not_been_interrupted(gossipfl_, monkeypatch, call):
    patience = ("--set", "stop={metric='loss', patience=1}", "--set", "evaluation.every=2", "--set", "rounds=12")
    patience += ("--set", "training.batch_size=2", "--set", "algorithms=['synchronous', 'pairwise']")
    gossipfl_("simulate", "toy.toml", "--output", "undisturbed", *patience)
    stop_training(monkeypatch, call, KeyboardInterrupt())
    gossipfl_("simulate", "toy.toml", "--output", "run", "--checkpoint-every", "1", *patience)
    run_without_tensorflow(monkeypatch)
    assert gossipfl_("simulate", "--resume", "run").status == 0
    assert content(Path("run")) == content(Path("undisturbed"))
    ended, expected = (stopped_run(Path(name)).ended for name in ("run", "undisturbed"))
    assert {name: (one.stopped, one.best_round) for name, one in ended.items()} == {
        name: (one.stopped, one.best_round) for name, one in expected.items()
    }


def test_an_engine_that_does_not_see_all_peers_ends_nothing(gossipfl_):
    Path("toy.toml").write_text(TOY.replace("patience = 30", "patience = 30, by = 'engine'"))
    for words in (
        ["launch", "toy.toml", "--processes"],
        ["peer", "toy.toml", "--name", "0", "--algorithm", "pairwise"],
    ):
        said = gossipfl_(*words)
        assert (said.status, "no engine sees all peers at one moment" in said.err) == (1, True), said.err
    assert not Path("runs").exists()


def test_only_a_run_that_looked_for_its_best_model_has_one(gossipfl_):
    said = gossipfl_("export", "run", "--best", "--average", "--output", "model.keras")
    assert "say which model to export: --peer NAME, --average or --best" in said.err
    Path("plain.toml").write_text(TOY.replace("stop =", "# stop ="))
    gossipfl_("simulate", "plain.toml", "--output", "run", "--set", "rounds=1", "--set", "algorithms=['pairwise']")
    said = gossipfl_("export", "run", "--best", "--output", "model.keras")
    assert "only a run whose scenario has `stop` looks for its best model" in said.err


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ({}, "stop needs a value of the metric, a patience"),
        ({"metric": "accuracy"}, "stop needs a value of the metric, a patience"),
        ({"patience": 0}, r"stop\.patience is 0"),
        ({"value": float("nan")}, r"stop\.value is nan"),
    ],
)
def test_a_stop_without_a_reason_is_refused(stop, message):
    with pytest.raises(ConfigurationError, match=message):
        Scenario(stop=stop)


def test_a_stop_needs_a_metric_that_the_run_has_and_a_value_that_can_be():
    def rule(*metrics, **stop):
        return Scenario(stop=stop).stop.rule(metrics)

    assert rule(ACCURACY, patience=2).metric == ACCURACY
    assert rule(patience=2).metric == rule(ACCURACY, metric="loss", value=0.1).metric == LOSS
    with pytest.raises(ConfigurationError, match=r"stop: there is no metric 'auc'"):
        rule(ACCURACY, metric="auc", patience=2)
    with pytest.raises(ConfigurationError, match=r"stop\.value is 90: it should be at most 1"):
        rule(ACCURACY, value=90)
    with pytest.raises(ConfigurationError, match="nothing says whether a higher own is better"):
        rule(Metric("own", None, "number"), patience=1)
