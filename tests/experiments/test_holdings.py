"""Who holds what, from what a scenario says in TOML or in Python to the manifest of its run."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from softmax_trainer import run_without_tensorflow

from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples
from gossipfl.errors import ConfigurationError, DataError
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.holdings import Holdings
from gossipfl.experiments.loaded_data import load_data
from gossipfl.experiments.mode import Command, Mode
from gossipfl.experiments.running import run_all
from gossipfl.report.complete import complete
from gossipfl.runs.beginning import run_manifest
from gossipfl.runs.directory import RunDirectory
from gossipfl.runs.resuming import stopped_run
from gossipfl.scenario import Scenario, load_scenario
from gossipfl.scenario.own_scenario import functions_named

CITIES = np.array(["Bern", "Rom", "Ulm"])


def towns(num_train: int = 60, num_test: int = 24) -> Dataset:
    """Pictures of two classes from three cities, told apart by a column; a fourth city is in the test part only."""

    def part(number: int, cities: np.ndarray) -> Examples:
        k = np.arange(number)
        x = (k[:, None, None] * 16 + np.arange(16).reshape(4, 4)) % 251 / np.float32(251)
        return Examples(x.astype(np.float32), (k % 2).astype(np.int32), columns={"city": cities[k % len(cities)]})

    return Dataset("towns", part(num_train, CITIES), part(num_test, np.append(CITIES, "Oslo")), num_classes=2)


def scenario(partition: object, peers: list[str] | int = 3, **fields: object) -> Scenario:
    names = [str(peer) for peer in range(peers)] if isinstance(peers, int) else peers
    links = [[a, b] for a, b in pairwise(names)]
    data = {"source": towns(), "partition": partition, **fields}
    return Scenario(model="softmax", rounds=1, data=data, topology={"peers": names, "links": links})


def manifest_of(experiment: Experiment):
    return run_manifest(experiment.scenario, experiment, [0], Mode(Command.SIMULATE), "")


def test_a_column_deals_users_and_the_manifest_names_them(monkeypatch):
    run_without_tensorflow(monkeypatch)
    experiment = Experiment(scenario({"name": "column", "by": "city"}, ["Ulm", "Bern", "Rom"]))
    columns = experiment.dataset.train.columns["city"]
    assert {peer: set(columns[shard]) for peer, shard in experiment.shards.items()} == {
        "Ulm": {"Ulm"},
        "Bern": {"Bern"},
        "Rom": {"Rom"},
    }
    partition = manifest_of(experiment).partition
    assert partition.values == {"Ulm": ["Ulm"], "Bern": ["Bern"], "Rom": ["Rom"]}
    assert partition.parameters == {"by": "city"}
    assert partition.only("Rom").values == {"Rom": ["Rom"]}


def test_lists_and_functions_in_python_and_toml(monkeypatch, tmp_path):
    run_without_tensorflow(monkeypatch)
    lists = {"0": np.arange(0, 60, 3), "1": np.arange(1, 60, 3), "2": np.arange(2, 60, 3)}
    (tmp_path / "parts.json").write_text(json.dumps({peer: part.tolist() for peer, part in lists.items()}), "utf-8")
    (tmp_path / "deals_of_holdings.py").write_text(
        "def deal(examples, peers, generator):\n"
        "    return [range(k, len(examples), len(peers)) for k in range(len(peers))]\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    def by_thirds(examples, peers, generator):
        return {peer: np.arange(int(peer), len(examples), len(peers)) for peer in peers}

    file = str(tmp_path / "parts.json")
    given = [lists, list(lists.values()), {"name": "indices", "file": file}, {"name": "indices", "parts": lists}]
    given += [by_thirds, "deals_of_holdings:deal", {"name": "function", "function": "deals_of_holdings:deal"}]
    for partition in given:
        shards = Experiment(scenario(partition)).shards
        assert {peer: shard.tolist() for peer, shard in shards.items()} == {k: v.tolist() for k, v in lists.items()}
    (tmp_path / "its.toml").write_text(
        f"""
        model = "softmax"
        topology = {{ name = "ring", arguments = {{ n = 3 }} }}
        [data]
        partition = {{ name = "indices", file = "{Path(file).as_posix()}" }}
    """,
        "utf-8",
    )
    loaded = load_scenario(tmp_path / "its.toml")
    with pytest.raises(ConfigurationError, match="training examples to nobody"):
        Experiment(loaded)
    manifest = manifest_of(Experiment(scenario(lists)))
    again = Scenario(**manifest.scenario | {"data": {**manifest.scenario["data"], "source": towns()}})
    assert Experiment(again).shards["2"].tolist() == lists["2"].tolist()
    assert "parts" not in manifest.partition.parameters
    assert functions_named(scenario(by_thirds))["data.partition.function"].endswith("by_thirds")
    assert "data.partition.function" not in functions_named(scenario("iid"))


@pytest.mark.parametrize(
    ("partition", "words"),
    [
        ("column", "partition 'column' needs by"),
        ({"name": "column", "by": ""}, "data.partition.by"),
        ({"name": "iid", "by": "city"}, "partition 'iid' does not take by"),
        ({"name": "indices"}, "either a file or parts"),
        ({"name": "indices", "parts": [[0.5], [1]]}, "data.partition.parts"),
        ({"name": "function", "function": 3}, "expected package.module:function or a function, got int"),
        ({"alpha": 0.5}, "data.partition"),
    ],
)
def test_a_partition_that_says_too_little_or_too_much_is_named(partition, words):
    with pytest.raises(ConfigurationError, match=words):
        scenario(partition)


def test_skew_turns_what_peers_hold_in_training_and_of_what_is_held_out(monkeypatch):
    run_without_tensorflow(monkeypatch)
    experiment = Experiment(scenario("iid", skew={"rotations": [0, 90, 180]}))
    holdings, plain = experiment.holdings, experiment.dataset
    assert experiment.trainer.dataset is holdings.dataset
    assert experiment.dataset.digest == towns().digest
    assert sorted(view.rotation for view in holdings.views.values()) == [0, 90, 180]
    for part, shares in (("train", holdings.shards), ("test", holdings.held_out["test"])):
        seen, before = dict(holdings.dataset.parts)[part].x, dict(plain.parts)[part].x
        assert sum(map(len, shares.values())) == len(before)
        for peer, share in shares.items():
            turns = holdings.views[peer].rotation / 90
            np.testing.assert_array_equal(seen[share], np.rot90(before[share], turns, axes=(1, 2)))
    manifest = manifest_of(experiment)
    assert manifest.partition.views["1"] == {"rotation": holdings.views["1"].rotation, "noise": 0.0}
    assert any("Features are skewed" in note for note in manifest.differences)
    assert Experiment(scenario("iid", skew={"rotations": [0, 90, 180]}, seed=5)).holdings.views != holdings.views


def test_skew_that_changes_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="give rotations or noise"):
        scenario("iid", skew={})
    with pytest.raises(ConfigurationError, match=r"data\.skew\.noise\.0"):
        scenario("iid", skew={"noise": [-1]})


def measured(monkeypatch, on="global", **data):
    run_without_tensorflow(monkeypatch)
    fields = {"model": "softmax", "rounds": 2, "targets": [0.2], "algorithms": ["synchronous", "fedavg"]}
    data = {"source": "digits", "max_train": 200, "max_test": 60, "partition": {"name": "labels", "per_peer": 3}} | data
    ring = {"name": "ring", "arguments": {"n": 4}}
    return Experiment(Scenario(**fields, data=data, topology=ring, evaluation={"on": on}))


def run(experiment, algorithm):
    return list(experiment.simulator(experiment.scenario.section(algorithm)))


def test_without_a_validation_part_all_is_by_the_test_part(monkeypatch):
    experiment = measured(monkeypatch)
    assert [metric.name for metric in experiment.metrics] == ["accuracy"]
    for evaluation in run(experiment, "synchronous"):
        assert list(evaluation.metrics) == ["accuracy"]
        assert evaluation.main.metric.on == "held-out data"


def test_with_a_validation_part_the_test_part_is_measured_at_the_end(monkeypatch):
    experiment = measured(monkeypatch, validation=0.25)
    data = experiment.dataset
    assert (len(data.train), len(data.validation), len(data.test)) == (150, 50, 60)
    assert sum(map(len, experiment.shards.values())) == 150
    *before, last = run(experiment, "synchronous")
    assert {evaluation.mean_test_accuracy for evaluation in before} == {None}
    assert {evaluation.main.metric.on for evaluation in before} == {"validation data"}
    trainer = experiment.trainer
    models = [peer.standing.model for peer in experiment.simulator(experiment.scenario.algorithms[0]).peers.values()]
    assert before[0].mean_accuracy == trainer.evaluate(models, "validation")[0].metrics["accuracy"]
    assert last.mean_test_accuracy is not None
    names = [metric.name for metric in experiment.metrics]
    assert names == ["accuracy", "test_loss", "test_accuracy"]


@pytest.mark.parametrize("algorithm", ["synchronous", "fedavg"])
def test_own_shares_ask_what_a_peer_meets(monkeypatch, algorithm):
    """With three labels each, a peer's own model is good on its own share long before it is on all ten."""
    experiment = measured(monkeypatch, on="both", validation=0.25)
    last = run(experiment, algorithm)[-1]
    assert list(last.metrics) == [
        "accuracy",
        *("own_loss", "own_accuracy"),
        *("test_loss", "test_accuracy", "test_own_loss", "test_own_accuracy"),
    ]
    if algorithm == "fedavg":  # whose clients end with the server's model
        assert last.deployed_own_accuracy == last.average_own_accuracy == last.mean_own_accuracy
    else:
        assert last.mean_own_accuracy > last.mean_accuracy + 0.1
    labels = experiment.dataset.validation.y
    for peer, share in experiment.holdings.held_out["validation"].items():
        assert set(labels[share]) <= set(experiment.dataset.train.y[experiment.shards[peer]])
    (first, second) = experiment.holdings.notes("both")
    assert first.startswith("Each peer's own share of the test part is dealt as its training examples are, class by")
    assert "validation part" in second
    alone = measured(monkeypatch, on="own", validation=0.25)
    assert list(run(alone, algorithm)[-1].metrics) == ["accuracy", "test_loss", "test_accuracy"]
    assert run(alone, algorithm)[-1].mean_accuracy == last.mean_own_accuracy


