"""Every command and option once; what goes wrong is one line on standard error and an exit status."""

import gzip
import itertools
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from outcome import Outcome
from softmax_trainer import SoftmaxTrainer, run_without_tensorflow

import gossipfl
from gossipfl import __version__
from gossipfl.algorithms import ALGORITHMS
from gossipfl.errors import ConfigurationError, TrainingError
from gossipfl.experiments.comparison import CONTESTS
from gossipfl.experiments.experiment import Experiment
from gossipfl.names.resources import names
from gossipfl.scenario import Scenario
from gossipfl.scenario.kinds import KINDS

TOY = """
rounds = 2
targets = [0.3]
model = "softmax"
data = { source = "digits", partition = "iid", max_train = 80, max_test = 40 }
topology = { name = "ring", arguments = { n = 4 } }
algorithms = ["pairwise", "fedavg"]
"""


@pytest.fixture
def gossipfl_(command_line) -> Callable[..., Outcome]:
    """The command line in a directory that holds only `toy.toml`."""
    Path("toy.toml").write_text(TOY)
    return command_line


def rows_in(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]


class TestRuns:
    def test_simulate_prints_a_line_per_evaluation_and_the_table(self, gossipfl_):
        outcome = gossipfl_("simulate", "toy.toml", "--output", "run")
        rows = rows_in(Path("run"))
        assert (outcome.status, outcome.err) == (0, "")
        lines = outcome.out.splitlines()
        assert lines[-2:] == ["Run: run", "Report: run/report.html"]
        for line, row in zip(lines[:6], rows, strict=True):
            training = row["training_accuracy"]
            assert line.startswith(f"{row['algorithm']}: round {row['round']}, ")
            assert f"test accuracy of the average model {row['average_accuracy']:.4f}, " in line
            assert ("training accuracy" in line) == (training is not None)
            assert training is None or f"training accuracy {training:.4f}, " in line
        for row in json.loads(Path("run/summary.json").read_text())["rows"]:
            line = next(line.split() for line in lines[6:] if line.strip().startswith(row["label"]))
            shown = [row[f"{aspect}_accuracy"]["mean"] for aspect in ("mean", "worst", "best", "average")]
            assert line[1:5] == [f"{100 * value:.2f}" for value in shown]

    def test_compare_prints_the_table_with_the_bounds(self, gossipfl_):
        outcome = gossipfl_("compare", "toy.toml", "--output", "run", "--seeds", "2")
        assert (outcome.status, outcome.err) == (0, "")
        summary = json.loads(Path("run/summary.json").read_text())["rows"]
        assert [row["label"] for row in summary] == ["pairwise", "fedavg", "local", "centralized"]
        for row in summary:
            line = next(line for line in outcome.out.splitlines() if line.startswith(f" {row['label']} "))
            assert f"{100 * row['mean_accuracy']['mean']:.2f}" in line
        rows = rows_in(Path("run"))
        printed = [line for line in outcome.out.splitlines() if ": round " in line or ", seed 1: round " in line]
        assert len(printed) == len(rows) == 2 * 4 * 3  # there is no terminal here, on which a bar would move

    def test_runs_have_a_directory_of_their_own_by_default(self, gossipfl_):
        for _ in range(2):
            assert gossipfl_("simulate", "toy.toml", "--set", "rounds=1").status == 0
        directories = list(Path("runs").iterdir())
        assert len(directories) == 2
        assert all(re.fullmatch(r"toy-\d{8}-\d{6}(-2)?", path.name) for path in directories)

    @pytest.mark.parametrize("command", ["simulate", "compare"])
    def test_json_is_all_that_goes_to_standard_output(self, gossipfl_, command):
        outcome = gossipfl_(command, "toy.toml", "--output", "run", "--json")
        answer = json.loads(outcome.out)
        assert answer["run"] == "run"
        assert answer["winners"] == json.loads(Path("run/summary.json").read_text())["winners"]
        assert [row["label"] for row in answer["rows"]][:2] == ["pairwise", "fedavg"]
        summary = json.loads(Path("run/summary.json").read_text())["rows"]
        assert answer["rows"] == [{key: value for key, value in row.items() if key != "bound"} for row in summary]
        assert "Report: run/report.html" in outcome.err

    def test_options_change_the_scenario(self, gossipfl_):
        write_idx(Path("images"))
        options = ["--set", "rounds=1", "--set", "algorithms=['local']", "--set", "data.max_train=40"]
        assert gossipfl_("simulate", "toy.toml", *options, "--data", "idx:images", "--output", "run").status == 0
        manifest = json.loads(Path("run/manifest.json").read_text())
        assert manifest["data"]["source"] == "idx:images"
        assert manifest["data"]["num_train"] == 40
        assert [algorithm["label"] for algorithm in manifest["algorithms"]] == ["local"]
        assert shlex.split(manifest["command"]) == [
            *("gossipfl", "simulate", "toy.toml"), *options, "--data", "idx:images"
        ]  # fmt: skip
        assert Scenario(**manifest["scenario"]).data.source == "idx:images"

    @pytest.mark.parametrize("directory", ["[red]run[/red]", "[/x] :smile:", "räume 😀"])
    def test_paths_are_printed_as_they_are(self, gossipfl_, directory):
        write_idx(Path(directory) / "images")
        data = f"idx:{directory}/images"
        outcome = gossipfl_("simulate", "toy.toml", "--data", data, "--output", f"{directory}/run", "--set", "rounds=1")
        assert f"Run: {directory}/run\nReport: {directory}/run/report.html" in outcome.out
        assert json.loads(Path(directory, "run", "manifest.json").read_text())["data"]["source"] == data
        assert gossipfl_("data", "show", "toy.toml", "--data", data).status == 0

    def test_report_writes_the_report_again(self, gossipfl_):
        gossipfl_("simulate", "toy.toml", "--output", "run")
        written = Path("run/report.html").read_text()
        Path("run/report.html").unlink()
        Path("run/summary.json").unlink()
        outcome = gossipfl_("report", "run")
        assert (outcome.status, outcome.out, outcome.err) == (0, "Report: run/report.html\n", "")
        assert Path("run/report.html").read_text() == written


