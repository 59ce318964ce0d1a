"""All that the files of a run say beside its histories, kept while it runs, so that it can be saved afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.fairness import spread
from gossipfl.experiments.mode import Mode
from gossipfl.files.strict_json import json_lines
from gossipfl.files.weight_files import file_stems
from gossipfl.files.whole_files import write_whole
from gossipfl.history import Evaluation, History
from gossipfl.report.complete import complete, summary
from gossipfl.results.asked import only
from gossipfl.runs.agreed_rows import AgreedRow
from gossipfl.runs.beginning import run_manifest
from gossipfl.runs.constant_files import write_constants
from gossipfl.runs.directory import make_run_directory, write_models
from gossipfl.runs.files import EventRow, HistoryRow, Run, Summary
from gossipfl.runs.manifest import Manifest, write_manifest
from gossipfl.scenario import Scenario
from gossipfl.weights import Constants


@dataclass(eq=False, slots=True)
class Record:
    """The manifests and the constants of a run, by seed; an `Observer` that notes them when a seed begins."""

    scenario: Scenario
    mode: Mode
    command: str
    manifests: dict[int, Manifest] = field(default_factory=dict)
    constants: dict[int, Constants] = field(default_factory=dict)

    def begins(self, experiment: Experiment) -> None:
        seed = experiment.seed
        self.manifests[seed] = run_manifest(experiment.scenario, experiment, [seed], self.mode, self.command)
        self.constants[seed] = experiment.trainer.constants

    def evaluated(self, label: str, evaluation: Evaluation) -> None: ...

    def ended(self, history: History) -> None: ...

    def of(self, history: History) -> "Record":
        """The record of one of the histories alone. Raises ConfigurationError for a run that has not begun."""
        if history.seed not in self.manifests:
            raise ConfigurationError(f"{history.algorithm} with seed {history.seed} has not begun: {history.failure}")
        seed, scenario = history.seed, only(self.scenario.with_seed(history.seed), history.algorithm)
        manifest = self.manifests[seed]
        own = [one for one in manifest.algorithms if one.label == history.algorithm]
        manifest = manifest.model_copy(update={"algorithms": own, "scenario": _dumped(scenario)})
        return Record(scenario, self.mode, self.command, {seed: manifest}, {seed: self.constants[seed]})

    def run(self, histories: Sequence[History], *, is_interrupted: bool) -> Run:
        """The run as it would be read from its files."""
        manifest = self._manifest(histories, is_interrupted)
        rows = [HistoryRow.model_validate(row) for history in histories for row in history.rows()]
        return Run(
            manifest,
            rows,
            Summary.model_validate(summary(manifest, [row.model_dump() for row in rows])),
            [EventRow.model_validate(row) for history in histories for row in history.contact_rows()],
            [AgreedRow.model_validate(row) for history in histories for row in history.agreed_rows()],
        )

    def save(self, path: Path, histories: Sequence[History], *, is_interrupted: bool) -> None:
        """Write a run directory. Raises ConfigurationError where something is there already."""
        make_run_directory(path, "directory")
        manifest = self._manifest(histories, is_interrupted)
        files: Mapping[str, list[dict[str, Any]]] = {
            "history.jsonl": [row for history in histories for row in history.rows()],
            "events.jsonl": [row for history in histories for row in history.contact_rows()],
            "agreed.jsonl": [row for history in histories for row in history.agreed_rows()],
        }
        for name, rows in files.items():
            if rows or name == "history.jsonl":
                write_whole(path / name, json_lines(rows))
        stems = file_stems([algorithm.label for algorithm in manifest.algorithms])
        for history in histories:
            model = self.manifests[history.seed].model if history.seed in self.manifests else None
            if model is not None:
                schemas = model.schema_of_weights, model.schema_of_statistics, model.schema_of_local
                digest = manifest.constants.get(str(history.seed))
                write_models(path, stems[history.algorithm], history, schemas, digest)
        for seed, constants in self.constants.items():
            write_constants(path / "weights", seed, constants)
        write_manifest(path, manifest)
        complete(path)

    def _manifest(self, histories: Sequence[History], is_interrupted: bool) -> Manifest:
        """The manifest of all seeds together at their end; of several, data and graph are those of the first."""
        seeds = list(self.manifests)
        first = self.manifests[seeds[0]]
        facts = {
            "seeds": seeds,
            "scenario": _dumped(self.scenario),
            "spread": spread(self.scenario, seeds),
            "algorithms": [one.model_copy(update={"seeds": seeds}) for one in first.algorithms],
            "constants": {str(seed): one.digest for seed, one in self.constants.items() if one},
            "interrupted": is_interrupted,
            "failures": [history.failure for history in histories if history.failure is not None],
        }
        manifest = first.model_copy(update=facts)
        for history in histories:
            if not history.interrupted:
                manifest = manifest.model_copy(update=manifest.facts_of_end(history))
        return manifest


def _dumped(scenario: Scenario) -> dict[str, Any]:
    return scenario.model_dump(mode="json", exclude_none=True)