def test_a_peer_with_examples_of_its_own_has_all_that_is_held_out_of_them():
    shards = {"Bern": np.arange(60)}
    holdings = Holdings.own(towns(), shards)
    (place,) = holdings.places("own")
    assert place.shares["Bern"].tolist() == list(range(24))
    assert holdings.shards is shards


def test_a_run_that_goes_on_keeps_what_was_measured_where(monkeypatch, tmp_path):
    """Also of a peer that has no share: it holds a hundredth of the examples."""

    def unequal(examples, peers, generator):
        return [[0], *np.array_split(np.arange(1, len(examples)), len(peers) - 1)]

    experiment = measured(monkeypatch, on="both", validation=0.25, partition=unequal)
    scenario = experiment.scenario
    assert "are not measured on it" in " ".join(experiment.holdings.notes("both"))
    directory = RunDirectory.create(tmp_path / "run", scenario, 1, Mode(Command.SIMULATE), "")
    with directory:
        comparison = run_all(scenario, 1, [directory])
    complete(directory.finish())
    resumed = stopped_run(tmp_path / "run", scenario).ended["synchronous", 0]
    assert resumed.evaluations == comparison["synchronous"].evaluations
    assert "0" not in resumed.last.metrics["own_accuracy"].peers
    (table,) = [row for row in comparison.table if row.label == "synchronous"]
    assert table.values["decile1_test_own_accuracy"].mean == resumed.last.decile1_test_own_accuracy
    rows = pq.read_table(tmp_path / "run" / "history.parquet").to_pylist()
    assert (rows[0]["mean_test_accuracy"], rows[2]["mean_test_accuracy"]) == (None, resumed.last.mean_test_accuracy)


