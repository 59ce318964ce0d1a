"""One run of a sweep: a point of the grid with one seed, in one process that uses one core."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from gossipfl.errors import GossipFLError
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.mode import Command, Mode
from gossipfl.experiments.running import Observer, run_section
from gossipfl.history import History
from gossipfl.runs.beginning import run_manifest
from gossipfl.runs.manifest import EndedRun, Manifest
from gossipfl.scenario import Scenario
from gossipfl.sweep.grid import Point

JSON: TypeAlias = dict[str, Any]


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """A point of the grid with one seed."""

    point: Point
    seed: int

    @property
    def scenario(self) -> Scenario:
        """The scenario of the point, with the seed. Raises ConfigurationError where it is not possible."""
        return self.point.scenario.with_seed(self.seed)

    @property
    def name(self) -> str:
        """The name of it in messages."""
        return ", ".join([*filter(None, [self.point.name]), f"seed {self.seed}"])


@dataclass(frozen=True, eq=False, slots=True)
class Measured:
    """The manifest and the history rows of a run; an algorithm that failed ends there, which the manifest says under
    `failures`."""

    manifest: Manifest
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Lost:
    """A run that could not be made to its end, and why; it leaves nothing behind."""

    reason: str


Outcome: TypeAlias = Measured | Lost


def execute(run: Run, slots: int | None = 1, observers: Sequence[Observer] = ()) -> Outcome:
    """Run all algorithms of a scenario, so many peers at a time (None: one per core); gives what `simulate` gives for
    that scenario and seed."""
    histories: list[History] = []
    try:
        scenario = run.scenario
        experiment = Experiment(scenario, slots=slots)
        manifest = run_manifest(scenario, experiment, [run.seed], Mode(Command.SIMULATE), "")
        for observer in observers:
            observer.begins(experiment)
        for section in scenario.algorithms:
            run_section(experiment, section, histories, observers)
    except GossipFLError as error:
        return Lost(str(error))
    failures = [history.failure for history in histories if history.failure is not None]
    rows = [row for history in histories for row in history.rows()]
    ended = [EndedRun.of(history) for history in histories]
    return Measured(manifest.model_copy(update={"failures": failures, "ended": ended}), rows)
