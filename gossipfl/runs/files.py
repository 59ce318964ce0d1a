"""The files of a run directory that the report reads, and what they must hold."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from gossipfl.errors import ConfigurationError
from gossipfl.experiments.mode import Command, Mode
from gossipfl.files.strict_json import without_nan

Measured: TypeAlias = Annotated[float | None, AfterValidator(without_nan)]
"""A measured number; NaN, infinity and null all mean that there is none."""


def _each_without_nan(values: dict[str, float | None]) -> dict[str, Any]:
    # A sum is finite only when all its terms are: for 10,000 peers much faster than to look at each.
    return values if isfinite(sum(filter(None, values.values()))) else without_nan(values)


MeasuredOfPeers: TypeAlias = Annotated[dict[str, float | None], AfterValidator(_each_without_nan)]
"""A measured number of each peer."""

Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**53)]
"""What was counted; of so many, a thousand still add up to what a table's file can hold."""

Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]

DtypeName: TypeAlias = Annotated[str, Field(pattern=r"^(bool|float(16|32|64)|u?int(8|16|32|64))$")]

Segments: TypeAlias = list[tuple[str, tuple[Count, ...], DtypeName]]
"""The variables of a model: name, shape, dtype."""


class Part(BaseModel):
    """A part of a run's files; fields that the report does not know are kept and passed on."""

    model_config = ConfigDict(extra="allow", frozen=True)


class RunAlgorithm(Part):
    """One line of the comparison; `bound` marks a reference (local only, centralized) rather than a competitor."""

    label: str
    algorithm: str = ""
    topology: str | None = None
    hub: str | None = None
    bound: bool = False
    seeds: list[Seed] = []


class RunTopology(Part):
    """The graph of the peers; its facts (degrees, diameter, spectral gap) are passed on as they are."""

    nodes: list[str]
    links: list[tuple[str, str]]
    directed: bool = False


class RunPartition(Part):
    """How examples were given to peers; `label_counts[peer]` counts the examples of each class."""

    name: str = ""
    label_counts: dict[str, list[Count]] = {}


class EndedRun(Part):
    """One algorithm's run with one seed that has come to its end, or has failed."""

    algorithm: str
    seed: int
    failure: str | None = None
    num_open: int = 0


class Manifest(Part):
    """`manifest.json`: what was run, on what, by which versions."""

    name: str
    description: str | None = None
    created: str | None = None
    mode: Mode = Mode(Command.SIMULATE)
    interrupted: bool = False
    failures: list[str] = []
    ended: list[EndedRun] = []
    partition: RunPartition = RunPartition()
    topologies: dict[str, RunTopology] = {}
    algorithms: list[RunAlgorithm]
    targets: list[float] = []
    differences: list[str] = []
    spread: str | None = None


class HistoryRow(Part):
    """One line of `history.jsonl`: one evaluation (`gossipfl.history.history_row`)."""

    algorithm: str
    seed: Seed
    round: Count
    num_examples: Measured = None
    epochs: Measured = None
    time: Measured = None
    num_bytes: Count | None = None
    num_messages: Count | None = None
    busiest_peer_bytes: Count | None = None
    consensus_distance: Measured = None
    training_loss: Measured = None
    training_accuracy: Measured = None
    average_loss: Measured = None
    average_accuracy: Measured = None
    deploys_average: bool = False
    deployed_accuracy: Measured = None
    mean_accuracy: Measured = None
    worst_accuracy: Measured = None
    best_accuracy: Measured = None
    peer_accuracy: MeasuredOfPeers = {}
    peer_loss: MeasuredOfPeers = {}


ContactEvent: TypeAlias = Literal["unreachable", "reachable", "left"]
"""A peer could not, or could again, reach a neighbor; or the neighbor said goodbye before the end."""


class EventRow(Part):
    """One line of `events.jsonl`: what `peer` noticed of `neighbor`, `time` seconds after the start of the run."""

    algorithm: str
    seed: Seed
    time: FiniteFloat
    peer: str
    neighbor: str
    event: ContactEvent


class MeanAndSpread(Part):
    """Mean over seeds, and the standard deviation when there are several."""

    mean: Measured = None
    std: Measured = None


class SummaryTarget(Part):
    """What it took to reach `target`; `reached` of `of` seeds did."""

    target: float
    rounds: MeanAndSpread | None = None
    num_bytes: MeanAndSpread | None = None
    time: MeanAndSpread | None = None
    busiest_peer_bytes: MeanAndSpread | None = None
    spread: MeanAndSpread | None = None
    reached: int = 0
    of: int = 0


class SummaryRow(Part):
    """The last evaluation of one algorithm, over its seeds."""

    label: str
    bound: bool = False
    deployed_accuracy: MeanAndSpread | None = None
    mean_accuracy: MeanAndSpread | None = None
    worst_accuracy: MeanAndSpread | None = None
    best_accuracy: MeanAndSpread | None = None
    average_accuracy: MeanAndSpread | None = None
    consensus_distance: MeanAndSpread | None = None
    rounds: MeanAndSpread | None = None
    epochs: MeanAndSpread | None = None
    num_examples: MeanAndSpread | None = None
    time: MeanAndSpread | None = None
    num_bytes: MeanAndSpread | None = None
    busiest_peer_bytes: MeanAndSpread | None = None
    targets: list[SummaryTarget] = []


