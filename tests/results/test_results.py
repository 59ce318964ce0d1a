"""The forms of a run in Python show the numbers of its files, and can be saved and read again."""

import json
import re
from math import isnan

import matplotlib
import pytest
from softmax_trainer import run_without_tensorflow

import gossipfl
from gossipfl.errors import ConfigurationError
from gossipfl.results.asked import asked
from gossipfl.results.picture import _ticks
from gossipfl.scenario import Scenario

matplotlib.use("Agg")

HOSTILE = "<script>alert(1)</script>"


def scenario(**fields):
    given = {"rounds": 2, "topology": {"name": "ring", "arguments": {"n": 3}}, "data": {"max_train": 60}}
    return Scenario(model="softmax", **{**given, "algorithms": ["pairwise", "fedavg"], **fields})


@pytest.fixture(autouse=True)
def _without_tensorflow(monkeypatch):
    run_without_tensorflow(monkeypatch)


@pytest.fixture(scope="module")
def comparison():
    with pytest.MonkeyPatch.context() as patch:
        run_without_tensorflow(patch)
        return gossipfl.compare(scenario(description=HOSTILE), 2)


@pytest.fixture(scope="module")
def directory(comparison, tmp_path_factory):
    return comparison.save(tmp_path_factory.mktemp("saved") / "run")


class TestTheNumbersAreThoseOfTheFiles:
    def test_of_the_table(self, comparison, directory):
        summary = json.loads((directory / "summary.json").read_text())
        for row, written in zip(comparison.table, summary["rows"], strict=True):
            assert json.loads(json.dumps(row.as_json())) == {key: written[key] for key in row.as_json()}
        assert comparison.as_run().summary == gossipfl.Comparison.load(directory).as_run().summary

    @pytest.mark.parametrize("form", ["to_pandas", "to_polars"])
    def test_of_frames(self, comparison, directory, form):
        frame = getattr(comparison, form)()
        lines = [json.loads(line) for line in (directory / "history.jsonl").read_text().splitlines()]
        for name in ("algorithm", "seed", "round", "num_bytes", "deployed_accuracy", "training_loss"):
            shown = [None if value is None or value != value else value for value in frame[name].to_list()]
            assert shown == [line[name] for line in lines]
        peers = getattr(comparison, form)(peers=True)
        assert len(peers) == sum(len(line["peer_loss"]) for line in lines)
        assert set(peers["peer"].to_list()) >= {"0", "1", "2"}
        assert not any(isnan(value) for value in peers["accuracy"].to_list())

    def test_of_the_plot(self, comparison):
        axes = comparison.plot()
        drawn = {tuple(line.get_ydata()) for line in axes.lines}
        for label in ("pairwise", "fedavg"):
            seeds = [[one.deployed_accuracy for one in run] for run in comparison.histories if run.algorithm == label]
            assert tuple((a + b) / 2 for a, b in zip(*seeds, strict=True)) in drawn
        assert comparison["fedavg"].plot("loss", aspect="average", against="time", axes=axes) is axes
        assert comparison.plot("consensus_distance").get_yscale() == "log"

    def test_of_the_html_whose_texts_are_escaped(self, comparison):
        page = comparison._repr_html_()
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page
        assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
        assert page.count("<polyline") == 4 + 2  # bounds send nothing, and are not drawn over bytes
        mean = next(row for row in comparison.table if row.label == "fedavg").values["deployed_accuracy"].mean
        assert f"{100 * mean:.2f}" in page
        alone = comparison["pairwise"]._repr_html_()
        assert "fedavg" not in alone

    def test_in_a_few_words(self, comparison):
        assert re.fullmatch(
            r"<Comparison of scenario: accuracy, mean of 2 seeds: pairwise 0\.\d{4}, fedavg 0\.\d{4}, local .*>",
            repr(comparison),
        )
        expected = (
            f"<History of fedavg: seed 0, 3 evaluations, accuracy {comparison['fedavg'].last.deployed_accuracy:.4f}"
        )
        assert repr(comparison["fedavg"]) == expected + " after round 2>"


