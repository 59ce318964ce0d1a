"""What a run leaves on disk, also when it is interrupted, killed or full of NaN."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from softmax_trainer import SoftmaxTrainer, run_without_tensorflow

from gossipfl.data.partition import partition_digest
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.comparison import Comparison
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.mode import Command, Mode
from gossipfl.experiments.running import run_all
from gossipfl.history import Evaluation, History
from gossipfl.report.complete import complete
from gossipfl.runs.directory import RunDirectory
from gossipfl.runs.files import read_run
from gossipfl.scenario import Scenario
from gossipfl.scores import Score
from gossipfl.weights import ModelVectors, Segment, WeightsSchema, frozen

COMPARE = Mode(Command.COMPARE)
FILES = {"manifest.json", "history.jsonl", "history.parquet", "summary.json", "report.html", "weights"}


def toy(*algorithms: object, **fields: object) -> Scenario:
    data = {"source": "digits", "partition": {"name": "labels", "per_peer": 3}, "max_train": 120, "max_test": 40}
    common = {"name": "toy", "rounds": 2, "targets": [0.3, 0.99], "model": "softmax", "data": data}
    return Scenario(**common | {"topology": {"name": "ring", "arguments": {"n": 4}}, "algorithms": algorithms} | fields)


@pytest.fixture
def _numpy(monkeypatch):
    run_without_tensorflow(monkeypatch)


def run(path: Path, scenario: Scenario, num_seeds: int = 1, *observers: Any) -> Comparison:
    directory = RunDirectory.create(path, scenario, num_seeds, COMPARE, "compare")
    with directory:
        comparison = run_all(scenario, num_seeds, [directory, *observers])
    complete(directory.finish(interrupted=comparison.interrupted))
    return comparison


def rows_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]


def json_in(path: Path) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{path} holds {constant}")

    return json.loads(path.read_text(), parse_constant=refuse)


class AtEachEvaluation:
    """Calls `look` after each evaluation was recorded; presses Ctrl-C at the one of number `interrupted_at`."""

    def __init__(self, look: Any = lambda number: None, interrupted_at: int = 0) -> None:
        self.number, self.look, self.interrupted_at = 0, look, interrupted_at

    def begins(self, experiment: Experiment) -> None: ...

    def evaluated(self, label: str, evaluation: Evaluation) -> None:
        self.number += 1
        self.look(self.number)
        if self.number == self.interrupted_at:
            raise KeyboardInterrupt

    def ended(self, history: History) -> None: ...


@pytest.mark.usefixtures("_numpy")
class TestFiles:
    def test_a_run_leaves_its_files_and_nothing_else(self, tmp_path):
        run(tmp_path / "run", toy("pairwise", "fedavg"), 2)
        assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
        assert {path.name for path in (tmp_path / "run" / "weights").iterdir()} == {
            f"{label}-seed{seed}.{kind}.safetensors"
            for label in ("pairwise", "fedavg")
            for seed in (0, 1)
            for kind in ("average", "peers")
        }

    def test_the_history_grows_by_a_row_per_evaluation_while_the_run_goes_on(self, tmp_path):
        seen = []
        run(
            tmp_path,
            toy("local", "fedavg"),
            1,
            AtEachEvaluation(lambda number: seen.append((number, len(rows_in(tmp_path))))),
        )
        assert seen == [(number, number) for number in range(1, 7)]

    def test_rows_are_those_of_the_histories(self, tmp_path):
        comparison = run(tmp_path, toy("pairwise", "fedavg"), 2)
        assert rows_in(tmp_path) == [row for history in comparison.histories for row in history.rows()]

    def test_parquet_holds_what_jsonl_holds(self, tmp_path):
        run(tmp_path, toy("pairwise", "fedavg"), 2)
        assert from_parquet(tmp_path) == rows_in(tmp_path)

    def test_the_summary_is_the_table(self, tmp_path):
        comparison = run(tmp_path, toy("pairwise", "local"), 2)
        expected = [row.as_json() | {"bound": row.label == "local"} for row in comparison.table]
        assert json_in(tmp_path / "summary.json")["rows"] == json.loads(json.dumps(expected))

    def test_the_report_can_read_it(self, tmp_path):
        comparison = run(tmp_path, toy("pairwise", "local"))
        read = read_run(tmp_path)
        assert [row.average_accuracy for row in read.history] == [
            evaluation.average_accuracy for history in comparison.histories for evaluation in history
        ]
        assert (tmp_path / "report.html").stat().st_size > 10_000

    def test_weights_are_those_at_the_end(self, tmp_path):
        comparison = run(tmp_path, toy("pairwise", {"name": "fedavg", "label": "FedAvg (server)"}))
        for label, stem in (("pairwise", "pairwise"), ("FedAvg (server)", "FedAvg-server")):
            history = comparison[label]
            average = load_file(tmp_path / "weights" / f"{stem}-seed0.average.safetensors")
            assert {name: array.shape for name, array in average.items()} == {
                "softmax/kernel": (64, 10),
                "softmax/bias": (10,),
            }
            flat = np.concatenate([average["softmax/kernel"].ravel(), average["softmax/bias"]])
            assert np.array_equal(flat, history.average.weights)
            peers = load_file(tmp_path / "weights" / f"{stem}-seed0.peers.safetensors")
            assert peers.keys() == history.final.keys()
            assert all(np.array_equal(peers[peer], model.weights) for peer, model in history.final.items())

    def test_labels_that_look_alike_have_their_own_weights(self, tmp_path):
        labels = ["a b", "a-b", "A.b", "a_B", "..", "/", "x" * 64]
        algorithms = [{"name": "local", "label": label} for label in labels]
        run(tmp_path, toy(*algorithms, rounds=1))
        files = [path.name.lower() for path in (tmp_path / "weights").iterdir()]
        assert len(set(files)) == 2 * len(labels)
        assert all(name.isascii() for name in files)


def from_parquet(path: Path) -> list[dict[str, Any]]:
    rows = pq.read_table(path / "history.parquet").to_pylist()
    for row in rows:
        peers = row.pop("peers")
        row["peer_loss"] = {peer["peer"]: peer["loss"] for peer in peers}
        row["peer_accuracy"] = {peer["peer"]: peer["accuracy"] for peer in peers}
    return rows


@pytest.mark.usefixtures("_numpy")
class TestManifest:
    def test_it_says_all_that_a_result_depends_on(self, tmp_path):
        scenario = toy("pairwise", "fedavg", "local", seed=5)
        run(tmp_path, scenario, 2)
        manifest = json_in(tmp_path / "manifest.json")
        experiment = Experiment(scenario)
        assert Scenario(**manifest["scenario"]) == scenario
        assert manifest["seeds"] == [5, 6]
        assert (manifest["name"], manifest["command"], manifest["interrupted"]) == ("toy", "compare", False)
        assert manifest["versions"].keys() >= {"python", "tensorflow", "keras", "numpy", "networkx"}
        assert manifest["flags"] == {"backend": "numpy"}
        assert manifest["data"] == {
            "source": "digits",
            "num_train": 120,
            "num_test": 40,
            "num_validation": 0,
            "num_classes": 10,
            "class_names": [],
            "digest": experiment.dataset.digest,
        }
        assert manifest["partition"]["digest"] == partition_digest(list(experiment.shards.values()))
        counts = manifest["partition"]["label_counts"]
        assert {peer: sum(row) for peer, row in counts.items()} == {
            peer: len(shard) for peer, shard in experiment.shards.items()
        }
        assert manifest["model"] == {
            "name": "softmax",
            "num_weights": 650,
            "task": {"x": "float32[8,8,1]", "y": "int32[]", "weight": None, "num_classes": 10, "kind": "classes"},
            "segments": [["softmax/kernel", [64, 10], "float32"], ["softmax/bias", [10], "float32"]],
            "statistics_segments": [],
            "local_segments": [],
        }
        assert manifest["targets"] == {"accuracy": [0.3, 0.99]}

    def test_algorithms_name_their_topology_hub_and_whether_they_are_bounds(self, tmp_path):
        torus = {"generator": "complete_graph", "arguments": {"n": 4}}
        run(tmp_path, toy({"name": "pairwise", "topology": torus}, "fedavg", "local", "centralized", rounds=1))
        manifest = json_in(tmp_path / "manifest.json")
        assert [(row["algorithm"], row["topology"], row["hub"], row["bound"]) for row in manifest["algorithms"]] == [
            ("pairwise", "complete_graph", None, False),
            ("fedavg", None, "server", False),
            ("local", None, None, True),
            ("centralized", None, None, True),
        ]
        assert len(manifest["topologies"]["complete_graph"]["links"]) == 6
        assert manifest["topologies"]["complete_graph"]["taken_for"] is None

    def test_what_was_given_in_python_is_named(self, tmp_path):
        def build() -> None: ...

        scenario = toy("local", model=build)
        run(tmp_path, scenario.with_changes(data={"source": Experiment(scenario).dataset}))
        manifest = json_in(tmp_path / "manifest.json")
        assert manifest["scenario"]["data"]["source"] == "digits"
        assert manifest["model"]["name"].endswith("build")


@pytest.mark.usefixtures("_numpy")
class TestPlace:
    def test_the_default_place_is_named_after_scenario_and_time(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        first, second, third = (RunDirectory.create(None, toy("local"), 1, COMPARE, "compare") for _ in range(3))
        assert first.path.parent == Path("runs")
        assert first.path.name.startswith("toy-20")
        assert len({first.path, second.path, third.path}) == 3

    @pytest.mark.parametrize("there", ["file", "directory with a file", "directory with a hidden file"])
    def test_what_is_there_is_refused_and_untouched(self, tmp_path, there):
        path = tmp_path / "there"
        kept = path if there == "file" else path / ("note" if "hidden" not in there else ".note")
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("mine")
        with pytest.raises(ConfigurationError, match="is there and not empty; give another --output"):
            RunDirectory.create(path, toy("local"), 1, COMPARE, "compare")
        assert kept.read_text() == "mine"
        assert [found for found in tmp_path.rglob("*") if found.is_file()] == [kept]

    def test_an_empty_directory_is_taken(self, tmp_path):
        run(tmp_path, toy("local"))
        assert {path.name for path in tmp_path.iterdir()} == FILES

    def test_a_place_that_cannot_be_made_is_refused(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(ConfigurationError, match=r"cannot make the run directory .*file/run"):
            RunDirectory.create(tmp_path / "file" / "run", toy("local"), 1, COMPARE, "compare")

    @pytest.mark.parametrize("existed", [False, True])
    def test_a_run_that_never_began_leaves_nothing(self, tmp_path, existed):
        path = tmp_path / "run"
        if existed:
            path.mkdir()
        directory = RunDirectory.create(path, toy("local"), 1, COMPARE, "compare")
        with pytest.raises(ConfigurationError, match="no such optimizer"), directory:
            raise ConfigurationError("no such optimizer")
        assert not directory.has_begun
        assert path.exists() == existed
        assert not existed or not any(path.iterdir())


@pytest.mark.usefixtures("_numpy")
class TestInterruptedAndKilled:
    def test_an_interrupted_run_has_all_files_and_says_so(self, tmp_path):
        comparison = run(tmp_path, toy("local", "pairwise", "fedavg"), 1, AtEachEvaluation(interrupted_at=5))
        assert comparison.interrupted
        assert {path.name for path in tmp_path.iterdir()} == FILES
        manifest = json_in(tmp_path / "manifest.json")
        assert manifest["interrupted"] is True
        assert [row["round"] for row in rows_in(tmp_path)] == [0, 1, 2, 0, 1]
        assert [row["label"] for row in json_in(tmp_path / "summary.json")["rows"]] == ["local", "pairwise"]
        assert (tmp_path / "weights" / "pairwise-seed0.peers.safetensors").exists()

    def test_a_killed_run_can_still_be_reported(self, tmp_path):
        kill(tmp_path)
        history = (tmp_path / "history.jsonl").read_bytes()
        ends = [position for position, byte in enumerate(history) if byte in b"}\n"]
        for keep in (0, 1, *ends, *(end + 1 for end in ends)):
            (tmp_path / "history.jsonl").write_bytes(history[:keep])
            num_rows = history[:keep].count(b"\n")
            complete(tmp_path)
            read = read_run(tmp_path)
            assert len(read.history) == num_rows
            assert [row.label for row in read.summary.rows] == ["local"] * (num_rows > 0)
            assert num_rows == 0 or len(from_parquet(tmp_path)) == num_rows

    def test_exchanges_that_stay_half_applied_are_said(self, tmp_path):
        lossy = {"latency": 0.05, "loss": 0.7}
        comparison = run(tmp_path / "run", toy("pairwise", rounds=10, network=lossy))
        (history,) = comparison.histories
        manifest = json_in(tmp_path / "run" / "manifest.json")
        assert history.num_open > 0
        assert manifest["ended"][0]["num_open"] == history.num_open
        assert history.notes()[-1] in manifest["differences"]
        assert "open when the run ended" in (tmp_path / "run" / "report.html").read_text()

    def test_completing_twice_changes_nothing(self, tmp_path):
        run(tmp_path, toy("local", "pairwise"))
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
        assert complete(tmp_path) == tmp_path / "report.html"
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before

    def test_completing_writes_again_what_was_lost(self, tmp_path):
        run(tmp_path, toy("local", "pairwise"))
        derived = {name: (tmp_path / name).read_bytes() for name in ("summary.json", "report.html", "history.parquet")}
        for name in derived:
            (tmp_path / name).unlink()
        complete(tmp_path)
        assert {name: (tmp_path / name).read_bytes() for name in derived} == derived

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("manifest.json", '{"format": 1}'),
            ("manifest.json", "[]"),
            ("manifest.json", "3"),
            ("manifest.json", ""),
            ("manifest.json", '{"format": 1, "name": "x", "algorithms": [3]}'),
            ("manifest.json", "\udcff"),
            ("history.jsonl", "[]\n"),
            ("history.jsonl", "{}\n"),
            ("history.jsonl", "junk\n"),
            ("history.jsonl", '{"algorithm": "local", "seed": 0, "round": 1, "peer_loss": 3}\n'),
        ],
    )
    def test_of_a_directory_that_is_garbled_there_is_a_report_that_says_so(self, tmp_path, file, content):
        kill(tmp_path)
        whole = (tmp_path / "history.jsonl").read_bytes()
        before = b"" if file == "manifest.json" else whole
        (tmp_path / file).write_bytes(before + content.encode(errors="surrogateescape"))
        left_out: list[str] = []
        report = complete(tmp_path, left_out).read_text()
        assert [file in said for said in left_out] == [True]
        assert file in report
        assert (tmp_path / "history.jsonl").read_bytes().startswith(whole)
        assert json.loads((tmp_path / "summary.json").read_text())["rows"]

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("manifest.json", '{"format": 1, "mode": {"command": "compare"}, "name": "x", "algorithms": []}'),
            ("history.jsonl", '{"algorithm": "other", "seed": 0, "round": 1}\n'),
        ],
    )
    def test_a_directory_of_two_runs_is_refused(self, tmp_path, file, content):
        kill(tmp_path)
        (tmp_path / file).write_text(content)
        with pytest.raises(ConfigurationError, match="mixes two runs"):
            complete(tmp_path)

    @pytest.mark.parametrize("kind", ["empty directory", "file", "nothing"])
    def test_what_is_no_run_is_refused(self, tmp_path, kind):
        path = tmp_path / "run"
        if kind == "empty directory":
            path.mkdir()
        elif kind == "file":
            path.touch()
        with pytest.raises(ConfigurationError, match="run is not the directory of a run"):
            complete(path)
        assert kind != "empty directory" or not any(path.iterdir())


def kill(path: Path) -> None:
    """A run that was killed after its last evaluation."""
    run(path, toy("local"))
    for name in FILES - {"manifest.json", "history.jsonl", "weights"}:
        (path / name).unlink()


class Diverging(SoftmaxTrainer):
    """Its losses are NaN or infinite."""

    def evaluate(self, models: Any, part="test", examples=None) -> list[Score]:
        losses = [math.nan, math.inf, -math.inf]
        return [replace(score, loss=losses[i % 3]) for i, score in enumerate(super().evaluate(models))]


class WithoutScores(SoftmaxTrainer):
    def evaluate(self, models: Any, part="test", examples=None) -> list[Score]:
        return [Score(math.nan, {"accuracy": math.nan}) for _ in models]


@pytest.mark.parametrize("make", [Diverging, WithoutScores])
@pytest.mark.parametrize("num_seeds", [1, 2])
def test_numbers_that_are_none_are_null_and_break_nothing(tmp_path, monkeypatch, make, num_seeds):
    run_without_tensorflow(monkeypatch, make)
    comparison = run(tmp_path, toy("pairwise", "fedavg"), num_seeds)
    assert len(comparison.table) == 2
    for line in (tmp_path / "history.jsonl").read_text().splitlines():
        assert json.loads(line, parse_constant=pytest.fail)["average_loss"] is None
    assert from_parquet(tmp_path) == rows_in(tmp_path)
    (first, _) = json_in(tmp_path / "summary.json")["rows"]
    if make is WithoutScores:
        assert first["mean_accuracy"]["mean"] is None
        assert first["targets"][0]["reached"] == 0


class Normalizing(SoftmaxTrainer):
    """With one statistic, as a BatchNorm layer has, and one that is local; and two variables of one name."""

    statistics_schema = WeightsSchema((Segment("norm/mean", (3,), "float32"),))
    local_schema = WeightsSchema((Segment("head/bias", (2,), "float32"),))

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        kernel, bias = self.schema.segments
        self.schema = WeightsSchema((replace(kernel, name="same"), replace(bias, name="same")))

    def initial(self) -> ModelVectors:
        statistics, local = frozen(np.arange(3, dtype=np.float32)), frozen(np.array([5, 7], np.float32))
        return ModelVectors(super().initial().weights, statistics, local)


def test_statistics_are_kept_beside_the_weights(tmp_path, monkeypatch):
    run_without_tensorflow(monkeypatch, Normalizing)
    comparison = run(tmp_path, toy("pairwise"))
    average = load_file(tmp_path / "weights" / "pairwise-seed0.average.safetensors")
    assert {name: array.shape for name, array in average.items()} == {
        "0/same": (64, 10),
        "1/same": (10,),
        "norm/mean": (3,),
        "head/bias": (2,),
    }
    peers: Mapping[str, Any] = load_file(tmp_path / "weights" / "pairwise-seed0.peers.safetensors")
    assert peers.keys() == {name for peer in "0123" for name in (peer, f"{peer}/statistics", f"{peer}/local")}
    final = comparison["pairwise"].final
    assert all(np.array_equal(peers[f"{peer}/statistics"], model.statistics) for peer, model in final.items())
    assert all(np.array_equal(peers[f"{peer}/local"], model.local) for peer, model in final.items())
