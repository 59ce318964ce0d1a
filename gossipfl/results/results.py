"""The numbers of a run, in all the forms in which a script or a notebook wants them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from gossipfl.errors import ConfigurationError
from gossipfl.figures.canvas import figure_style, pyplot_axes
from gossipfl.figures.charts import draw_consensus, draw_curves
from gossipfl.figures.curves import Against
from gossipfl.figures.paper_table import TableFormat, paper_table
from gossipfl.files.whole_files import write_whole
from gossipfl.measured import ASPECTS, Measured
from gossipfl.names.spelling import did_you_mean
from gossipfl.report.html import report_html
from gossipfl.results.frames import pandas_frame, polars_frame
from gossipfl.results.page import html_of
from gossipfl.runs.files import Run
from gossipfl.scores import LOSS

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from matplotlib.axes import Axes


class Results(ABC):
    """Numbers of a run, which are those of its `summary.json` in every form."""

    __slots__ = ()

    @abstractmethod
    def as_run(self) -> Run:
        """All that the files of the run say."""

    def to_pandas(self, *, peers: bool = False) -> "pd.DataFrame":
        """The evaluations as a frame of pandas: a row for each, or with `peers` one for each evaluated peer of it.

        What was not measured is NaN. Raises ConfigurationError where pandas is not installed.
        """
        return pandas_frame(self.as_run(), peers=peers)

    def to_polars(self, *, peers: bool = False) -> "pl.DataFrame":
        """The evaluations as a frame of Polars, as `to_pandas` gives them; what was not measured is null.

        Raises ConfigurationError where Polars is not installed.
        """
        return polars_frame(self.as_run(), peers=peers)

    def plot(
        self,
        metric: str | None = None,
        *,
        aspect: str = "deployed",
        against: Against = "round",
        smoothing: int = 1,
        axes: "Axes | None" = None,
    ) -> "Axes":
        """Draw a metric (absent: the first one; or "loss", or "consensus_distance") of every algorithm by matplotlib,
        the mean over seeds with the range that they span; returns the axes, new ones where none are given.

        `aspect` says of which models: "deployed", "average", "mean", "worst", "best" or "training". `against` is
        "round", "time", "num_bytes", "epochs" or "num_examples"; `smoothing` the number of evaluations of a moving
        mean, an odd one. Raises ConfigurationError for a name that there is not, and where matplotlib is not installed.
        """
        run = self.as_run()
        known = {one.name: one for one in (*run.manifest.metrics, LOSS)}
        _check("aspect", aspect, ASPECTS)
        _check("against", against, get_args(Against))
        metric = next(iter(known)) if metric is None else metric
        _check("metric", metric, [*known, "consensus_distance"])
        rows = [row.model_dump() for row in run.history]
        bounds = {algorithm.label for algorithm in run.manifest.algorithms if algorithm.bound}
        targets = run.manifest.targets.get(metric, ()) if aspect == "deployed" else ()
        clock = f"{run.manifest.mode.clock} time"
        with figure_style() if axes is None else nullcontext():
            axes = pyplot_axes() if axes is None else axes
            if metric == "consensus_distance":
                draw_consensus(axes, rows, bounds=bounds, smoothing=smoothing)
            else:
                of = known[metric]
                draw_curves(
                    axes, rows, of, aspect, against, bounds=bounds, targets=targets, smoothing=smoothing, clock=clock
                )
        return axes

    def to_table(self, format: TableFormat = "markdown", columns: Sequence[str] = ()) -> str:
        """The table of the report as text, "markdown", "latex" or "csv", as `gossipfl table` writes it.

        `columns` are names of `summary.json`, such as "deployed_accuracy"; absent: those that papers have. Raises
        ConfigurationError for one that there is not.
        """
        return paper_table(self.as_run(), format, columns)

    def report(self, path: str | Path = "report.html") -> Path:
        """Write the report, one page that needs no network, and return where it is."""
        path = Path(path)
        write_whole(path, report_html(self.as_run()))
        return path

    def _repr_html_(self) -> str:
        """The table and the curves of the report, as a notebook shows them."""
        return html_of(self.as_run())


def figure(measured: Measured) -> str:
    """The value of a metric of what is deployed, in a few words."""
    value = nan if measured.deployed is None else measured.deployed
    return f"{measured.metric.name} {value:.4f}"


def _check(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise ConfigurationError(
            f"there is no {what} {name!r}.{did_you_mean(name, known)} There are {', '.join(known)}"
        )
