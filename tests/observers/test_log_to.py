"""What is logged is what the history has, in order; whoever fails to take it does not end the run."""

import json
import logging
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec

import pytest
from softmax_trainer import SoftmaxTrainer, run_without_tensorflow

from gossipfl.errors import ConfigurationError, TrainingError
from gossipfl.experiments.comparison import Comparison
from gossipfl.experiments.running import run_all
from gossipfl.observers import log_to
from gossipfl.observers.log_to import LogTo
from gossipfl.observers.tracker import TrackedRun, numbers_of
from gossipfl.scenario import Scenario

SCENARIO = Scenario(
    name="toy",
    rounds=2,
    model="softmax",
    data={"source": "digits", "partition": "iid", "max_train": 80, "max_test": 40},
    topology={"name": "ring", "arguments": {"n": 4}},
    algorithms=["pairwise", "fedavg"],
)


class Fake:
    """A tracker, and the log of each of its runs, that notes what it is told."""

    def __init__(self) -> None:
        self.told: dict[str, list] = {}
        self.checked: list[bool] = []
        self.fails_in_round: int | None = None
        self.fails_from_check = 100

    def check(self, runs: Sequence[TrackedRun], *, is_new: bool) -> None:
        self.checked.append(is_new)
        if len(self.checked) >= self.fails_from_check:
            raise ConfigurationError("no server answers")

    def begin(self, run: TrackedRun) -> "Fake":
        self.told[run.name] = [run]
        return self

    def numbers(self, round: int, values: Mapping[str, float]) -> None:
        if round == self.fails_in_round:
            raise ConnectionError("no\x1b[2J answer")
        self._newest.append((round, dict(values)))

    def end(self, ending: str, notes: Sequence[str]) -> None:
        self._newest.append((ending, list(notes)))

    def errors(self) -> tuple[type[Exception], ...]:
        return (ConnectionError,)

    @property
    def _newest(self) -> list:
        return list(self.told.values())[-1]


@pytest.fixture
def fake(monkeypatch) -> Fake:
    tracker = Fake()
    monkeypatch.setitem(log_to.TRACKERS, "tensorboard", lambda place: tracker)
    run_without_tensorflow(monkeypatch)
    return tracker


def logged(**options) -> Comparison:
    return run_all(SCENARIO, observers=[LogTo("tensorboard:x", group="g")], **options)


def test_every_evaluation_of_every_run_is_told_in_order(fake):
    comparison = logged(num_seeds=2)
    assert list(fake.told) == [f"{label}, seed {seed}" for seed in (0, 1) for label in ("pairwise", "fedavg")]
    for history, (run, *told, end) in zip(comparison.histories, fake.told.values(), strict=True):
        assert (run.scenario, run.group, run.label) == ("toy", "g", history.algorithm)
        said = {"training.batch_size": 32, "algorithm.name": history.algorithm, "seed": history.seed}
        assert said.items() <= run.parameters.items()
        assert told == [(one.round, numbers_of(one)) for one in history]
        assert end == ("finished", [])
    assert fake.checked == [True, True]


def test_numbers_are_those_of_the_history_and_none_is_missing(fake):
    history = logged().histories[0]
    for row, evaluation in zip(history.rows(), history, strict=True):
        numbers = numbers_of(evaluation)
        assert numbers["accuracy/worst"] == row["worst_accuracy"]
        assert numbers["run/busiest_peer_bytes"] == row["busiest_peer_bytes"]
        assert numbers.get("loss/training") == row["training_loss"]
        plain = {name for name, value in row.items() if isinstance(value, float) or type(value) is int}
        assert len(numbers) == len(plain - {"seed", "round"})


def test_a_failure_is_the_end_of_one_log(fake, monkeypatch):
    class Failing(SoftmaxTrainer):
        def train(self, jobs):
            raise TrainingError("peer '2' ended in NaN", peer_id="2", round=1)

    run_without_tensorflow(monkeypatch, Failing)
    logged()
    for label in ("pairwise", "fedavg"):
        assert [one[0] for one in fake.told[f"{label}, seed 0"][1:]] == [0, "failed"]
        assert fake.told[f"{label}, seed 0"][-1][1][-1].startswith(f"{label}: peer '2' ended in NaN")