def test_version(gossipfl_):
    outcome = gossipfl_("--version")
    assert (outcome.status, outcome.out) == (0, f"gossipfl {__version__}\n")


class TestInterruption:
    def interrupt(self, monkeypatch, call: int, error: BaseException) -> None:
        calls = itertools.count()

        class Interrupted(SoftmaxTrainer):
            def train(self, jobs):
                if next(calls) == call:
                    raise error
                return super().train(jobs)

        run_without_tensorflow(monkeypatch, Interrupted)

    @pytest.mark.parametrize("command", ["simulate", "compare"])
    def test_ctrl_c_keeps_what_was_measured_and_writes_the_report(self, gossipfl_, monkeypatch, command):
        self.interrupt(monkeypatch, 3, KeyboardInterrupt())
        outcome = gossipfl_(command, "toy.toml", "--set", 'algorithms=["fedavg", "pairwise"]', "--output", "run")
        assert outcome.status == 130
        assert outcome.err == ""
        assert "Interrupted: the table and the report show what was measured until then." in outcome.out
        rows = rows_in(Path("run"))
        assert [(row["algorithm"], row["round"]) for row in rows][:4] == [
            ("fedavg", 0),
            ("fedavg", 1),
            ("fedavg", 2),
            ("pairwise", 0),
        ]
        assert json.loads(Path("run/manifest.json").read_text())["interrupted"] is True
        assert Path("run/report.html").exists()
        assert f"{100 * rows[2]['mean_accuracy']:.2f}" in outcome.out

    def test_ctrl_c_before_anything_began_leaves_no_directory(self, gossipfl_, monkeypatch):
        class Interrupted(SoftmaxTrainer):
            def __init__(self, *arguments):
                raise KeyboardInterrupt

        run_without_tensorflow(monkeypatch, Interrupted)
        outcome = gossipfl_("compare", "toy.toml", "--output", "run")
        assert (outcome.status, outcome.out) == (130, "Interrupted before the run began.\n")
        assert not Path("run").exists()

    def test_ctrl_c_before_the_first_evaluation(self, gossipfl_, monkeypatch):
        class Interrupted(SoftmaxTrainer):
            def evaluate(self, models, part="test", examples=None):
                raise KeyboardInterrupt

        run_without_tensorflow(monkeypatch, Interrupted)
        for command in ("compare", "simulate"):
            outcome = gossipfl_(command, "toy.toml", "--output", command)
            assert (outcome.status, outcome.err) == (130, "")
            assert Path(command, "report.html").exists()

    def test_an_algorithm_whose_training_fails_does_not_stop_the_others(self, gossipfl_, monkeypatch):
        begun = []

        class Failing(SoftmaxTrainer):
            def train(self, jobs):
                begun.extend(job for job in jobs if (job.peer_id, job.job) == ("2", 0))
                if len(begun) == 1 and any((job.peer_id, job.job) == ("2", 1) for job in jobs):
                    raise TrainingError("peer '2' ended in NaN", peer_id="2", round=1)
                return super().train(jobs)

        run_without_tensorflow(monkeypatch, Failing)
        outcome = gossipfl_("compare", "toy.toml", "--set", 'algorithms=["fedavg", "pairwise"]', "--output", "run")
        assert (outcome.status, outcome.err) == (1, "Error: fedavg: peer '2' ended in NaN\n")
        assert "Report: run/report.html" in outcome.out
        last_rounds = {row["algorithm"]: row["round"] for row in rows_in(Path("run"))}
        assert last_rounds == {"fedavg": 1, "pairwise": 2, "local": 2, "centralized": 2}
        assert json.loads(Path("run/manifest.json").read_text())["failures"] == ["fedavg: peer '2' ended in NaN"]
        assert "Ended early" in Path("run/report.html").read_text()
        assert "Ended early: fedavg: peer '2' ended in NaN" in outcome.out

    def test_an_algorithm_that_cannot_begin_is_not_run_again(self, gossipfl_, monkeypatch):
        make = Experiment.simulator

        def simulator(experiment, section):
            if section.name == "fedavg":
                raise ConfigurationError("no such schedule")
            return make(experiment, section)

        monkeypatch.setattr(Experiment, "simulator", simulator)
        outcome = gossipfl_("compare", "toy.toml", "--set", 'algorithms=["fedavg", "pairwise"]', "--output", "run")
        assert (outcome.status, outcome.err) == (1, "Error: fedavg: no such schedule\n")
        assert {row["algorithm"] for row in rows_in(Path("run"))} == {"pairwise", "local", "centralized"}
        ended = json.loads(Path("run/manifest.json").read_text())["ended"]
        assert (ended[0]["algorithm"], ended[0]["failure"]) == ("fedavg", "fedavg: no such schedule")
        assert "fedavg: no such schedule" in Path("run/report.html").read_text()


