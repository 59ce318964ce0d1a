"""Runs from Python: callbacks that look, stop or fail; progress; peers over HTTP inside of a running loop."""

import asyncio
import io

import numpy as np
import pytest
from rich.console import Console
from softmax_trainer import SoftmaxTrainer, run_without_tensorflow

import gossipfl
from gossipfl.errors import ConfigurationError, TrainingError
from gossipfl.results.progress import Progress
from gossipfl.scenario import Scenario


def scenario(**fields):
    given = {"rounds": 4, "topology": {"name": "ring", "arguments": {"n": 3}}, "data": {"max_train": 60}}
    return Scenario(model="softmax", **{**given, "algorithms": ["synchronous"], **fields})


@pytest.fixture(autouse=True)
def _without_tensorflow(monkeypatch):
    run_without_tensorflow(monkeypatch)


def enough(label, evaluation):
    return f"{label} is good enough" if evaluation.round == 2 else None


@pytest.mark.parametrize("run", [gossipfl.simulate, gossipfl.launch])
class TestACallback:
    def test_its_text_ends_the_run_with_that_evaluation(self, run):
        history = run(scenario(), callbacks=[enough])
        assert [one.round for one in history] == [0, 1, 2]
        assert history.stopped.startswith("in round 2, at ")
        assert history.stopped.endswith(" s: synchronous is good enough")
        assert "stopped early" in repr(history)
        assert history.average is not None
        assert any("good enough" in note for note in history.as_run().manifest.differences)

    def test_what_is_measured_at_the_end_is_measured_then(self, run):
        history = run(scenario(data={"max_train": 120, "validation": 0.5}), callbacks=[enough])
        assert history.last.round == 2
        assert history.last.metrics["test_accuracy"].deployed > 0

    def test_without_a_text_it_only_looks(self, run):
        seen = []
        history = run(scenario(rounds=1), callbacks=[lambda label, one: seen.append((label, one.round))])
        assert seen == [("synchronous", 0), ("synchronous", 1)]
        assert history.stopped is None

    def test_what_fails_in_it_is_raised(self, run):
        def fails(label, evaluation):
            raise ZeroDivisionError("mine")

        with pytest.raises(ZeroDivisionError, match="mine"):
            run(scenario(), callbacks=[fails])
        with pytest.raises(TypeError, match="returns None, or a text"):
            run(scenario(), callbacks=[lambda label, one: True])


def test_a_callback_ends_one_algorithm_of_a_comparison():
    comparison = gossipfl.compare(
        scenario(algorithms=["fedavg"]), callbacks=[lambda label, one: "enough" if label == "local" else None]
    )
    assert [(one.algorithm, one.last.round) for one in comparison.histories] == [
        ("fedavg", 4),
        ("local", 0),
        ("centralized", 4),
    ]
    with pytest.raises(ZeroDivisionError):
        gossipfl.compare(scenario(), callbacks=[lambda label, one: 1 / 0])


def test_an_observer_is_told():
    told = []

    class Recorder:
        def begins(self, experiment):
            told.append(experiment.seed)

        def evaluated(self, label, evaluation):
            told.append(evaluation.round)

        def ended(self, history):
            told.append(history.algorithm)

    gossipfl.simulate(scenario(rounds=1), callbacks=[Recorder()])
    assert told == [0, 0, 1, "synchronous"]
    with pytest.raises(ConfigurationError, match="a callback is a function of"):
        gossipfl.simulate(scenario(), callbacks=["tensorboard"])


def test_in_a_running_loop_peers_have_a_loop_of_their_own():
    async def cell():
        return gossipfl.launch(scenario(), callbacks=[enough]), gossipfl.simulate(scenario(rounds=2))

    launched, simulated = asyncio.run(cell())
    assert launched.last.round == 2
    assert np.array_equal(launched.average.weights, simulated.average.weights)


def test_training_that_diverges_is_raised_alone_and_noted_among_seeds(monkeypatch):
    class Diverging(SoftmaxTrainer):
        def train(self, jobs):
            raise TrainingError("peer '0' diverged", peer_id="0", round=1)

    run_without_tensorflow(monkeypatch, Diverging)
    for run in (gossipfl.simulate, gossipfl.launch):
        with pytest.raises(TrainingError, match="diverged"):
            run(scenario())
    both = gossipfl.simulate(scenario(), num_seeds=2)
    assert [one.failure.startswith("synchronous: peer '0' diverged") for one in both.histories] == [True, True]
    assert "failed" in repr(both.histories[0])


def test_ctrl_c_keeps_what_was_measured():
    def press(label, evaluation):
        if evaluation.round == 1:
            raise KeyboardInterrupt

    history = gossipfl.simulate(scenario(), callbacks=[press])
    assert history.interrupted
    assert [one.round for one in history] == [0]


def test_ctrl_c_before_there_is_anything_is_raised(monkeypatch):
    class Pressing:
        def begins(self, experiment):
            raise KeyboardInterrupt

        def evaluated(self, label, evaluation): ...

        def ended(self, history): ...

    with pytest.raises(KeyboardInterrupt):
        gossipfl.compare(scenario(), callbacks=[Pressing()])


class TestProgress:
    def test_without_a_terminal_every_evaluation_is_a_line(self, capsys):
        gossipfl.simulate(scenario(rounds=1), progress=True)
        first, last = capsys.readouterr().out.splitlines()
        assert first.startswith("synchronous, seed 0: round 0 of 1, accuracy 0.")
        assert last.startswith("synchronous, seed 0: round 1 of 1, accuracy 0.")

    def test_in_a_terminal_there_is_a_bar(self):
        screen = io.StringIO()
        with Progress(Console(file=screen, force_terminal=True, width=100)) as shown:
            gossipfl.simulate(scenario(rounds=1), callbacks=[shown])
        assert "1/1" in screen.getvalue()

    def test_a_notebook_draws_its_display_anew(self, monkeypatch):
        drawn = []

        class Handle:
            def update(self, bars):
                drawn.append(bars._repr_mimebundle_(["text/html"], [])["text/html"])

        monkeypatch.setattr("IPython.display.display", lambda shown, display_id: Handle())
        with Progress(Console(file=io.StringIO(), force_jupyter=True)) as shown:
            gossipfl.simulate(scenario(rounds=1), callbacks=[shown])
        assert "1/1" in drawn[-1]
