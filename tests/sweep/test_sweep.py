"""The sweep command: what runs, what is skipped, what is refused, and what comes of it."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from softmax_trainer import SoftmaxTrainer, run_without_tensorflow

import gossipfl
from gossipfl.cli.app import main
from gossipfl.errors import ConfigurationError, TrainingError
from gossipfl.runs.files import read_run
from gossipfl.sweep.run import Lost, Run, execute

TOY = """
rounds = 2
targets = [0.3]
model = "softmax"
data = { source = "digits", partition = "iid", max_train = 80, max_test = 40 }
topology = { name = "ring", arguments = { n = 4 } }
algorithms = ["pairwise", "fedavg"]
"""

GRID = ("--set-grid", "training.batch_size=5,20", "--set-grid", "topology.arguments.n=4,8")


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


@dataclass
class InThisProcess:
    """Runs one run after the other, keeps their names, and has the accidents that a test wants."""

    num_workers: int
    log: Path
    asked: ClassVar[list[str]] = []
    accidents: ClassVar[dict[str, Lost | BaseException]] = {}
    ended: list[str] = field(default_factory=list)

    def run(self, runs: Sequence[Run], begins: Callable[[Run], None]):
        for run in runs:
            begins(run)
            self.asked.append(run.name)
            accident = self.accidents.get(run.name)
            if isinstance(accident, BaseException):
                raise accident
            yield run, accident or execute(run)


@pytest.fixture
def sweep(monkeypatch, capsys, tmp_path) -> Callable[..., Outcome]:
    """`gossipfl sweep` in this process, without TensorFlow, in a directory that holds only `toy.toml`."""
    run_without_tensorflow(monkeypatch)
    monkeypatch.setattr("gossipfl.cli.commands.sweep.WorkerProcesses", InThisProcess)
    monkeypatch.setattr(InThisProcess, "asked", [])
    monkeypatch.setattr(InThisProcess, "accidents", {})
    monkeypatch.chdir(tmp_path)
    Path("toy.toml").write_text(TOY)

    def run(*arguments: str) -> Outcome:
        InThisProcess.asked.clear()
        monkeypatch.setattr(sys, "argv", ["gossipfl", "sweep", *arguments])
        monkeypatch.setattr(sys, "path", [*sys.path])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Outcome(end.value.code or 0, captured.out, captured.err)

    return run


def rows_in(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]


def manifest_in(path: Path) -> dict:
    return json.loads((path / "manifest.json").read_text())


HERE = Path("runs/sweep-toy")


def test_python_reads_it(sweep):
    sweep("toy.toml", *GRID)
    read = gossipfl.Sweep.load(HERE)
    assert repr(read) == "<Sweep of toy over training.batch_size, topology.arguments.n: 8 lines>"
    frame = read.to_pandas()
    assert list(frame["round"]) == [row["round"] for row in rows_in(HERE)]
    at = frame[(frame["training.batch_size"] == 5) & (frame["topology.arguments.n"] == 8)]
    assert set(at["algorithm"]) == {"pairwise, batch_size=5, n=8", "fedavg, batch_size=5, n=8"}
    assert set(read.to_polars(peers=True)["topology.arguments.n"]) == {4, 8}
    assert "<polyline" in read._repr_html_()
    assert read.as_run().summary == read_run(HERE).summary
    with pytest.raises(ConfigurationError, match=r"gossipfl\.Sweep\.load takes it"):
        gossipfl.Comparison.load(HERE)


def test_python_makes_it(sweep, tmp_path):
    sweep("toy.toml", *GRID, "--seeds", "2")
    grid = {"training.batch_size": [5, 20], "topology.arguments.n": [4, 8]}
    ours = gossipfl.Sweep.run("toy.toml", grid, 2)
    theirs = gossipfl.Sweep.load(HERE)
    assert ours.to_pandas().equals(theirs.to_pandas())
    assert ours.as_run().summary == theirs.as_run().summary
    saved = ours.save(tmp_path / "ours")
    assert {path.relative_to(saved) for path in saved.rglob("*")} == {
        path.relative_to(HERE) for path in HERE.rglob("*")
    }
    for name in ("sweep.json", "summary.json", "history.jsonl"):
        assert json.loads(f"[{','.join((saved / name).read_text().splitlines())}]") if name == "history.jsonl" else True
        assert (saved / name).read_bytes() == (HERE / name).read_bytes()
    with pytest.raises(ConfigurationError, match="copy its folder"):
        theirs.save(tmp_path / "theirs")


@pytest.mark.parametrize(
    ("grid", "fault"),
    [
        ({"rounds": [1, 1]}, "a value of rounds is there twice"),
        ({"training.batchsize": [1, 2]}, "batch_size"),
        ({"algorithms.7.mu": [1, 2]}, "'7' is not a position from 0 to 1"),
        ({"topology": ["ring", "rnig"]}, "at topology=rnig"),
    ],
)
def test_a_grid_in_python_that_is_not_possible_is_refused(sweep, grid, fault):
    with pytest.raises(ConfigurationError, match=fault):
        gossipfl.Sweep.run("toy.toml", grid)


def test_in_python_ctrl_c_keeps_what_was_measured(sweep, monkeypatch):
    interrupted = iter([False, True])

    def execute_one(run, slots, observers):
        if next(interrupted):
            raise KeyboardInterrupt
        return execute(run)

    monkeypatch.setattr("gossipfl.sweep.run.execute", execute_one)
    some = gossipfl.Sweep.run("toy.toml", {"rounds": [1, 2, 3]})
    assert some.lost == {"rounds=2, seed 0": "interrupted", "rounds=3, seed 0": "interrupted"}
    assert set(some.to_pandas()["round"]) == {0, 1}


def test_every_point_with_every_seed_and_one_table_and_report_over_all(sweep):
    outcome = sweep("toy.toml", *GRID, "--seeds", "2")
    assert (outcome.status, outcome.err) == (0, "")
    assert len(InThisProcess.asked) == 8
    # All points with the first seed come first.
    assert InThisProcess.asked[:2] == ["batch_size=5, n=4, seed 0", "batch_size=5, n=8, seed 0"]
    assert InThisProcess.asked[4] == "batch_size=5, n=4, seed 1"
    assert {path.name for path in HERE.iterdir()} == {
        *("sweep.json", "runs", "manifest.json", "history.jsonl", "history.parquet", "summary.json", "report.html")
    }
    assert len(list((HERE / "runs").iterdir())) == 8
    whole = read_run(HERE)
    assert [one.label for one in whole.manifest.algorithms] == [
        f"{algorithm}, batch_size={size}, n={n}"
        for size in (5, 20)
        for n in (4, 8)
        for algorithm in ("pairwise", "fedavg")
    ]
    assert whole.manifest.differences == [
        "Varied: training.batch_size (5, 20); topology.arguments.n (4, 8)",
        "The number of peers is not the same in all runs: 4, 8",
        "Not the same in all runs, and left out below: partition",
    ]
    assert {name: len(graph.nodes) for name, graph in whole.manifest.topologies.items()} == {
        "ring, n=4": 4,
        "ring, n=8": 8,
    }
    assert {one.label: one.topology for one in whole.manifest.algorithms}["pairwise, batch_size=20, n=8"] == "ring, n=8"
    table = json.loads((HERE / "sweep.json").read_text())["rows"]
    assert [(row["point"], row["label"]) for row in table[:2]] == [
        ({"training.batch_size": 5, "topology.arguments.n": 4}, "pairwise"),
        ({"training.batch_size": 5, "topology.arguments.n": 4}, "fedavg"),
    ]
    for row, shown in zip(table, whole.summary.rows, strict=True):
        assert row["mean_accuracy"]["mean"] == shown.mean_accuracy.mean
        assert row["seeds"] == [0, 1]
        line = next(line for line in outcome.out.splitlines() if line.strip().startswith(shown.label))
        assert f"{100 * shown.mean_accuracy.mean:.2f}" in line


def test_a_run_is_what_simulate_gives_and_says_how_to_repeat_it(sweep, monkeypatch):
    assert sweep("toy.toml", *GRID, "--seeds", "2", "--set", "rounds=3").status == 0
    path = HERE / "runs/training.batch_size=20,topology.arguments.n=8-seed1"
    words = shlex.split(manifest_in(path)["command"])
    assert words[:3] == ["gossipfl", "simulate", "toy.toml"]
    monkeypatch.setattr(sys, "argv", [*words, "--output", "alone"])
    with pytest.raises(SystemExit):
        main()
    assert [row for row in rows_in(Path("alone")) if row["seed"] == 1] == rows_in(path)
    alone = manifest_in(Path("alone"))
    same = ("scenario", "algorithms", "topologies", "data", "model", "targets")
    assert {name: manifest_in(path)[name] for name in same if name != "algorithms"} == {
        name: alone[name] for name in same if name != "algorithms"
    }
    assert read_run(path).summary.rows[0].label == "pairwise"


def test_the_same_command_again_runs_nothing(sweep):
    first = sweep("toy.toml", *GRID)
    files = {path: path.stat().st_mtime_ns for path in (HERE / "runs").rglob("*")}
    again = sweep("toy.toml", *GRID)
    assert (again.status, InThisProcess.asked) == (0, [])
    assert re.findall(r"^(\d) of 4 runs: batch_size=", first.out, re.MULTILINE) == ["1", "2", "3", "4"]
    assert again.out == "4 of 4 runs are done already.\n" + first.out[first.out.index("toy: accuracy") :]
    assert {path: path.stat().st_mtime_ns for path in (HERE / "runs").rglob("*")} == files


def test_more_values_and_seeds_only_add_runs(sweep):
    sweep("toy.toml", "--set-grid", "training.batch_size=5,20")
    outcome = sweep("toy.toml", "--set-grid", "training.batch_size=5,10", "--seeds", "2", "--set", "targets=[0.5]")
    assert InThisProcess.asked == ["batch_size=10, seed 0", "batch_size=5, seed 1", "batch_size=10, seed 1"]
    assert "1 of 4 runs are done already." in outcome.out
    # The table is over what this command asks for.
    assert len(read_run(HERE).summary.rows) == 4
    assert [target.target for target in read_run(HERE).summary.rows[0].targets] == [0.5]
    sweep("toy.toml", "--set-grid", "training.batch_size=5,20", "--set-grid", "rounds=2,1")
    assert len(InThisProcess.asked) == 4


def test_without_a_grid_seeds_run_side_by_side(sweep):
    assert sweep("toy.toml", "--seeds", "2").status == 0
    assert InThisProcess.asked == ["seed 0", "seed 1"]
    assert [row.label for row in read_run(HERE).summary.rows] == ["pairwise", "fedavg"]
    assert read_run(HERE).manifest.partition.label_counts


def test_training_that_fails_is_a_result(sweep, monkeypatch):
    class Diverges(SoftmaxTrainer):
        def train(self, jobs):
            if self.batches.batch_size == 5 and "2" in {job.peer_id for job in jobs}:
                raise TrainingError("peer '2' ended in NaN", peer_id="2", round=1)
            return super().train(jobs)

    run_without_tensorflow(monkeypatch, Diverges)
    outcome = sweep("toy.toml", "--set-grid", "training.batch_size=5,20")
    assert (outcome.status, outcome.err) == (0, "")
    said = "batch_size=5, seed 0, pairwise: peer '2' ended in NaN"
    assert f"Ended early: {said}" in outcome.out
    assert any(failure.startswith(said) for failure in read_run(HERE).manifest.failures)
    assert len(read_run(HERE).summary.rows) == 4
    assert sweep("toy.toml", "--set-grid", "training.batch_size=5,20").status == 0
    assert InThisProcess.asked == []


def test_a_seed_that_fails_before_it_was_measured_reaches_no_target(sweep, monkeypatch):
    class CannotEvaluate(SoftmaxTrainer):
        def evaluate(self, models, part="test", examples=None):
            if self.batches.seed == 1:
                raise TrainingError("no evaluation", peer_id="2", round=0)
            return super().evaluate(models)

    run_without_tensorflow(monkeypatch, CannotEvaluate)
    outcome = sweep("toy.toml", "--seeds", "2")
    assert "seed 1, pairwise: no evaluation" in outcome.out
    for row in read_run(HERE).summary.rows:
        assert [target.of for target in row.targets] == [2]


def test_a_run_that_is_lost_stops_no_other_and_runs_again(sweep):
    InThisProcess.accidents["batch_size=5, n=8, seed 0"] = Lost("its process was killed")
    outcome = sweep("toy.toml", *GRID)
    assert (outcome.status, len(InThisProcess.asked)) == (1, 4)
    assert outcome.err == (
        "Error: batch_size=5, n=8, seed 0: its process was killed\n"
        "1 of 4 runs are not done; the same command runs them again.\n"
    )
    assert len(read_run(HERE).summary.rows) == 6
    assert "1 of 4 runs are not here" in read_run(HERE).manifest.differences
    InThisProcess.accidents.clear()
    assert sweep("toy.toml", *GRID).status == 0
    assert InThisProcess.asked == ["batch_size=5, n=8, seed 0"]


def test_ctrl_c_keeps_what_has_ended_and_the_same_command_goes_on(sweep):
    InThisProcess.accidents["batch_size=20, n=4, seed 0"] = KeyboardInterrupt()
    outcome = sweep("toy.toml", *GRID)
    assert (outcome.status, outcome.err) == (130, "")
    assert outcome.out.endswith("Interrupted: 2 of 4 runs are done; the same command goes on with the others.\n")
    assert (HERE / "report.html").exists()
    InThisProcess.accidents.clear()
    assert sweep("toy.toml", *GRID).status == 0
    assert InThisProcess.asked == ["batch_size=20, n=4, seed 0", "batch_size=20, n=8, seed 0"]


def test_ctrl_c_before_anything_has_ended(sweep):
    InThisProcess.accidents["batch_size=5, n=4, seed 0"] = KeyboardInterrupt()
    outcome = sweep("toy.toml", *GRID, "--json")
    assert outcome.status == 130
    assert json.loads(outcome.out) == {"run": str(HERE), "rows": [], "lost": {}}
    assert not (HERE / "report.html").exists()


def test_a_run_that_was_half_written_is_made_again(sweep):
    half = HERE / "runs/.training.batch_size=5-seed0.unfinished"
    half.mkdir(parents=True)
    (half / "manifest.json").write_text("{")
    (HERE / "sweep.json").write_text('{"format": 1, "scenario": {}, "grid": {}}')
    assert sweep("toy.toml", "--set-grid", "training.batch_size=5", "--output", "new").status == 0
    half.rename(Path("new/runs") / half.name)
    assert sweep("toy.toml", "--set-grid", "training.batch_size=5", "--seeds", "2", "--output", "new").status == 0
    assert len(list(Path("new/runs").iterdir())) == 3


def test_json_is_all_that_goes_to_standard_output(sweep):
    outcome = sweep("toy.toml", *GRID, "--json", "--output", "out")
    answer = json.loads(outcome.out)
    assert (answer["run"], answer["lost"], len(answer["rows"])) == ("out", {}, 8)
    assert answer["rows"] == json.loads(Path("out/sweep.json").read_text())["rows"]
    assert "Report: out/report.html" in outcome.err


def test_odd_values_have_directories_of_their_own(sweep):
    grid = ("--set-grid", "algorithms=['pairwise'],['pairwise','fedavg']")
    assert sweep("toy.toml", *grid, "--output", "out").status == 0
    names = {path.name for path in Path("out/runs").iterdir()}
    assert len(names) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9._=,-]+-[0-9a-f]{8}-seed0", name) for name in names)


class TestRefusals:
    def refused(self, outcome: Outcome, *expected: str) -> None:
        assert (outcome.status, outcome.out) == (1, "")
        assert outcome.err.startswith("Error: ")
        assert "Traceback" not in outcome.err
        assert all(text in outcome.err for text in expected), outcome.err
        assert InThisProcess.asked == []

    def test_a_point_that_is_not_possible(self, sweep):
        self.refused(sweep("toy.toml", "--set-grid", "rounds=1,0"), "at rounds=0: toy.toml: rounds is 0")
        assert not Path("runs").exists()

    def test_data_that_cannot_be_dealt(self, sweep):
        outcome = sweep("toy.toml", "--set-grid", "data.max_train=80,3")
        self.refused(outcome, "max_train=3, seed 0: ", "3 example(s) cannot be dealt")
        assert not Path("runs").exists()

    def test_a_sweep_of_another_scenario(self, sweep):
        sweep("toy.toml", *GRID)
        before = (HERE / "sweep.json").read_text()
        for grid in (GRID, ("--set-grid", "training.batch_size=7")):
            outcome = sweep("toy.toml", *grid, "--set", "training.epochs=2")
            self.refused(
                outcome, f"{HERE} holds a sweep of another scenario", "training.epochs was None, and is 2", "--output"
            )
        assert (HERE / "sweep.json").read_text() == before

    def test_a_run_of_another_scenario_in_the_place_of_one(self, sweep):
        sweep("toy.toml", "--set-grid", "rounds=1,2")
        runs = HERE / "runs"
        (runs / "rounds=1-seed0").rename(runs / "rounds=3-seed0")
        self.refused(
            sweep("toy.toml", "--set-grid", "rounds=3"),
            "rounds=3-seed0 holds a run of another scenario",
            "rounds was 1",
        )

    @pytest.mark.parametrize("output", ["run", "junk", "junk/sweep"])
    def test_something_else_is_there(self, sweep, output):
        Path("junk").write_text("junk")
        Path("run").mkdir()
        Path("run/manifest.json").write_text("{}")
        self.refused(sweep("toy.toml", *GRID, "--output", output), output)
        assert [path.name for path in Path("run").iterdir()] == ["manifest.json"]

    def test_a_spoiled_file(self, sweep):
        sweep("toy.toml", *GRID)
        (HERE / "sweep.json").write_text("{")
        self.refused(sweep("toy.toml", *GRID), "sweep.json is not what a run writes")

    def test_another_sweep_is_running_there(self, sweep, monkeypatch):
        class Twice(InThisProcess):
            def run(self, runs, begins):
                monkeypatch.setattr("gossipfl.cli.commands.sweep.WorkerProcesses", InThisProcess)
                second.append(sweep("toy.toml", *GRID))
                yield from super().run(runs, begins)

        second: list[Outcome] = []
        monkeypatch.setattr("gossipfl.cli.commands.sweep.WorkerProcesses", Twice)
        assert sweep("toy.toml", *GRID).status == 0
        assert (second[0].status, "another process is at work in" in second[0].err) == (1, True)

    def test_options_that_do_not_go_together(self, sweep):
        outcome = sweep("toy.toml", *GRID, "--ray", "--jobs", "2")
        assert (outcome.status, "--jobs" in outcome.err) == (2, True)


IN_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


@pytest.mark.slow
class TestWithKeras:
    COMMAND = (sys.executable, "-m", "gossipfl", "sweep", "toy.toml")

    @pytest.fixture(autouse=True)
    def here(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("toy.toml").write_text(TOY)

    def run(self, *arguments: str) -> Outcome:
        done = subprocess.run([*self.COMMAND, *arguments], capture_output=True, text=True, timeout=280)
        return Outcome(done.returncode, done.stdout, done.stderr)

    def test_processes_measure_what_simulate_does(self):
        grid = ("--set-grid", "training.batch_size=5,20", "--seeds", "2")
        outcome = self.run(*grid)
        assert (outcome.status, outcome.err) == (0, "")
        words = ["simulate", "toy.toml", "--set", "training.batch_size=20", "--seeds", "2", "--output", "alone"]
        subprocess.run([sys.executable, "-m", "gossipfl", *words], check=True, capture_output=True, timeout=200)
        rows = [
            *rows_in(HERE / "runs/training.batch_size=20-seed0"),
            *rows_in(HERE / "runs/training.batch_size=20-seed1"),
        ]
        assert rows == rows_in(Path("alone"))
        times = {path: path.stat().st_mtime_ns for path in HERE.glob("runs/**/*")}
        again = self.run(*grid)
        table = outcome.out[outcome.out.index("toy: accuracy") :]
        assert again == Outcome(0, "4 of 4 runs are done already.\n" + table, "")
        assert {path: path.stat().st_mtime_ns for path in HERE.glob("runs/**/*")} == times

    def test_ray_measures_the_same(self):
        pytest.importorskip("ray")
        grid = ("--set-grid", "training.batch_size=5,20", "--json")
        on_ray, here = self.run(*grid, "--ray", "--output", "ray"), self.run(*grid, "--jobs", "1")
        assert (on_ray.status, here.status) == (0, 0), on_ray.err
        assert json.loads(on_ray.out)["rows"] == json.loads(here.out)["rows"]
        assert rows_in(Path("ray")) == rows_in(HERE)

    def test_ctrl_c_in_a_terminal(self):
        """One run ends, the other would go on for days; then the command goes on without it."""
        grid = ("--set-grid", "rounds=1,1000000", "--set", "evaluation.every=1000", "--jobs", "2")
        words = [sys.executable, "-c", IN_A_TERMINAL, *self.COMMAND, *grid]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                seen = b""
                while b"1/2" not in seen:
                    seen += os.read(process.stdout.fileno(), 4096)
                process.stdin.write(b"\x03")
                process.stdin.flush()
                out, err = process.communicate(timeout=250)
            finally:
                process.kill()
        assert (process.returncode, err) == (130, b"")
        assert b"running rounds=1000000, seed 0" in seen + out
        assert b"Interrupted: 1 of 2 runs are done; the same command goes on with the others." in out
        assert b"Traceback" not in seen + out
        assert [path.name for path in (HERE / "runs").iterdir()] == ["rounds=1-seed0"]
        assert (HERE / "report.html").exists()
        assert self.run(*grid[2:], "--set-grid", "rounds=1").out.startswith("1 of 1 runs are done already.")