class TestLooking:
    def test_topology_list_has_a_line_for_each(self, gossipfl_):
        outcome = gossipfl_("topology", "list")
        assert all(name in outcome.out for name in names("topologies"))
        assert json.loads(gossipfl_("topology", "list", "--json").out).keys() == set(names("topologies"))

    def test_topology_show(self, gossipfl_):
        outcome = gossipfl_("topology", "show", "ring")
        assert re.search(r"peers\W+16\b", outcome.out)
        answer = json.loads(gossipfl_("topology", "show", "ring", "--json").out)
        assert (answer["num_peers"], len(answer["nodes"]), len(answer["links"])) == (16, 16, 16)

    def test_topology_show_takes_a_file(self, gossipfl_):
        Path("[x] trio.edgelist").write_text("a b\nb c\n")
        shown = gossipfl_("topology", "show", "[x] trio.edgelist").out
        assert "[x] trio.edgelist" in shown
        assert "an edge list" in shown
        assert json.loads(gossipfl_("topology", "show", "[x] trio.edgelist", "--json").out)["nodes"] == ["a", "b", "c"]

    def test_data_show_counts_what_each_peer_holds(self, gossipfl_):
        answer = json.loads(gossipfl_("data", "show", "toy.toml", "--json").out)
        assert {peer: sum(counts) for peer, counts in answer["label_counts"].items()} == dict.fromkeys("0123", 20)
        assert (answer["source"], answer["num_train"], answer["num_test"]) == ("digits", 80, 40)
        outcome = gossipfl_("data", "show", "toy.toml", "--set", "topology.arguments.n=2")
        assert len([line for line in outcome.out.splitlines() if re.match(r" +[01] +40 ", line)]) == 2
        assert re.search(r" peer +all +0 +1 .* 9 ", outcome.out)

    def test_data_show_tells_what_a_source_was_taken_for(self, gossipfl_):
        rows = [f"{i};{i / 8};{'ab'[i % 2]}".replace(".", ",") for i in range(40)]
        Path("own.csv").write_text("\n".join(["number;x;label", *rows]))
        options = ["--data", "csv:own.csv", "--set", "data.features=['x']", "--set", "data.target='label'"]
        taken_for = "csv:own.csv was read as CSV with header, separator ';', decimal comma, columns: 3, rows: 40"
        answer = json.loads(gossipfl_("data", "show", "toy.toml", *options, "--json").out)
        assert answer["class_names"] == ["a", "b"]
        assert answer["notes"] == [
            taken_for,
            "features: x; target: label",
            "1 of 3 columns are not used: number",
        ]
        assert taken_for in gossipfl_("data", "show", "toy.toml", *options).out.splitlines()

    def test_data_show_says_whose_examples_a_peer_holds(self, gossipfl_):
        Path("own.csv").write_text("\n".join(["x,label,user", *(f"{i / 8},{i % 2},u{i % 28:02d}" for i in range(84))]))
        options = ["--data", "csv:own.csv", "--set", "data.features=['x']", "--set", "data.target='label'"]
        options += ["--set", "data.partition={name = 'column', by = 'user'}"]
        values = json.loads(gossipfl_("data", "show", "toy.toml", *options, "--json").out)["values"]
        assert {one for held in values.values() for one in held} == {f"u{i:02d}" for i in range(28)}
        lines = gossipfl_("data", "show", "toy.toml", *options).out.splitlines()
        held = next(line for line in lines if re.match(" +0 ", line))
        assert held.rstrip().endswith(", ".join(values["0"][:5]) + f" and {len(values['0']) - 5} more")

    def test_data_show_has_a_default(self, gossipfl_):
        answer = json.loads(gossipfl_("data", "show", "--json").out)
        assert len(answer["label_counts"]) == 16

    def test_scenario_list_names_each_with_its_question(self, gossipfl_):
        outcome = gossipfl_("scenario", "list")
        assert all(name in outcome.out for name in names("simulations"))

    def test_scenario_show_prints_the_whole_scenario(self, gossipfl_):
        shown = json.loads(gossipfl_("scenario", "show", "toy.toml", "--set", "rounds=9").out)
        assert (shown["rounds"], shown["training"]["batch_size"]) == (9, 32)
        assert Scenario(**shown).labels == ["pairwise", "fedavg"]

    def test_scenario_schema_is_json(self, gossipfl_):
        assert json.loads(gossipfl_("scenario", "schema").out)["properties"]["rounds"]["default"] == 20

    @pytest.mark.parametrize(
        "group", [[], ["simulate"], ["compare"], ["report"], ["topology"], ["data"], ["scenario"], ["algorithms"]]
    )
    def test_help_is_there(self, gossipfl_, group):
        outcome = gossipfl_(*group, "--help")
        assert outcome.status == 0
        assert "Usage: " in outcome.out


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["simulate", "tou.toml"], "there is no scenario file 'tou.toml'"),
            (["compare", "."], "there is no scenario file '.'"),
            (["compare", "junk"], "cannot read the scenario junk"),
            (["simulate", "a\udcffb"], "there is no scenario file"),
            (["compare", "toy.toml", "--set", "rounds"], "--set takes field=value"),
            (["compare", "toy.toml", "--set", "training.bach=1"], "toy.toml: training.bach: there is no such field"),
            (["compare", "toy.toml", "--data", "digit"], "unknown data source 'digit'. Did you mean 'digits'?"),
            (["compare", "toy.toml", "--data", "idx:."], "idx:."),
            (["compare", "toy.toml", "--data", "npz:junk"], "npz:junk"),
            (["compare", "toy.toml", "--data", "no_such_module:f"], "No module named 'no_such_module'"),
            (["compare", "toy.toml", "--output", "run", "--set", "data.max_train=3"], "3 example(s) cannot be dealt"),
            (["compare", "toy.toml", "--output", "full"], "full is there and not empty; give another --output"),
            (["compare", "toy.toml", "--output", "junk"], "junk is there and not empty"),
            (["compare", "toy.toml", "--output", "junk/run"], "cannot make the run directory junk/run"),
            (["report", "full"], "full is not the directory of a run"),
            (["report", "junk"], "junk is not the directory of a run"),
            (["report", "nowhere"], "nowhere is not the directory of a run"),
            (["topology", "show", "rin"], "There is no topology 'rin'. Did you mean 'ring'?"),
            (["topology", "show", "full/x.graphml"], "The topology file 'full/x.graphml' cannot be read"),
            (["topology", "show", "full/note"], "The topology file 'full/note' has no known suffix"),
            (["data", "show", "tou.toml"], "there is no scenario file 'tou.toml'"),
            (["scenario", "show", "toy.toml", "--set", "seed=-1"], "toy.toml: seed is -1"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_done_is_one_line(self, gossipfl_, arguments, expected):
        Path("junk").write_bytes(b"\x00\xff\xfe junk" * 50)
        Path("full").mkdir()
        Path("full/note").touch()
        outcome = gossipfl_(*arguments)
        assert outcome.status == 1
        assert outcome.out == ""
        assert outcome.err.startswith("Error: ")
        assert outcome.err.count("Error: ") == 1
        assert expected in outcome.err
        assert "Traceback" not in outcome.err
        assert {path.name for path in Path().iterdir()} == {"toy.toml", "junk", "full"}

    @pytest.mark.parametrize(
        "arguments",
        [
            ["simulat", "toy.toml"],
            ["simulate"],
            ["simulate", "toy.toml", "--seeds", "0"],
            ["simulate", "toy.toml", "--seeds", "two"],
            ["compare", "toy.toml", "--round", "3"],
            ["report"],
            ["topology", "show"],
        ],
    )
    def test_a_wrong_command_line_is_exit_status_2(self, gossipfl_, arguments):
        outcome = gossipfl_(*arguments)
        assert outcome.status == 2
        assert outcome.out == ""
        assert outcome.err.count("Error: ") == 1

    def test_a_disk_that_fails_in_the_middle_is_no_traceback(self, gossipfl_, monkeypatch):
        class Full(SoftmaxTrainer):
            def train(self, jobs):
                raise OSError(28, "No space left on device", "run/history.jsonl")

        run_without_tensorflow(monkeypatch, Full)
        outcome = gossipfl_("simulate", "toy.toml", "--output", "run")
        assert (outcome.status, outcome.err.count("\n")) == (1, 1)
        assert outcome.err.startswith(
            "Error: run/history.jsonl: No space left on device; what was written before is kept"
        )


def write_idx(directory: Path, num_train: int = 120, num_test: int = 40) -> None:
    """Four MNIST-format files: 6x6 images whose brightest row tells the class."""
    directory.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for part, size in (("train", num_train), ("t10k", num_test)):
        labels = generator.integers(0, 6, size).astype(np.uint8)
        images = generator.integers(0, 150, (size, 6, 6)).astype(np.uint8)
        images[np.arange(size), labels] += 90
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte.gz", labels)):
            content = struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()
            (directory / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


def python(*arguments: str) -> list[str]:
    """The command line of an interpreter that, like an installed command, has no current directory on its path."""
    return [sys.executable, "-P", *arguments]


@pytest.fixture
def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "TF_"))}
    return kept | {"PYTHONPATH": str(Path(gossipfl.__file__).parents[1])}


