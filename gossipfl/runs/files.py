"""The files of a run directory that the report reads, and what they must hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import FiniteFloat, model_validator

from gossipfl.errors import ConfigurationError
from gossipfl.experiments.mode import Command, Mode
from gossipfl.runs.agreed_rows import AgreedRow, agreed_rows
from gossipfl.runs.classes_file import Classes, read_classes
from gossipfl.runs.manifest import FORMAT, Manifest, RunAlgorithm, read_manifest
from gossipfl.runs.parts import Count, GarbledError, Measured, MeasuredOfPeers, Part, Seed, parsed, rows_of
from gossipfl.scores import Metric, is_metric_name
from gossipfl.training.metrics import named_metric


class HistoryRow(Part):
    """One line of `history.jsonl`: one evaluation (`gossipfl.history.history_row`), with columns for every metric."""

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
    deploys_average: bool = False
    __pydantic_extra__: dict[str, Measured | MeasuredOfPeers]

    @model_validator(mode="after")
    def _has_values_of_peers_by_peer(self) -> "HistoryRow":
        for name, value in self.__pydantic_extra__.items():
            if isinstance(value, dict) != name.startswith("peer_"):
                raise ValueError(f"{name} should be {'one number' if isinstance(value, dict) else 'a number by peer'}")
        return self

    def column(self, aspect: str, metric: str) -> float | None:
        """The value of one of `gossipfl.history.ASPECTS` of a metric, or the loss; None where it was not measured."""
        value = self.__pydantic_extra__.get(f"{aspect}_{metric}")
        return None if isinstance(value, dict) else value

    def of_peers(self, metric: str) -> Mapping[str, float | None]:
        """A metric, or the loss, of each evaluated peer's own model."""
        value = self.__pydantic_extra__.get(f"peer_{metric}")
        return value if isinstance(value, dict) else {}

    def own_numbers(self) -> dict[str, Any]:
        """All of it but for the numbers of each peer."""
        return {name: value for name, value in self.model_dump().items() if not isinstance(value, dict)}

    def by_peer(self, metrics: Sequence[Metric]) -> dict[str, dict[str, float | None]]:
        """The loss and metrics of each evaluated peer's own model, by peer."""
        names = ["loss", *(metric.name for metric in metrics)]
        return {peer: {name: self.of_peers(name).get(peer) for name in names} for peer in self.of_peers("loss")}

    @property
    def metric_names(self) -> list[str]:
        """The metrics, beside the loss, that it has columns for."""
        names = (name.removeprefix("peer_") for name in self.__pydantic_extra__ if name.startswith("peer_"))
        return [name for name in names if name != "loss" and is_metric_name(name)]


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
    """The costs of reaching `target` by the metric; `reached` of `of` seeds did."""

    metric: str
    target: float
    rounds: MeanAndSpread | None = None
    num_bytes: MeanAndSpread | None = None
    time: MeanAndSpread | None = None
    busiest_peer_bytes: MeanAndSpread | None = None
    spread: MeanAndSpread | None = None
    reached: int = 0
    of: int = 0


class SummaryRow(Part):
    """The last evaluation of one algorithm, over its seeds, with columns for every metric."""

    label: str
    bound: bool = False
    consensus_distance: MeanAndSpread | None = None
    rounds: MeanAndSpread | None = None
    epochs: MeanAndSpread | None = None
    num_examples: MeanAndSpread | None = None
    time: MeanAndSpread | None = None
    num_bytes: MeanAndSpread | None = None
    busiest_peer_bytes: MeanAndSpread | None = None
    targets: list[SummaryTarget] = []
    __pydantic_extra__: dict[str, MeanAndSpread | None]


class SummaryWinners(Part):
    """The winners, who reached `target` by the metric with each of `of` seeds, with the least of each; None: nobody."""

    metric: str
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
    agreed: list[AgreedRow]
    classes: Classes | None = None


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
    agreed = agreed_rows(directory, left_out)
    classes = read_classes(directory)
    labels = {algorithm.label for algorithm in manifest.algorithms}
    for label in (
        *(row.algorithm for row in history),
        *(row.algorithm for row in happened),
        *(row.algorithm for row in agreed),
        *(row.label for row in summary.rows),
        *(label for winner in summary.winners for label in winner.labels),
        *(one.algorithm for one in (() if classes is None else classes.models)),
    ):
        if label not in labels:
            raise ConfigurationError(
                f"{directory} mixes two runs: its history, events or summary name the algorithm {label!r}, but "
                f"manifest.json lists only {', '.join(sorted(labels)) or 'none'}. Run again into an empty folder."
            )
    return Run(
        manifest.model_copy(update={"differences": [*manifest.differences, *left_out]}),
        history,
        summary,
        happened,
        agreed,
        classes,
    )


def manifest_and_history(directory: Path) -> tuple[Manifest, list[HistoryRow], list[str]]:
    """The manifest and the history of a run as far as they can be read, and sentences on what cannot. In the place of a
    manifest that is garbled there is one that knows the names of the algorithms only."""
    left_out: list[str] = []
    history = rows_of(directory / "history.jsonl", HistoryRow, left_out)
    try:
        manifest = read_manifest(directory)
    except GarbledError as error:
        left_out.append(f"{error} What it says of peers, data, bounds and targets is missing here.")
        labels = dict.fromkeys(row.algorithm for row in history)
        manifest = Manifest(
            format=FORMAT,
            mode=Mode(Command.SIMULATE),
            name=directory.name,
            algorithms=[RunAlgorithm(label=label) for label in labels],
            metrics=[
                named_metric(name) for name in dict.fromkeys(name for row in history for name in row.metric_names)
            ],
        )
    return manifest, history, left_out
