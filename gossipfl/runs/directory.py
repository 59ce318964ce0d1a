"""A run on disk: manifest, history, events and weights.

manifest.json      scenario, seeds, versions, flags, digests of data and partition
history.jsonl      one row per evaluation, written while the run goes on
events.jsonl       when peers lost and found each other, if they ran over a network
agreed.jsonl       what peers knew together of how good their models are, if they agree on that; written when they end
weights/           final weights and statistics (`gossipfl.files.weight_files`), and what no training changes
                   (`gossipfl.runs.constant_files`)
checkpoints/       the federation that is running, if it is saved now and then; gone when the run has ended

When it has ended, `gossipfl.report.complete` adds what can be derived from these: history.parquet, agreed.parquet,
summary.json and report.html.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.mode import Mode
from gossipfl.files.strict_json import json_lines
from gossipfl.files.weight_files import Arrays, by_name, file_stems, write_weights
from gossipfl.files.whole_files import kept_for_this_process, write_whole
from gossipfl.history import Evaluation, History, history_row
from gossipfl.runs.agreed_rows import agreed_rows
from gossipfl.runs.beginning import run_manifest
from gossipfl.runs.constant_files import write_constants
from gossipfl.runs.manifest import Manifest, write_manifest
from gossipfl.scenario import Scenario
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.weights import ModelVectors, WeightsSchema

CHECKPOINTS = "checkpoints"
"""The folder of a run directory where the federation that is running is saved."""


class RunDirectory:
    """Records a run as it goes on; an `Observer`. What was measured is on disk, whatever happens to the process."""

    def __init__(
        self,
        path: Path,
        scenario: Scenario,
        num_seeds: int,
        mode: Mode,
        command: str,
        checkpoint_every: int | None = None,
    ) -> None:
        self.path = path
        self._scenario = scenario
        self._seeds = list(range(scenario.seed, scenario.seed + num_seeds))
        self._mode = mode
        self._command = command
        self._checkpoint_every = checkpoint_every
        self._manifest: Manifest | None = None
        self._seed = scenario.seed
        self._experiment: Experiment | None = None
        self._existed = path.exists()
        self._open = ExitStack()
        self._rows_before: Iterable[Mapping[str, Any]] | None = None
        self._stems = file_stems(scenario.labels)

    @classmethod
    def create(
        cls,
        path: Path | None,
        scenario: Scenario,
        num_seeds: int,
        mode: Mode,
        command: str,
        checkpoint_every: int | None = None,
    ) -> "RunDirectory":
        """A new directory, `runs/NAME-DATE-TIME` by default.

        Raises ConfigurationError when there is already something at `path`.
        """
        chosen = path or unused_directory(scenario.name)
        directory = cls(chosen, scenario, num_seeds, mode, command, checkpoint_every)
        make_run_directory(chosen)
        return directory

    def __enter__(self) -> "RunDirectory":
        self._open.enter_context(kept_for_this_process(self.path / "weights"))
        if self._rows_before is not None:
            write_whole(self.path / "history.jsonl", json_lines(self._rows_before))
            ended = {(one.algorithm, one.seed) for one in self._begun.ended}
            if agreed := agreed_rows(self.path):  # those of the federation that goes on are in its checkpoint
                kept = (row.model_dump() for row in agreed if (row.algorithm, row.seed) in ended)
                write_whole(self.path / "agreed.jsonl", json_lines(kept))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave nothing behind when the run has not begun."""
        self._open.close()
        if self._manifest is None:
            (self.path / "weights").rmdir()
            if not self._existed:
                self.path.rmdir()

    @classmethod
    def resume(
        cls, path: Path, scenario: Scenario, mode: Mode, manifest: Manifest, rows: Iterable[Mapping[str, Any]]
    ) -> "RunDirectory":
        """The directory of a run that goes on, with its manifest, and `rows` for its history so far."""
        directory = cls(path, scenario, len(manifest.seeds), mode, manifest.command)
        directory._manifest = manifest
        directory._rows_before = rows
        return directory

    @property
    def checkpoints(self) -> Path:
        """The checkpoints of the federation that is running."""
        return self.path / CHECKPOINTS

    @property
    def has_begun(self) -> bool:
        """True if there is a run in it, though it may not be measured yet."""
        return self._manifest is not None

    def peers_directory(self, experiment: Experiment, section: AlgorithmSection) -> Path:
        """The folder in which the peers of one algorithm, as processes, have their own run directories."""
        stem = self._stems[self._scenario.label_of(section)]
        return self.path / "peers" / f"{stem}-seed{experiment.seed}"

    def begins(self, experiment: Experiment) -> None:
        if self._manifest is not None and self._experiment is None:
            self._check_resumed(experiment)
        self._experiment, self._seed = experiment, experiment.seed
        if self._manifest is None:  # data and versions are those of the first seed
            self._manifest = run_manifest(self._scenario, experiment, self._seeds, self._mode, self._command)
            self._note({"checkpoint_every": self._checkpoint_every})
            (self.path / "history.jsonl").touch()
        constants = experiment.trainer.constants
        digests = self._begun.constants
        if constants and str(self._seed) not in digests:
            self._note({"constants": {**digests, str(self._seed): constants.digest}})
        write_constants(self.path / "weights", self._seed, constants)

    def check_data(self, dataset: Dataset) -> None:
        """Raise ConfigurationError when the data of the first seed are not those that the run began with."""
        data, now = self._begun.data, dataset.digest
        expected = None if data is None else data.digest
        if now != expected:
            raise ConfigurationError(
                f"the data are not those that the run in {self.path} began with: {dataset.name} has the digest {now}, "
                f"expected {expected}; put the old data back, or begin a new run"
            )

    def _check_resumed(self, experiment: Experiment) -> None:
        """Note in the manifest what may change the last bits of a run that goes on.

        Raises ConfigurationError when the frozen variables of the model are not those that it began with.
        """
        frozen_variables = self._begun.constants.get(str(experiment.seed))
        if frozen_variables not in (None, experiment.trainer.constants.digest):
            raise ConfigurationError(
                f"the model has other frozen variables than those that the run in {self.path} began with; let its "
                f"function give the old ones, or begin a new run"
            )
        before = self._begun.flags
        changed = [
            f"{name} {before[name]}, then {flag}"
            for name, flag in experiment.trainer.flags.items()
            if name not in ("slots", "inter_op_threads") and before.get(name, flag) != flag
        ]
        if changed:
            note = f"The run was stopped and went on in another environment ({'; '.join(changed)})."
            self._note({"differences": [*self._begun.differences, note]})

    def evaluated(self, label: str, evaluation: Evaluation) -> None:
        self._append("history.jsonl", [history_row(label, self._seed, evaluation)])

    def ended(self, history: History) -> None:
        self._append("events.jsonl", history.contact_rows())
        self._append("agreed.jsonl", history.agreed_rows())
        if self._experiment is not None:  # else it has not begun
            trainer = self._experiment.trainer
            schemas = trainer.schema, trainer.statistics_schema, trainer.local_schema
            stem = self._stems[history.algorithm]
            write_models(self.path, stem, history, schemas, self._begun.constants.get(str(history.seed)))
        if not history.interrupted:
            self._note(self._begun.facts_of_end(history))

    def _append(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        if lines := json_lines(rows):
            with (self.path / name).open("a", encoding="utf-8") as file:
                file.write(lines)

    def finish(self, *, interrupted: bool = False, failures: Sequence[str] = ()) -> Path:
        """Write how the run ended; returns its directory, which has no summary and no report yet."""
        self._note({"interrupted": interrupted, "failures": list(failures)})
        if not interrupted:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        return self.path

    @property
    def _begun(self) -> Manifest:
        assert self._manifest is not None  # nobody asks before the run has begun
        return self._manifest

    def _note(self, facts: Mapping[str, Any]) -> None:
        """Replace fields of the manifest, and write it."""
        self._manifest = self._begun.model_copy(update=facts)
        write_manifest(self.path, self._manifest)


def write_models(
    run: Path, stem: str, history: History, schemas: Sequence[WeightsSchema], constants: str | None
) -> None:
    """Write the last models of one algorithm's run, by the `schemas` of weights, statistics and what is local; nothing
    where it has none. `constants` is the digest of what no training changes, if there is any."""

    def named(model: ModelVectors) -> Arrays:
        vectors = zip(schemas, (model.weights, model.statistics, model.local), strict=True)
        return {name: array for schema, vector in vectors for name, array in by_name(schema, vector).items()}

    if history.average is not None:
        average, best = named(history.average), None if history.best is None else named(history.best)
        write_weights(run / "weights", f"{stem}-seed{history.seed}", average, history.final, constants, best)


def make_run_directory(
    path: Path, option: str = "--output", *, may_be_begun: bool = False, folder: str = "weights"
) -> None:
    """Make the directory of a run, with a `folder` for weights in it; one that `may_be_begun` need not be empty.

    `option` is how the command line names it. Raises ConfigurationError when there is already something at `path`, or
    nothing can be made there.
    """
    if not may_be_begun and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigurationError(f"{path} is there and not empty; give another {option}, nothing was changed")
    try:
        (path / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make the run directory {path}: {error.strerror}") from error


def unused_directory(name: str) -> Path:
    """`runs/NAME-DATE-TIME`, or the first of that with `-2`, `-3`, ... behind it that is not there."""
    path = Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate
