"""One peer of a run over a network leaves a manifest, a history, events and final weights on its host.

manifest.json               that of the run, with the peer's name, the run's id and what it is the digest of
history.jsonl               a `PeerRow` per evaluation of the peer's own model
events.jsonl                a `PeerEvent` whenever it lost or found a neighbor
agreed.jsonl                a `PeerAgreement` for everything that all peers together know of their models
weights/final.safetensors   "weights" and, where there are any, "statistics" and "local": flat; absent when it was
                            killed
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, FiniteFloat, ValidationError, model_validator

from gossipfl.agreements import Agreement, agreement_of
from gossipfl.algorithms import Weighting
from gossipfl.engines.http.wire.run_facts import run_id_of
from gossipfl.errors import ConfigurationError
from gossipfl.files.weight_files import BESIDE_WEIGHTS
from gossipfl.runs.files import ContactEvent
from gossipfl.runs.manifest import Manifest, RunAlgorithm, RunId, RunModel, read_manifest
from gossipfl.runs.parts import Count, GarbledError, Measured, Part, Seed, first_fault, rows_of
from gossipfl.scenario.scenario import AGREED_FIELDS
from gossipfl.scores import LOSS, Metric
from gossipfl.training.model_files import read_arrays
from gossipfl.weights import NOTHING, ModelVectors, PeerId, Vector, WeightsSchema, frozen


class Agreed(Part):
    """The facts that the peers of a run agreed on (`gossipfl.deploy.agreement`)."""

    participants: list[PeerId]
    """All of them in node order, a hub included."""
    hub: PeerId | None = None


class PlanPart(Part):
    every: int = Field(1, ge=1)
    on: str = "global"
    metrics: Any = None


class TrainingPart(Part):
    statistics: Literal["average", "local", "pooled"] = "average"


class ScenarioPart(Part):
    """The fields that are looked at of a scenario that others have written."""

    evaluation: PlanPart = PlanPart()
    training: TrainingPart = TrainingPart()
    weighting: Weighting = "uniform"


class OfPeer(Part):
    """The part of a manifest that only a peer has to have, with one seed and one algorithm."""

    peer: PeerId
    run_id: RunId
    agreed: Agreed
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=1)]
    algorithms: Annotated[list[RunAlgorithm], Field(min_length=1, max_length=1)]
    model: RunModel
    scenario: ScenarioPart


_WAY_ON = "Restore the file, or leave this directory out: the others make a run without it."


def _without_none(value: Any) -> Any:
    """A table without the fields that are absent, which a manifest leaves out."""
    if isinstance(value, dict):
        return {name: _without_none(member) for name, member in value.items() if member is not None}
    return value


class PeerRow(Part):
    """One line of a peer's `history.jsonl`.

    `wall` is Unix time; `rounds_done` (rounds with local work), `examples_seen`, `sent`, `received` (bytes) and
    `num_messages` count from the start; `training` has means over the `training_examples` since the row before;
    `num_open` exchanges have no answer.
    """

    round: Count
    rounds_done: Count
    examples_seen: Count = 0
    wall: FiniteFloat
    loss: Measured = None
    metrics: dict[str, Measured] = Field({})
    training: dict[str, Measured] = Field({})
    training_examples: Count = 0
    sent: Count = 0
    received: Count = 0
    num_messages: Count = 0
    num_open: Count = 0
    stopped: str | None = None
    """Why it ended before its rounds were over."""

    def value(self, metric: Metric) -> float | None:
        """The loss, or a metric, if it was measured."""
        return self.loss if metric == LOSS else self.metrics.get(metric.name)


class PeerEvent(Part):
    """One line of a peer's `events.jsonl`; `wall` is Unix time."""

    wall: FiniteFloat
    peer: PeerId
    neighbor: PeerId
    event: ContactEvent


class PeerAgreement(Part):
    """One line of a peer's `agreed.jsonl`: an agreement, which the peer has known since the Unix time `wall`."""

    wall: FiniteFloat
    round: Count
    known_in: Count
    of_peers: Count
    peers: list[PeerId]
    columns: Annotated[list[Metric], Field(min_length=1)]
    scores: list[list[Measured]]
    oldest: Count | None = None

    @model_validator(mode="after")
    def _has_a_score_for_each_column(self) -> "PeerAgreement":
        if [len(row) for row in self.scores] != [len(self.columns)] * len(self.peers):
            raise ValueError("scores should be a row for each of the peers, with a number for each of the columns")
        return self

    @property
    def agreement(self) -> Agreement:
        return agreement_of(self.model_dump())


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """The run directory of one peer, read and checked; `final` is None when it left no weights."""

    directory: Path
    manifest: Manifest
    described: OfPeer
    rows: Sequence[PeerRow]
    events: Sequence[PeerEvent]
    agreed: Sequence[PeerAgreement]
    final: ModelVectors | None
    left_out: Sequence[str] = ()
    """Sentences on what could not be read or used of it."""
    is_measured: bool = True
    """False if what it has measured is left out."""

    @property
    def peer(self) -> PeerId:
        return self.described.peer

    @property
    def run_id(self) -> str:
        return self.described.run_id

    @property
    def participants(self) -> Sequence[PeerId]:
        """All of them in node order, a hub included."""
        return self.described.agreed.participants

    @property
    def label(self) -> str:
        """The algorithm of the run."""
        return self.described.algorithms[0].label

    @property
    def model(self) -> RunModel:
        return self.described.model

    @property
    def scenario(self) -> ScenarioPart:
        return self.described.scenario

    @property
    def is_hub(self) -> bool:
        return self.peer == self.described.agreed.hub

    @property
    def way_of_measuring(self) -> Any:
        """The metrics, and where they are measured."""
        plan = self.scenario.evaluation
        return [plan.on, plan.metrics, [asdict(metric) for metric in self.manifest.metrics]]

    def unmeasured(self, other: PeerId) -> "PeerRecord":
        """The record without its measurements, which are not those of the `other` peer."""
        blank: dict[str, Any] = {"loss": None, "metrics": {}, "training": {}, "training_examples": 0}
        note = (
            f"What {self.peer} has measured is left out: by evaluation.on, evaluation.metrics or data.validation it is "
            f"something else than what {other} has measured."
        )
        rows = [row.model_copy(update=blank) for row in self.rows]
        return replace(self, rows=rows, left_out=[*self.left_out, note], is_measured=False)

    @property
    def num_examples(self) -> int:
        """Training examples that the peer holds, as far as its manifest says."""
        return sum(self.manifest.partition.label_counts.get(self.peer, []))


