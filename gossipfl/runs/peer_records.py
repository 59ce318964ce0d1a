"""What one peer of a run over a network leaves on its host: its own manifest, history, events and final weights.

manifest.json               that of the run, with the peer's name, the run's id and what it is the digest of
history.jsonl               a `PeerRow` per evaluation of the peer's own model
events.jsonl                a `PeerEvent` whenever it lost or found a neighbor
weights/final.safetensors   "weights" and, where there are any, "statistics": flat; absent when it was killed
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, FiniteFloat, ValidationError, model_validator

from gossipfl.algorithms import Weighting
from gossipfl.engines.http.wire.run_facts import run_id_of
from gossipfl.errors import ConfigurationError
from gossipfl.runs.files import (
    ContactEvent,
    Count,
    Manifest,
    Measured,
    Part,
    RunAlgorithm,
    Seed,
    Segments,
    parsed,
    rows_of,
)
from gossipfl.scenario.scenario import AGREED_FIELDS
from gossipfl.training.model_files import read_arrays
from gossipfl.weights import ModelVectors, PeerId, Segment, Vector, WeightsSchema, frozen


class PlanPart(Part):
    every: int = Field(1, ge=1)


class TrainingPart(Part):
    statistics: Literal["average", "local"] = "average"


class ScenarioPart(Part):
    evaluation: PlanPart = PlanPart()
    training: TrainingPart = TrainingPart()
    weighting: Weighting = "uniform"


class ModelPart(Part):
    segments: Segments = Field(default_factory=list)
    statistics_segments: Segments = Field(default_factory=list)

    @property
    def weights_schema(self) -> WeightsSchema:
        """The variables behind the weights; none where the manifest does not name them."""
        return WeightsSchema(tuple(Segment(*segment) for segment in self.segments))

    @property
    def statistics_schema(self) -> WeightsSchema:
        return WeightsSchema(tuple(Segment(*segment) for segment in self.statistics_segments))


class Agreed(Part):
    """What the peers of a run agreed on (`gossipfl.deploy.agreement`)."""

    participants: list[PeerId]
    """All of them in node order, a hub included."""
    hub: PeerId | None = None


class PeerManifest(Manifest):
    """`manifest.json` of a peer: that of the run, with one algorithm and one seed."""

    peer: PeerId
    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    agreed: dict[str, Any]
    """What the peers of the run agreed on, of which `run_id` is the digest."""
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=1)]
    algorithms: Annotated[list[RunAlgorithm], Field(min_length=1, max_length=1)]
    scenario: ScenarioPart = ScenarioPart()
    model: ModelPart = ModelPart()
    constants: dict[str, str] = Field(default_factory=dict)

    @cached_property
    def run(self) -> Agreed:
        """What was agreed, as far as it is looked at."""
        return Agreed.model_validate(self.agreed)

    @model_validator(mode="after")
    def _is_what_was_agreed(self) -> "PeerManifest":
        """The id of the run is computed, not believed; whatever else a manifest says of the run has to be in it."""
        if self.run_id != run_id_of(self.agreed):
            raise ValueError("run_id is not the digest of what was agreed")
        if self.peer not in self.run.participants:
            raise ValueError(f"its peer {self.peer!r} is not among its participants")
        said = self.scenario.model_dump(mode="json", exclude_unset=True) | {
            "seed": self.seeds[0],
            "hub": self.algorithms[0].hub,
        }
        for field in (*AGREED_FIELDS, "seed", "hub"):
            agreed = self.agreed.get(field)
            if field in said and _without_none(said[field]) != _without_none(agreed):
                raise ValueError(f"{field} is not what was agreed: {said[field]!r}, agreed was {agreed!r}")
        return self


def _without_none(value: Any) -> Any:
    """A table without the fields that are absent, which a manifest leaves out."""
    if isinstance(value, dict):
        return {name: _without_none(member) for name, member in value.items() if member is not None}
    return value


class PeerRow(Part):
    """One line of a peer's `history.jsonl`.

    `wall` is Unix time; `rounds_done` (rounds with local work), `examples_seen`, `sent`, `received` (bytes) and
    `num_messages` count from the start; `training_*` are means over the `training_examples` since the row before;
    `num_open` exchanges have no answer.
    """

    round: Count
    rounds_done: Count
    examples_seen: Count = 0
    wall: FiniteFloat
    loss: Measured = None
    accuracy: Measured = None
    training_loss: Measured = None
    training_accuracy: Measured = None
    training_examples: Count = 0
    sent: Count = 0
    received: Count = 0
    num_messages: Count = 0
    num_open: Count = 0


class PeerEvent(Part):
    """One line of a peer's `events.jsonl`; `wall` is Unix time."""

    wall: FiniteFloat
    peer: PeerId
    neighbor: PeerId
    event: ContactEvent


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """The run directory of one peer, read and checked; `final` is None when it left no weights."""

    directory: Path
    manifest: PeerManifest
    rows: Sequence[PeerRow]
    events: Sequence[PeerEvent]
    final: ModelVectors | None
    left_out: Sequence[str] = ()
    """Sentences on what could not be read of it."""

    @property
    def peer(self) -> PeerId:
        return self.manifest.peer

    @property
    def is_hub(self) -> bool:
        return self.peer == self.manifest.run.hub

    @property
    def num_examples(self) -> int:
        """Training examples that the peer holds, as far as its manifest says."""
        return sum(self.manifest.partition.label_counts.get(self.peer, []))


def read_peer(directory: Path) -> PeerRecord:
    """What a peer has left in `directory`, without the lines that are garbled; a last one without its newline is left
    out in silence, for the peer was killed then.

    Raises ConfigurationError, naming the file, when it is not the run directory of a peer, or another file is garbled.
    """
    manifest = _read_manifest(_there(directory / "manifest.json"))
    events = directory / "events.jsonl"
    left_out: list[str] = []
    record = PeerRecord(
        directory,
        manifest,
        rows_of(_there(directory / "history.jsonl"), PeerRow, left_out),
        rows_of(_own(events), PeerEvent, left_out) if events.is_file() else [],
        _read_weights(directory / "weights" / "final.safetensors"),
        left_out,
    )
    if record.final is not None:
        model = manifest.model
        _check_size(directory, "weights", record.final.weights, model.weights_schema)
        _check_size(directory, "statistics", record.final.statistics, model.statistics_schema)
    return record


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


def _read_manifest(path: Path) -> PeerManifest:
    def manifest(content: bytes) -> PeerManifest:
        try:
            return PeerManifest.model_validate_json(content)
        except ValidationError as error:
            missing = [fault["loc"] for fault in error.errors() if fault["type"] == "missing"]
            if ("peer",) not in missing:
                raise
        raise ConfigurationError(
            f"{path.parent} is not the run directory of a single peer: its manifest.json names no peer. Give the "
            "directories that the peers of one run wrote on their hosts"
        )

    return parsed(path, manifest, "Restore the file, or leave this directory out: the others make a run without it.")


def _read_weights(path: Path) -> ModelVectors | None:
    _own(path.parent)
    if not path.is_file():
        return None
    tensors = read_arrays(_own(path))
    weights = tensors.get("weights", np.empty(0, np.float32))
    statistics = tensors.get("statistics", np.empty(0, np.float32))
    if weights.size == 0 or any(vector.ndim != 1 or vector.dtype != np.float32 for vector in (weights, statistics)):
        raise ConfigurationError(f"{path} should hold 'weights', and perhaps 'statistics', as flat float32 vectors")
    return ModelVectors(frozen(weights), frozen(statistics))