@pytest.mark.slow
class TestWithKeras:
    def run(self, environment: dict[str, str], *arguments: str) -> Outcome:
        completed = subprocess.run(
            python("-m", "gossipfl", *arguments), env=environment, capture_output=True, text=True, timeout=200
        )
        return Outcome(completed.returncode, completed.stdout, completed.stderr)

    def test_the_experiment_with_which_federated_averaging_is_introduced(self, tmp_path, monkeypatch, environment):
        monkeypatch.chdir(tmp_path)
        write_idx(Path("images"), num_train=400)
        options = ["--data", "idx:images", "--set", "rounds=3", "--set", "training.batch_size=10", "--output", "run"]
        outcome = self.run(environment, "simulate", "kmnist_ten_clients", *options)
        assert (outcome.status, outcome.err) == (0, "")
        rows = [row for row in rows_in(Path("run")) if row["algorithm"] == "fedavg"]
        assert [row["round"] for row in rows] == [0, 1, 2, 3]
        printed = re.findall(r"^fedavg: round (\d+), training accuracy (\d\.\d{4}), ", outcome.out, re.MULTILINE)
        assert printed == [(str(row["round"]), f"{row['training_accuracy']:.4f}") for row in rows[1:]]
        assert f" {100 * rows[-1]['average_accuracy']:.2f} " in outcome.out.split(", and what it cost")[1]
        assert rows[-1]["training_accuracy"] > rows[1]["training_accuracy"]
        summary = json.loads(Path("run/summary.json").read_text())["rows"]
        fedavg = next(row for row in summary if row["label"] == "fedavg")
        assert fedavg["average_accuracy"]["mean"] == rows[-1]["average_accuracy"]
        flags = json.loads(Path("run/manifest.json").read_text())["flags"]
        assert flags.keys() >= {"slots", "intra_op_threads", "inter_op_threads", "op_determinism", "one_dnn"}

    def test_functions_in_the_current_directory_are_found(self, tmp_path, monkeypatch, environment):
        monkeypatch.chdir(tmp_path)
        Path("toy.toml").write_text(TOY)
        Path("mine.py").write_text(
            "import keras, numpy as np\n"
            "def data():\n"
            "    x, y = np.eye(4, dtype='float32')[np.arange(40) % 4], np.arange(40) % 4\n"
            "    return (x, y), (x, y)\n"
            "def model():\n"
            "    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, 'softmax')])\n"
        )
        # A module of the current directory never stands in for an installed one.
        Path("networkx.py").write_text("raise SystemExit('the wrong networkx')\n")
        options = ["--data", "mine:data", "--set", "model=mine:model", "--set", "training.optimizer=sgd", "--json"]
        outcome = self.run(environment, "simulate", "toy.toml", "--output", "run", *options)
        assert outcome.status == 0, outcome.err
        assert [row["label"] for row in json.loads(outcome.out)["rows"]] == ["pairwise", "fedavg"]
        manifest = json.loads(Path("run/manifest.json").read_text())
        assert (manifest["data"]["source"], manifest["model"]["name"]) == ("mine:data", "mine:model")

    def test_a_wrong_optimizer_is_one_line_and_leaves_nothing(self, tmp_path, monkeypatch, environment):
        monkeypatch.chdir(tmp_path)
        outcome = self.run(environment, "compare", "--set", "training.optimizer=sdg", "--output", "run")
        assert (outcome.status, outcome.out) == (1, "")
        assert outcome.err.startswith("Error: ")
        assert "sdg" in outcome.err
        assert not Path("run").exists()

    def test_ctrl_c_ends_a_real_run_with_its_report(self, tmp_path, monkeypatch, environment):
        monkeypatch.chdir(tmp_path)
        arguments = [
            "simulate",
            "gossip_vs_fedavg",
            "--set",
            "rounds=100000",
            "--set",
            "evaluation.every=5",
            "--output",
            "run",
        ]
        with subprocess.Popen(
            python("-u", "-m", "gossipfl", *arguments),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                seen = [process.stdout.readline() for _ in range(3)]
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=250)
            finally:
                process.kill()
        assert (process.returncode, err) == (130, "")
        assert all(line.startswith("pairwise (ring): round ") for line in seen)
        assert "Interrupted: the table and the report show what was measured until then." in out
        assert len(rows_in(Path("run"))) >= 3
        assert Path("run/report.html").stat().st_size > 10_000
        assert list(Path("run/weights").glob("*.average.safetensors"))