class TestSaving:
    def test_the_command_line_takes_it(self, directory, command_line):
        assert command_line("report", str(directory)).status == 0
        table = command_line("table", str(directory), "--format", "csv")
        assert "fedavg" in table.out
        manifest = json.loads((directory / "manifest.json").read_text())
        assert manifest["seeds"] == [0, 1]
        assert {one["algorithm"] for one in manifest["ended"]} == {"pairwise", "fedavg", "local", "centralized"}
        assert (directory / "weights" / "fedavg-seed1.average.safetensors").is_file()

    def test_it_is_what_the_command_line_writes(self, command_line, tmp_path):
        own = scenario(name="mine", algorithms=["pairwise"], seed=3)
        (tmp_path / "mine.json").write_text(own.model_dump_json(exclude_unset=True))
        assert command_line("simulate", "mine.json", "--output", "theirs").status == 0
        ours, theirs = gossipfl.simulate(own).save(tmp_path / "ours"), tmp_path / "theirs"
        assert {path.name for path in ours.rglob("*")} == {path.name for path in theirs.rglob("*")}
        for name in ("history.jsonl", "summary.json", "weights/pairwise-seed3.average.safetensors"):
            assert (ours / name).read_bytes() == (theirs / name).read_bytes()
        manifests = [json.loads((path / "manifest.json").read_text()) for path in (ours, theirs)]
        differing = {name for name in manifests[1] if manifests[0][name] != manifests[1][name]}
        assert differing <= {"command", "created"}

    def test_nothing_is_overwritten(self, comparison, directory):
        with pytest.raises(ConfigurationError, match="is there and not empty; give another directory"):
            comparison.save(directory)

    def test_a_history_of_several_is_saved_alone(self, comparison, tmp_path):
        second = next(one for one in comparison.histories if (one.algorithm, one.seed) == ("fedavg", 1))
        again = gossipfl.History.load(second.save(tmp_path / "one"))
        assert (again.algorithm, again.seed) == ("fedavg", 1)
        assert [one.deployed_accuracy for one in again] == [one.deployed_accuracy for one in second]
        assert again.as_run().manifest.partition.digest != comparison.as_run().manifest.partition.digest

    def test_what_a_file_cannot_say_is_said(self, tmp_path):
        import numpy as np

        digits = np.random.default_rng(0)
        history = gossipfl.simulate(
            scenario(), "pairwise", data=(digits.random((60, 8, 8)).astype("float32"), np.arange(60) % 10)
        )
        (sentence,) = [one for one in history.as_run().manifest.differences if "given in Python" in one]
        assert sentence.endswith("and is needed to repeat it: data.source (arrays).")
        assert history.as_run().manifest.data.digest

    def test_a_report(self, comparison, tmp_path):
        assert comparison["fedavg"].report(tmp_path / "page.html").read_text().startswith("<!doctype html>")


class TestLoading:
    def test_a_comparison_comes_back(self, comparison, directory):
        again = gossipfl.Comparison.load(directory)
        assert again.table == comparison.table
        assert again["fedavg"].as_run().summary == comparison["fedavg"].as_run().summary
        assert again.to_pandas().equals(comparison.to_pandas())
        assert repr(again) == repr(comparison)

    def test_its_models_are_not_in_memory_so_it_is_not_saved_again(self, directory, tmp_path):
        with pytest.raises(ConfigurationError, match="copy that folder"):
            gossipfl.Comparison.load(directory).save(tmp_path / "again")

    def test_what_is_none_is_refused(self, directory, tmp_path):
        with pytest.raises(ConfigurationError, match="8 histories"):
            gossipfl.History.load(directory)
        with pytest.raises(ConfigurationError, match="There is no run directory"):
            gossipfl.Comparison.load(tmp_path / "nothing")
        with pytest.raises(ConfigurationError, match="holds a run, and no sweep"):
            gossipfl.Sweep.load(directory)
        with pytest.raises(ConfigurationError, match="made by hand"):
            gossipfl.History("mine", 0).to_pandas()


class TestWhatIsAsked:
    def test_names_files_and_values(self, tmp_path):
        import networkx as nx

        (tmp_path / "mine.toml").write_text('name = "mine"\n')
        assert asked(tmp_path / "mine.toml").name == "mine"
        own = scenario(data={"source": "digits", "partition": "contiguous"}, training={"batch_size": 7})
        changed = asked(
            own, data=([[0.0]] * 60, [0, 1] * 30), topology=nx.path_graph(3), optimizer="adam", loss="hinge"
        )
        assert changed.data.partition.name == "contiguous"
        assert (changed.training.batch_size, changed.training.optimizer, changed.training.loss) == (7, "adam", "hinge")
        assert len(changed.graph().edges) == 2
        assert asked(own, data={"max_train": 50}).data.partition.name == "iid"
        assert asked(own) is own

    def test_what_an_algorithm_would_ignore_is_refused(self):
        own = scenario(algorithms=[{"name": "pairwise", "optimizer": "adam"}])
        with pytest.raises(ConfigurationError, match="optimizer: 'pairwise' has one of its own"):
            asked(own, optimizer="sgd")

    def test_one_of_several_algorithms_runs_alone(self):
        histories = gossipfl.simulate(scenario(), "fedavg", num_seeds=2)
        assert [(one.algorithm, one.seed) for one in histories.histories] == [("fedavg", 0), ("fedavg", 1)]
        assert histories.scenario.labels == ["fedavg"]


@pytest.mark.parametrize(
    ("plot", "hint"),
    [
        ({"metric": "acuracy"}, "Did you mean 'accuracy'"),
        ({"aspect": "deploed"}, "Did you mean 'deployed'"),
        ({"against": "bytes"}, "There are round, num_bytes"),
    ],
)
def test_a_plot_of_what_is_not_there_is_refused(comparison, plot, hint):
    with pytest.raises(ConfigurationError, match=hint):
        comparison.plot(**plot)


def test_ticks_are_round():
    assert _ticks(0.1, 0.93) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert _ticks(0.0, 2.0, 1.0) == [0.0, 1.0, 2.0]
    assert _ticks(0.0, 0.0) == [0.0, 0.25]
    assert _ticks(3.0, 3.0)[0] <= 3.0 <= _ticks(3.0, 3.0)[-1]