class SummaryWinners(Part):
    """Who reached `target`, with each of `of` seeds, with the least of each; None: nobody did."""

    target: float
    of: int = 0
    num_bytes: str | None = None
    time: str | None = None
    busiest_peer_bytes: str | None = None
    spread: str | None = None

    @property
    def labels(self) -> list[str]:
        named = (self.num_bytes, self.time, self.busiest_peer_bytes, self.spread)
        return [label for label in named if label is not None]


class Summary(Part):
    """`summary.json`: the comparison table, and who won; runs of earlier versions do not say the latter."""

    rows: list[SummaryRow]
    winners: list[SummaryWinners] = []


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory, read and checked."""

    manifest: Manifest
    history: list[HistoryRow]
    summary: Summary
    events: list[EventRow]


def read_run(directory: Path) -> Run:
    """The manifest, history and summary of `directory`, and its events, which a simulation has not.

    What is garbled of manifest, history and events is left out, and named among the manifest's `differences`; a last
    line without its newline is left out in silence: the run was stopped while it was written.
    Raises `ConfigurationError`, naming file and field, when a file is missing or is not what a run writes.
    """
    if not directory.is_dir():
        raise ConfigurationError(f"There is no run directory {directory}; give the folder that a run wrote.")
    manifest, history, left_out = manifest_and_history(directory)
    summary = parsed(directory / "summary.json", Summary.model_validate_json)
    events = directory / "events.jsonl"
    happened = rows_of(events, EventRow, left_out) if events.exists() else []
    labels = {algorithm.label for algorithm in manifest.algorithms}
    for label in (
        *(row.algorithm for row in history),
        *(row.algorithm for row in happened),
        *(row.label for row in summary.rows),
        *(label for winner in summary.winners for label in winner.labels),
    ):
        if label not in labels:
            raise ConfigurationError(
                f"{directory} mixes two runs: its history, events or summary name the algorithm {label!r}, but "
                f"manifest.json lists only {', '.join(sorted(labels)) or 'none'}. Run again into an empty folder."
            )
    return Run(
        manifest.model_copy(update={"differences": [*manifest.differences, *left_out]}), history, summary, happened
    )


def manifest_and_history(directory: Path) -> tuple[Manifest, list[HistoryRow], list[str]]:
    """The manifest and the history of a run as far as they can be read, and sentences on what cannot. In the place of a
    manifest that is garbled there is one that knows the names of the algorithms only."""
    left_out: list[str] = []
    history = rows_of(directory / "history.jsonl", HistoryRow, left_out)
    try:
        manifest = parsed(directory / "manifest.json", Manifest.model_validate_json)
    except GarbledError as error:
        left_out.append(f"{error} What it says of peers, data, bounds and targets is missing here.")
        labels = dict.fromkeys(row.algorithm for row in history)
        manifest = Manifest(name=directory.name, algorithms=[RunAlgorithm(label=label) for label in labels])
    return manifest, history, left_out


Row = TypeVar("Row", bound=Part)
Parsed = TypeVar("Parsed")


class GarbledError(ConfigurationError):
    """A file is there, but is not what a run writes."""


def rows_of(path: Path, kind: type[Row], left_out: list[str] | None = None) -> list[Row]:
    """What a file has in its lines, a JSON object in each. Lines that are garbled are left out, with a sentence on them
    in `left_out`; where that is None, they raise ConfigurationError."""
    rows: list[Row] = []
    garbled: list[int] = []
    fault = ""
    for number, line in enumerate(whole_lines(path), 1):
        try:
            rows.append(kind.model_validate_json(line))
        except ValidationError as error:
            garbled.append(number)
            fault = fault or first_fault(error)
    if garbled:
        numbers = ", ".join(map(str, garbled[:5])) + (f" and {len(garbled) - 5} more" if len(garbled) > 5 else "")
        which = f"{'line' if len(garbled) == 1 else 'lines'} {numbers} of {path}"
        if left_out is None:
            raise GarbledError(
                f"{which} cannot be read ({fault}); restore the file, or remove what is garbled and go on without it. "
                f"`gossipfl report {path.parent}` makes a report of the rest"
            )
        left_out.append(f"{which} could not be read ({fault}), and {'is' if len(garbled) == 1 else 'are'} left out.")
    return rows


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a file; a last one without its newline is left out, for the run was stopped while it was written."""
    return [line + b"\n" for line in _read(path).split(b"\n")[:-1] if line.strip()]


def parsed(path: Path, parse: Callable[[bytes], Parsed], way_on: str = "Restore the file, or run again.") -> Parsed:
    """What `parse` makes of a file. Raises ConfigurationError, naming the file, when that is not possible."""
    try:
        return parse(_read(path))
    except ValidationError as error:
        raise GarbledError(f"{path} is not what a run writes: {first_fault(error)}. {way_on}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} is missing; a report needs manifest.json, history.jsonl and summary.json of one run. "
            f"Give the folder that a run wrote."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}.") from error


def first_fault(error: ValidationError) -> str:
    fault: Any = error.errors(include_url=False)[0]
    place = ".".join(str(step) for step in fault["loc"])
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])
