"""Every chart of a report as a file, in the width of a column and of a page."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gossipfl.errors import ConfigurationError
from gossipfl.figures.canvas import INCHES, Format, figure_style, new_figure, save_figure
from gossipfl.figures.charts import ASPECTS_IN_WORDS, draw_consensus, draw_curves, draw_spread, draw_traffic
from gossipfl.figures.curves import Against
from gossipfl.figures.graphs import draw_contact, draw_histogram, draw_topology
from gossipfl.figures.grids import draw_confusion, draw_labels
from gossipfl.files.weight_files import file_stems
from gossipfl.report.contact import contact
from gossipfl.report.payload import drawings, peer_order
from gossipfl.runs.files import HistoryRow, MeanAndSpread, Run
from gossipfl.scores import AT_END, LOSS, Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw: TypeAlias = "Callable[[Figure], None]"
"""Draws one chart on an empty figure."""

_AGAINST: dict[Against, str] = {"round": "rounds", "num_bytes": "bytes", "time": "time", "epsilon": "epsilon"}

_MANY_PEERS = 60
"""The last values of more peers than this have a histogram, as in the report."""


def write_figures(run: Run, directory: Path, format: Format, smoothing: int = 1) -> list[Path]:
    """Write every chart that there is of a run into `directory/column` and `directory/page`, and return their paths.

    Raises ConfigurationError where there is no matplotlib, for a smoothing that cannot be, or where the directory
    cannot be made.
    """
    paths = []
    with figure_style():
        charts = dict(_Charts.of(run, smoothing).all())
        for width in INCHES:
            folder = directory / width
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigurationError(f"cannot make the directory {folder}: {error.strerror}") from error
            for name, stem in file_stems(list(charts)).items():
                figure = new_figure(width)
                charts[name](figure)
                paths.append(folder / f"{stem}.{format}")
                save_figure(figure, paths[-1], format)
    return paths


@dataclass(frozen=True, slots=True)
class _Charts:
    """The charts of a run by their names."""

    run: Run
    rows: Sequence[Mapping[str, Any]]
    bounds: Collection[str]
    smoothing: int

    @classmethod
    def of(cls, run: Run, smoothing: int) -> "_Charts":
        bounds = {algorithm.label for algorithm in run.manifest.algorithms if algorithm.bound}
        return cls(run, [row.model_dump() for row in run.history], bounds, smoothing)

    def all(self) -> Iterator[tuple[str, Draw]]:
        main, *others = self.run.manifest.metrics or [LOSS]
        for metric in (main, *(one for one in others if not one.is_loss)):
            if not metric.name.startswith(AT_END):
                yield from self._curves(metric)
                yield from self._spreads(metric)
        if not main.is_loss:
            for aspect in ("average", "training"):
                if self._has(f"{aspect}_loss"):
                    yield f"loss {aspect}", self._curve(LOSS, aspect, "round")
        if self._has("consensus_distance"):
            yield (
                "consensus distance",
                _on_axes(partial(draw_consensus, rows=self.rows, bounds=self.bounds, smoothing=self.smoothing)),
            )
        sizes = {
            row.label: (_mean(row.num_bytes), _mean(row.busiest_peer_bytes))
            for row in self.run.summary.rows
            if not row.bound
        }
        if any(size for pair in sizes.values() for size in pair):
            yield "traffic", lambda figure: draw_traffic(list(figure.subplots(1, 2)), sizes)
        yield from self._topologies(main)
        for label, found in contact(self.run).items():
            if found["links"] or found["departures"]:
                clock = f"{self.run.manifest.mode.clock} time"
                yield f"contact {label}", _on_axes(partial(draw_contact, found=found, label=label, clock=clock))
        if self.run.classes is not None:
            for one in self.run.classes.models:
                counts, names = np.array(one.counts), self.run.classes.class_names
                draw = _on_axes(partial(draw_confusion, counts=counts, class_names=names))
                yield f"confusion {one.which} {one.algorithm}", draw
        counted = self.run.manifest.partition.label_counts  # without classes, one number per peer
        held = {peer: counts for peer, counts in counted.items() if len(counts) > 1}
        if held:
            yield "data of each peer", _on_axes(partial(draw_labels, peers=list(held), counts=list(held.values())))

    def _curves(self, metric: Metric) -> Iterator[tuple[str, Draw]]:
        for against, words in _AGAINST.items():
            if self._has(f"deployed_{metric.name}") and self._has(against):
                yield f"{metric.name} by {words}", self._curve(metric, "deployed", against)
        for aspect in ASPECTS_IN_WORDS:
            if aspect != "deployed" and self._has(f"{aspect}_{metric.name}"):
                yield f"{metric.name} {aspect}", self._curve(metric, aspect, "round")

    def _curve(self, metric: Metric, aspect: str, against: Against) -> Draw:
        targets = self.run.manifest.targets.get(metric.name, ())
        return _on_axes(
            partial(
                draw_curves,
                rows=self.rows,
                metric=metric,
                aspect=aspect,
                against=against,
                bounds=self.bounds,
                targets=targets,
                smoothing=self.smoothing,
                clock=f"{self.run.manifest.mode.clock} time",
            )
        )

    def _spreads(self, metric: Metric) -> Iterator[tuple[str, Draw]]:
        for label in dict.fromkeys(row.algorithm for row in self.run.history if row.of_peers(metric.name)):
            if label not in self.bounds:
                draw = _on_axes(partial(draw_spread, rows=self.rows, metric=metric, label=label))
                yield f"{metric.name} of each peer {label}", draw

    def _topologies(self, metric: Metric) -> Iterator[tuple[str, Draw]]:
        for drawing in drawings(self.run, peer_order(self.run)):
            labels = [label for label in drawing["algorithms"] if self._last(label) is not None] or [None]
            for label in labels if drawing["nodes"] else ():
                row = None if label is None else self._last(label)
                values = {} if row is None else dict(row.of_peers(metric.name))
                titled = drawing if label is None else {**drawing, "title": label}
                draw = _on_axes(partial(draw_topology, drawing=titled, values=values, metric=metric))
                yield f"topology {label or drawing['title']}", draw
        for label in dict.fromkeys(row.algorithm for row in self.run.history):
            last = self._last(label)
            known = [] if last is None else [one for one in last.of_peers(metric.name).values() if one is not None]
            if len(known) > _MANY_PEERS:
                draw = _on_axes(partial(draw_histogram, values=known, metric=metric, label=label))
                yield f"{metric.name} histogram {label}", draw

    def _last(self, label: str) -> HistoryRow | None:
        """The last evaluation of an algorithm with its first seed."""
        own = [row for row in self.run.history if row.algorithm == label]
        first = min((row.seed for row in own), default=None)
        return next((row for row in reversed(own) if row.seed == first), None)

    def _has(self, column: str) -> bool:
        return any(row.get(column) is not None for row in self.rows)


def _mean(number: MeanAndSpread | None) -> float | None:
    return None if number is None else number.mean


def _on_axes(draw: "Callable[[Axes], None]") -> Draw:
    """A function that draws on the only axes of a figure."""
    return lambda figure: draw(figure.add_subplot())