EVERYTHING = [*ALGORITHMS, *(name for kind in KINDS for name in kind.members)]


class TestAlgorithms:
    def test_everything_is_listed_by_family(self, gossipfl_):
        outcome = gossipfl_("algorithms")
        assert (outcome.status, outcome.err) == (0, "")
        named = [line.split()[0] for line in outcome.out.splitlines() if line.startswith(" ") and line.split()]
        assert {*EVERYTHING} <= {*named}
        families = ["gossip in rounds", "asynchronous gossip", "with a server", "bounds", "schedules", "server optim"]
        places = [outcome.out.index(f"\n{family}") if position else 0 for position, family in enumerate(families)]
        assert places == sorted(places)
        assert places[1] < outcome.out.index("\n pairwise ") < places[2]
        assert places[2] < outcome.out.index("\n fedprox ") < places[3]

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
    def test_one_kind_is_listed_alone(self, gossipfl_, kind):
        outcome = gossipfl_("algorithms", kind.name)
        named = [line.split()[0] for line in outcome.out.splitlines() if line.startswith(" ") and line.split()]
        assert {*kind.members} <= {*named}
        assert not {*named} & {*ALGORITHMS}
        assert json.loads(gossipfl_("algorithms", kind.name, "--json").out).keys() == {kind.name}

    def test_machines_get_it_as_json(self, gossipfl_):
        answer = json.loads(gossipfl_("algorithms", "--json").out)
        assert {kind: [*names] for kind, names in answer.items()} == {
            "algorithms": [*ALGORITHMS],
            **{kind.name: [*kind.members] for kind in KINDS},
        }
        assert {"schedules", "server_optimizers"} <= {*answer}
        facts = {
            name: answer["algorithms"][name] for name in ("pairwise", "fedavg", "synchronous", "local", "scaffold")
        }
        assert [one["family"] for one in facts.values()] == [
            *("asynchronous gossip", "with a server", "gossip in rounds", "bounds", "with a server"),
        ]
        assert [one["links"] for one in facts.values()] == ["topology", "its own", "by schedule", "none", "its own"]
        assert [one["vectors_per_message"] for one in facts.values()] == [1, 1, 1, 0, 2]
        assert answer["algorithms"]["epidemic_learning"]["links"] == "its own"
        assert facts["fedavg"]["goals"] == ["uniform", "examples"]
        for kinds in answer.values():
            for one in kinds.values():
                assert re.search(r"\(.*\)\.$", one["summary"]), one["name"]
                assert all(parameter["explanation"] for parameter in one["parameters"].values()), one["name"]

    @pytest.mark.parametrize("name", EVERYTHING)
    def test_one_of_them_with_lines_that_a_scenario_takes(self, gossipfl_, name):
        outcome = gossipfl_("algorithms", name)
        facts = json.loads(gossipfl_("algorithms", name, "--json").out)
        assert (outcome.status, outcome.out.splitlines()[0]) == (0, name)
        assert outcome.out.endswith(f"In a scenario:\n\n{facts['toml']}\n")
        shown = outcome.out.split("In a scenario")[0].split()
        assert all(parameter in shown for parameter in facts["parameters"])
        lines = tomllib.loads(facts["toml"])
        (section,) = Scenario(topology={"generator": "path_graph", "arguments": {"n": 8}}, **lines).algorithms
        if facts["kind"] == "algorithms":
            plain = type(section)(name=name)
        else:
            *_, field = lines["algorithms"][0]
            is_list = isinstance(getattr(section, field), tuple)
            assert (getattr(section, field)[0] if is_list else getattr(section, field)).name == name
            plain = type(section)(name=section.name, **{field: [name] if is_list else name})
        assert section.model_copy(update={"optimizer": None}) == plain  # written out are the defaults

    def test_a_narrow_terminal_cuts_nothing(self, gossipfl_, monkeypatch):
        monkeypatch.setattr("gossipfl.cli.terminal.console._WIDTH", 80)
        outcome = gossipfl_("algorithms")
        assert "…" not in outcome.out
        assert "links: by schedule; goals: uniform" in outcome.out
        assert max(map(len, outcome.out.splitlines())) <= 80

    def test_a_name_that_there_is_not(self, gossipfl_):
        outcome = gossipfl_("algorithms", "fedprocs")
        assert (outcome.status, outcome.out) == (1, "")
        assert outcome.err.startswith("Error: there is no algorithm, schedule")
        assert "Did you mean 'fedprox'?" in outcome.err

    def test_no_framework_is_imported(self, environment):
        listed = "import sys\nfrom gossipfl.cli.commands.listings import list_algorithms\nlist_algorithms('d2', True)\n"
        program = f"{listed}print(*sys.modules, file=sys.stderr)"
        completed = subprocess.run(python("-c", program), env=environment, capture_output=True, text=True, timeout=250)
        assert json.loads(completed.stdout)["name"] == "d2"
        assert {"tensorflow", "keras", "aiohttp", "ray"}.isdisjoint(completed.stderr.split())