def test_an_interrupted_run_is_told_as_one(fake, monkeypatch):
    class Interrupted(SoftmaxTrainer):
        def train(self, jobs):
            raise KeyboardInterrupt

    run_without_tensorflow(monkeypatch, Interrupted)
    logged()
    assert [one[0] for one in fake.told["pairwise, seed 0"][1:]] == [0, "interrupted"]


def test_a_tracker_that_fails_does_not_end_the_run(fake, caplog):
    fake.fails_in_round = 1
    with caplog.at_level(logging.WARNING):
        comparison = logged()
    assert [len(history) for history in comparison.histories] == [3, 3]
    assert len(fake.told) == 1
    (warning,) = [record.getMessage() for record in caplog.records if record.name == log_to.__name__]
    assert warning == "tensorboard is not told of the run any more: no\\x1b[2J answer"


def test_a_tracker_that_is_not_there_refuses_a_run_before_it_begins_and_not_later(fake, caplog):
    fake.fails_from_check = 2
    with caplog.at_level(logging.WARNING):
        comparison = logged(num_seeds=2)
    assert [(len(history), history.failure) for history in comparison.histories] == [(3, None)] * 4
    assert "not told of the run any more: no server answers" in caplog.text
    with pytest.raises(ConfigurationError, match="no server answers"):
        logged()


def test_a_run_that_goes_on_has_its_whole_history(fake):
    whole = logged().histories[0]
    begun = {("pairwise", 0): whole.evaluations[:2]}
    observer = LogTo("tensorboard:x", begun=begun)
    (rest,) = whole.evaluations[2:]
    fake.told.clear()
    run_all(SCENARIO, observers=[Only(observer, rest)])
    assert fake.told["pairwise, seed 0"][1:-1] == [(one.round, numbers_of(one)) for one in whole]
    assert fake.checked == [True, False]


class Only:
    """Passes on what an observer is told, of evaluations only one."""

    def __init__(self, observer: LogTo, evaluation) -> None:
        self.begins, self.ended = observer.begins, observer.ended
        self._observer, self._round = observer, evaluation.round

    def evaluated(self, label, evaluation) -> None:
        if evaluation.round == self._round:
            self._observer.evaluated(label, evaluation)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("tensorbord:logs", r"got 'tensorbord:logs'. Did you mean 'tensorboard:'\?"),
        ("logs", "a run is logged to tensorboard:..., mlflow:... or wandb:..., got 'logs'"),
        ("tensorboard:", "takes the directory of the events"),
        ("mlflow:", "takes a tracking URI"),
        ("wandb:", "takes the name of a project"),
    ],
)
def test_a_place_that_is_none_is_refused(place, expected):
    with pytest.raises(ConfigurationError, match=expected):
        LogTo(place)


@pytest.mark.parametrize("found", [None, ModuleSpec("wandb", None)], ids=["nothing", "a folder of that name"])
def test_who_lacks_the_package_is_told_the_extra(monkeypatch, found):
    monkeypatch.setattr(log_to, "find_spec", lambda name: found)
    with pytest.raises(ConfigurationError, match=r"takes the package wandb: pip install 'gossipfl\[wandb\]'"):
        LogTo("wandb:project")


def test_the_command_line_logs_where_it_is_told(command_line, fake, tmp_path):
    (tmp_path / "toy.json").write_text(json.dumps(SCENARIO.model_dump(mode="json", exclude_unset=True)))
    outcome = command_line("simulate", "toy.json", "--output", "out/run", "--log-to", "tensorboard:x")
    assert (outcome.status, outcome.err) == (0, "")
    assert {run[0].group for run in fake.told.values()} == {"run"}
    manifest = json.loads((tmp_path / "out/run/manifest.json").read_text())
    assert "--log-to" not in manifest["command"]  # an address may have a password in it
    wrong = command_line("compare", "toy.json", "--log-to", "nowhere")
    assert (wrong.status, wrong.out) == (1, "")
    assert wrong.err.startswith("Error: a run is logged to ")