def read_peer(directory: Path) -> PeerRecord:
    """The records that a peer has left in `directory`, without the lines that are garbled; a last one without its
    newline is left out in silence, for the peer was killed then.

    Raises ConfigurationError, naming the file, when it is not the run directory of a peer, or another file is garbled.
    """
    manifest = read_manifest(_there(directory / "manifest.json").parent, _WAY_ON)
    if manifest.peer is None:
        raise ConfigurationError(
            f"{directory} is not the run directory of a single peer: its manifest.json names no peer. Give the "
            "directories that the peers of one run wrote on their hosts"
        )
    try:
        described = _checked(manifest)
    except ValueError as error:
        fault = first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise GarbledError(f"{directory / 'manifest.json'} is not what a run writes: {fault}. {_WAY_ON}") from error
    events, agreed = directory / "events.jsonl", directory / "agreed.jsonl"
    left_out: list[str] = []
    record = PeerRecord(
        directory,
        manifest,
        described,
        rows_of(_there(directory / "history.jsonl"), PeerRow, left_out),
        rows_of(_own(events), PeerEvent, left_out) if events.is_file() else [],
        rows_of(_own(agreed), PeerAgreement, left_out) if agreed.is_file() else [],
        _read_weights(directory / "weights" / "final.safetensors"),
        left_out,
    )
    if record.final is not None:
        _check_size(directory, "weights", record.final.weights, record.model.schema_of_weights)
        _check_size(directory, "statistics", record.final.statistics, record.model.schema_of_statistics)
        _check_size(directory, "local numbers", record.final.local, record.model.schema_of_local)
    return record


def _checked(manifest: Manifest) -> OfPeer:
    """What a peer's manifest says, and no other has to. The id of the run is computed, not believed; whatever else the
    manifest says of the run has to be in it. Raises ValueError."""
    described = OfPeer.model_validate(manifest.model_dump(include=set(OfPeer.model_fields), exclude_none=True))
    agreed = manifest.agreed or {}
    if described.run_id != run_id_of(agreed):
        raise ValueError("run_id is not the digest of what was agreed")
    if described.peer not in described.agreed.participants:
        raise ValueError(f"its peer {described.peer!r} is not among its participants")
    said = described.scenario.model_dump(mode="json", exclude_unset=True) | {
        "seed": described.seeds[0],
        "hub": described.algorithms[0].hub,
    }
    for field in (*AGREED_FIELDS, "seed", "hub"):
        if field in said and _without_none(said[field]) != _without_none(agreed.get(field)):
            raise ValueError(f"{field} is not what was agreed: {said[field]!r}, agreed was {agreed.get(field)!r}")
    return described


def _check_size(directory: Path, name: str, vector: Vector, schema: WeightsSchema) -> None:
    if schema.segments and vector.size != schema.size:
        raise ConfigurationError(
            f"{directory} mixes two runs: its final {name} are {vector.size} numbers, but the model in its manifest "
            f"has {schema.size}"
        )


def _there(path: Path) -> Path:
    if not path.is_file():
        raise ConfigurationError(f"{path.parent} is not the run directory of a peer: there is no {path.name} in it")
    return _own(path)


def _own(path: Path) -> Path:
    """Raises ConfigurationError for a file of another host that names one of this host in its stead."""
    if path.is_symlink():
        raise ConfigurationError(f"{path} is a symbolic link; a peer writes none, so it was put there: remove it")
    return path


def _read_weights(path: Path) -> ModelVectors | None:
    _own(path.parent)
    if not path.is_file():
        return None
    tensors = read_arrays(_own(path))
    vectors = [tensors.get(name, NOTHING) for name in ("weights", *BESIDE_WEIGHTS)]
    if vectors[0].size == 0 or any(vector.ndim != 1 or vector.dtype != np.float32 for vector in vectors):
        raise ConfigurationError(
            f"{path} should hold 'weights', and perhaps 'statistics' and 'local', as flat float32 vectors"
        )
    return ModelVectors(*map(frozen, vectors))