def test_a_source_may_have_a_validation_part_of_its_own():
    source = towns()
    whole = Dataset("towns", source.train, source.test, source.train.take(np.arange(9)), 2)

    def loaded(given, validation):
        return load_data(Scenario(model="softmax", data={"source": given, "validation": validation}))

    assert len(loaded(whole, "source").validation) == 9
    unused = loaded(whole, None)
    assert unused.validation is None
    assert unused.notes[-1].startswith("The 9 validation examples of towns are not used")
    with pytest.raises(DataError, match="a validation part of its own, of 9 examples"):
        loaded(whole, 0.5)
    with pytest.raises(DataError, match="no validation part of its own"):
        loaded(source, "source")
    assert loaded(source, 0.5).digest != source.digest


@pytest.mark.parametrize("on", ["own", "both"])
def test_own_shares_that_nobody_has_are_refused(on):
    examples = [Examples(np.zeros((9, 2)), np.arange(9) % 2, columns={"user": np.arange(9) + k}) for k in (0, 100)]
    dataset = Dataset.from_arrays("users", *examples)
    given = scenario({"name": "column", "by": "user"}).with_changes(evaluation={"on": on})
    with pytest.raises(ConfigurationError, match=r"no peer has a share of the test part of users.*use 'global'"):
        Experiment(given, dataset)