class TestWinners:
    OPTIONS = ("--set", "targets=[0.01, 0.99]", "--set", "algorithms=['pairwise', 'fedavg']", "--seeds", "2")

    @pytest.mark.parametrize("command", ["simulate", "compare"])
    def test_who_won_is_said_at_the_end(self, gossipfl_, command):
        outcome = gossipfl_(command, "toy.toml", "--output", "run", *self.OPTIONS)
        low, high = json.loads(Path("run/summary.json").read_text())["winners"]
        assert (low["target"], low["of"]) == (0.01, 2)
        assert {low[contest] for contest in CONTESTS if contest != "spread"} <= {"pairwise", "fedavg"}
        assert low["spread"] is None  # reached before any training, when all hold one model
        assert high == {"metric": "accuracy", "target": 0.99, "of": 2} | dict.fromkeys(CONTESTS)
        (_, part) = outcome.out.split("cheapest way to accuracy 1% with all 2 seeds")
        (line,) = [line for line in part.splitlines() if line.strip().startswith("fewest bytes")]
        assert line.split()[2] == low["num_bytes"]
        assert "cheapest way to accuracy 99%" not in outcome.out

    def test_alone_nobody_wins(self, gossipfl_):
        outcome = gossipfl_("simulate", "toy.toml", "--set", "targets=[0.01]", "--set", "algorithms=['pairwise']")
        assert "cheapest" not in outcome.out

    def test_a_product_is_simulated(self, gossipfl_):
        several = "algorithms=[{name=['synchronous', 'fedavg'], schedule=['static', 'base_graph']}]"
        assert gossipfl_("simulate", "toy.toml", "--set", several, "--output", "run").status == 0
        labels = ["synchronous", "synchronous (base_graph)", "fedavg"]
        assert list(dict.fromkeys(row["algorithm"] for row in rows_in(Path("run")))) == labels
        shown = json.loads(gossipfl_("scenario", "show", "toy.toml", "--set", several).out)
        assert Scenario(**shown).labels == labels
