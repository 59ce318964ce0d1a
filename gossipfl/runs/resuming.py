"""Runs in virtual time that were stopped: what has ended, and the federation that was saved last."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import nan
from pathlib import Path
from typing import Any, TypeAlias

from gossipfl.engines.virtual.simulator import Simulator
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.fairness import with_bounds
from gossipfl.files.checkpoints import CheckpointWriter, newest_checkpoint
from gossipfl.history import Evaluation, History, evaluation_of, history_row
from gossipfl.measured import Measured
from gossipfl.runs.files import HistoryRow
from gossipfl.runs.manifest import Manifest, read_manifest
from gossipfl.runs.parts import rows_of
from gossipfl.scenario import Scenario
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.scenario.differences import first_difference
from gossipfl.scenario.own_scenario import refuse_functions
from gossipfl.scores import LOSS, Metric

RunName: TypeAlias = tuple[str, int]
"""Label and seed of one algorithm's run."""


class Checkpoints:
    """Saves the federation that is running every `every` rounds (None: never), and goes on from what was saved."""

    def __init__(self, directory: Path, every: int | None) -> None:
        self._directory = directory
        self._every = every
        self._writer = CheckpointWriter(directory)
        self._saved = newest_checkpoint(
            directory,
            f"remove {directory} to run its algorithm again from the beginning, and keep those that have ended",
        )

    def evaluations(self) -> Mapping[RunName, list[Evaluation]]:
        """The evaluations that had been made of the federation that was saved."""
        if self._saved is None:
            return {}
        values = self._saved.values
        evaluations = [evaluation_of(one) for one in values["simulator"]["evaluations"]]
        return {(values["algorithm"], values["seed"]): evaluations}

    def simulator(self, experiment: Experiment, section: AlgorithmSection) -> Simulator:
        """The simulator of one of the scenario's algorithms: as it was saved, or at its beginning."""
        simulator = experiment.simulator(section)
        name = {"algorithm": simulator.history.algorithm, "seed": experiment.seed}
        if self._saved is not None and name.items() <= self._saved.values.items():
            simulator.restore((self._saved.arrays, self._saved.values["simulator"]))
        self._saved = None  # it has the memory of a whole federation
        if self._every is None:
            return simulator
        every, newest = self._every, simulator.round

        def save(round: int) -> None:
            nonlocal newest
            if round // every > newest // every:
                arrays, values = simulator.snapshot()
                self._directory.mkdir(exist_ok=True)
                self._writer.write(arrays, {**name, "simulator": values})
            newest = round

        simulator.on_round = save
        return simulator


@dataclass(frozen=True)
class StoppedRun:
    """A run that is to go on, as its directory says it."""

    path: Path
    manifest: Manifest
    scenario: Scenario
    ended: Mapping[RunName, History]

    def rows(self, saved: Mapping[RunName, Sequence[Evaluation]]) -> Iterator[dict[str, Any]]:
        """The history to go on from: of what has ended, and of the federation that was saved."""
        for history in self.ended.values():
            yield from history.rows()
        for name, evaluations in saved.items():
            if name not in self.ended:
                yield from (history_row(*name, evaluation) for evaluation in evaluations)


def stopped_run(path: Path, own: Scenario | None = None) -> StoppedRun:
    """Read a run directory. Raises ConfigurationError when it is none, or when its run cannot be gone on with: also
    when it is not of the user's `own` scenario, or names functions and there is no such scenario."""
    if not (path / "manifest.json").is_file():
        raise ConfigurationError(f"{path} is not the directory of a run: there is no manifest.json in it")
    report = f"`gossipfl report {path}` makes a report of what was measured."
    manifest = read_manifest(path, f"Restore the file to go on with the run; {report}")
    if not manifest.mode.can_go_on:
        raise ConfigurationError(
            f"{path} is not a run of `simulate` or `compare` in virtual time, and only those can be gone on with; "
            "a peer over HTTP goes on with `gossipfl peer ... --resume`"
        )
    scenario = Scenario(**manifest.scenario)
    if own is None:
        refuse_functions(path, scenario, f"gossipfl {manifest.mode.command} SCENARIO --resume {path}")
    else:
        own = with_bounds(own) if manifest.mode.adds_bounds else own
        other = first_difference(scenario.model_dump(mode="json"), own.model_dump(mode="json"))
        if other is not None:
            raise ConfigurationError(
                f"{path} holds a run of another scenario ({other}); name that one to go on with it, or none"
            )
    ended = {(one.algorithm, one.seed): History(**one.model_dump()) for one in manifest.ended}
    metrics = manifest.metrics
    for row in rows_of(path / "history.jsonl", HistoryRow):
        if (row.algorithm, row.seed) in ended:
            ended[row.algorithm, row.seed].evaluations.append(evaluation_of_row(row, metrics))
    return StoppedRun(
        path=path,
        manifest=manifest,
        scenario=scenario,
        ended=ended,
    )


def evaluation_of_row(row: HistoryRow, metrics: Sequence[Metric]) -> Evaluation:
    """The evaluation of which this row was written, of models with these metrics."""

    def measured(metric: Metric) -> Measured:
        name = metric.name
        peers = {peer: nan if value is None else value for peer, value in row.of_peers(name).items()}
        average, training = row.column("average", name), row.column("training", name)
        if peers and average is None:  # it was measured, and is no number
            average = nan
        return Measured(metric, training, average, peers, row.deploys_average)

    values: dict[str, Any] = {field.name: getattr(row, field.name, None) for field in fields(Evaluation)}
    for name in ("num_examples", "epochs", "time", "consensus_distance"):
        values[name] = nan if values[name] is None else values[name]
    return Evaluation(**values | {"loss": measured(LOSS), "metrics": {one.name: measured(one) for one in metrics}})
