"""The files of a run directory that the report reads, and what they must hold."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, FiniteFloat, ValidationError

from gossipfl.errors import ConfigurationError
from gossipfl.strict_json import without_nan

Measured: TypeAlias = Annotated[float | None, AfterValidator(without_nan)]
"""A measured number; NaN, infinity and null all mean that there is none."""


def _each_without_nan(values: dict[str, float | None]) -> dict[str, Any]:
    # A sum is finite only when all its terms are: for 10,000 peers much faster than to look at each.
    return values if isfinite(sum(filter(None, values.values()))) else without_nan(values)


MeasuredOfPeers: TypeAlias = Annotated[dict[str, float | None], AfterValidator(_each_without_nan)]
"""A measured number of each peer."""


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
    seeds: list[int] = []


class RunTopology(Part):
    """The graph of the peers; its facts (degrees, diameter, spectral gap) are passed on as they are."""

    nodes: list[str]
    links: list[tuple[str, str]]
    directed: bool = False


class RunPartition(Part):
    """How examples were given to peers; `label_counts[peer]` counts the examples of each class."""

    name: str = ""
    label_counts: dict[str, list[int]] = {}


class Manifest(Part):
    """`manifest.json`: what was run, on what, by which versions."""

    name: str
    description: str | None = None
    created: str | None = None
    engine: str = "virtual time"
    interrupted: bool = False
    failures: list[str] = []
    partition: RunPartition = RunPartition()
    topologies: dict[str, RunTopology] = {}
    algorithms: list[RunAlgorithm]
    targets: list[float] = []
    differences: list[str] = []


class HistoryRow(Part):
    """One line of `history.jsonl`: one evaluation (`gossipfl.history.history_row`)."""

    algorithm: str
    seed: int
    round: int
    time: Measured = None
    num_bytes: int | None = None
    num_messages: int | None = None
    busiest_peer_bytes: int | None = None
    consensus_distance: Measured = None
    training_loss: Measured = None
    training_accuracy: Measured = None
    average_loss: Measured = None
    average_accuracy: Measured = None
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
    seed: int
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
    mean_accuracy: MeanAndSpread | None = None
    worst_accuracy: MeanAndSpread | None = None
    best_accuracy: MeanAndSpread | None = None
    average_accuracy: MeanAndSpread | None = None
    consensus_distance: MeanAndSpread | None = None
    rounds: MeanAndSpread | None = None
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

    A last line without its newline is left out: the run was stopped while it was written.
    Raises `ConfigurationError`, naming file and field, when a file is missing or is not what a run writes.
    """
    if not directory.is_dir():
        raise ConfigurationError(f"There is no run directory {directory}; give the folder that a run wrote.")
    manifest = parsed(directory / "manifest.json", Manifest.model_validate_json)
    summary = parsed(directory / "summary.json", Summary.model_validate_json)
    history = parsed(directory / "history.jsonl", history_rows)
    events = parsed(directory / "events.jsonl", lines_of(EventRow)) if (directory / "events.jsonl").exists() else []
    labels = {algorithm.label for algorithm in manifest.algorithms}
    for label in (
        *(row.algorithm for row in history),
        *(row.algorithm for row in events),
        *(row.label for row in summary.rows),
        *(label for winner in summary.winners for label in winner.labels),
    ):
        if label not in labels:
            raise ConfigurationError(
                f"{directory} mixes two runs: its history, events or summary name the algorithm {label!r}, but "
                f"manifest.json lists only {', '.join(sorted(labels)) or 'none'}. Run again into an empty folder."
            )
    return Run(manifest, history, summary, events)


Row = TypeVar("Row", bound=Part)
Parsed = TypeVar("Parsed")


def lines_of(kind: type[Row]) -> Callable[[str], list[Row]]:
    """What reads a text with a JSON object in each line; a last line without its newline is left out."""

    def rows(text: str) -> list[Row]:
        complete = text[: text.rfind("\n") + 1]
        return [kind.model_validate_json(line) for line in complete.split("\n") if line.strip()]

    return rows


history_rows = lines_of(HistoryRow)


def parsed(path: Path, parse: Callable[[str], Parsed]) -> Parsed:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} is missing; a report needs manifest.json, history.jsonl and summary.json of one run. "
            f"Give the folder that a run wrote."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.") from error
    except ValidationError as error:
        raise ConfigurationError(
            f"{path} is not what a run writes: {first_fault(error)}. Restore the file, or run again."
        ) from error


def first_fault(error: ValidationError) -> str:
    fault: Any = error.errors(include_url=False)[0]
    place = ".".join(str(step) for step in fault["loc"])
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])
