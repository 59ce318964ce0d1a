"""Processes and Ray: what ends, fails, dies or goes on; without TensorFlow."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from gossipfl.scenario import Scenario
from gossipfl.sweep.executors import RayTasks, WorkerProcesses
from gossipfl.sweep.grid import Point
from gossipfl.sweep.run import Lost, Measured, Run

POINT = Point((("rounds", "2"),), Scenario(rounds=2))


def misfortunes(run: Run) -> Measured | Lost:
    """What happens depends on the seed."""
    match run.seed:
        case 1:
            os.kill(os.getpid(), signal.SIGKILL)
        case 2:
            raise RuntimeError("a fault that nobody expects")
        case 3:
            print("noise")  # noqa: T201
            return Lost("the data is not there")
    return Measured({"pid": os.getpid()}, [{"rounds": run.point.scenario.rounds, "seed": run.seed}])


def endless(run: Run) -> Measured:
    if run.seed > 0:
        signal.pause()
    return Measured({}, [])


def runs(num: int) -> list[Run]:
    return [Run(POINT, seed) for seed in range(num)]


def test_a_process_that_dies_takes_only_its_run_with_it(tmp_path, capfd):
    asked, began = runs(6), []
    executor = WorkerProcesses(2, tmp_path / "log", misfortunes)
    outcomes = {run.seed: outcome for run, outcome in executor.run(asked, began.append)}
    assert began == asked
    assert outcomes.keys() == set(range(6))
    assert [outcomes[seed].rows for seed in (0, 4, 5)] == [[{"rounds": 2, "seed": seed}] for seed in (0, 4, 5)]
    assert outcomes[1].reason.startswith("its process was killed (SIGKILL)")
    assert outcomes[2] == Lost(f"its process ended with status 1; {tmp_path / 'log'} says why")
    assert outcomes[3] == Lost("the data is not there")
    assert "RuntimeError: a fault that nobody expects" in (tmp_path / "log").read_text()
    assert capfd.readouterr() == ("", "")
    assert multiprocessing.active_children() == []


def test_processes_are_used_again(tmp_path):
    some = [Run(POINT, seed) for seed in (4, 5, 6)]
    pids = [measured.manifest["pid"] for _, measured in WorkerProcesses(1, tmp_path / "log", misfortunes).run(some, id)]
    assert len(pids) == 3
    assert len({os.getpid(), *pids}) == 2
    assert not (tmp_path / "log").exists()


def test_closing_ends_what_still_runs(tmp_path):
    outcomes = WorkerProcesses(2, tmp_path / "log", endless).run(runs(4), id)
    run, _ = next(outcomes)
    assert run.seed == 0
    assert len(multiprocessing.active_children()) == 2
    outcomes.close()
    assert multiprocessing.active_children() == []


def test_nothing_to_do_starts_nothing(tmp_path):
    assert list(WorkerProcesses(2, tmp_path / "log").run([], id)) == []
    assert not (tmp_path / "log").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_loses_only_the_run_of_a_worker_that_dies(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)  # of the workers
    outcomes = {run.seed: outcome for run, outcome in RayTasks(task=misfortunes).run(runs(5), id)}
    assert outcomes.keys() == set(range(5))
    assert [outcomes[seed].rows[0]["seed"] for seed in (0, 4)] == [0, 4]
    assert "worker died" in outcomes[1].reason
    assert outcomes[2] == Lost("RuntimeError: a fault that nobody expects")
    assert outcomes[3] == Lost("the data is not there")
