"""Many runs of one scenario, as Python has them."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossipfl.errors import ConfigurationError
from gossipfl.experiments.mode import Command
from gossipfl.experiments.running import Observer
from gossipfl.files.strict_json import strict_json
from gossipfl.report.complete import summary
from gossipfl.results.asked import asked, changed
from gossipfl.results.frames import pandas_frame, polars_frame
from gossipfl.results.results import Results
from gossipfl.results.stored import Stored
from gossipfl.runs.directory import make_run_directory
from gossipfl.runs.files import HistoryRow, Run, Summary
from gossipfl.scenario import Scenario
from gossipfl.sweep import run as sweep_run
from gossipfl.sweep.directory import SweepDirectory, points_by_label, write_run
from gossipfl.sweep.grid import Axis, Settings, points_by
from gossipfl.sweep.run import Measured
from gossipfl.sweep.whole import table_rows, whole

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


@dataclass(frozen=True, slots=True, repr=False)
class Sweep(Results):
    """The runs of one scenario with every combination of some values: each algorithm at each point is a line of it.

    >>> sweep = Sweep.run("ring_vs_fedavg", {"rounds": [1, 2]}, model="softmax")
    >>> sorted(set(sweep.to_pandas()["rounds"]))
    [1, 2]
    """

    content: Run
    points: Mapping[str, Mapping[str, Any]]
    """The values of the grid's fields, by the label of an algorithm at a point."""
    lost: Mapping[str, str] = field(default_factory=dict)
    """The reasons of runs that could not be made, by their names."""
    runs: Sequence[tuple[sweep_run.Run, Measured]] = ()
    """The runs one by one, each with what was measured; of a sweep that was loaded they stay on disk."""

    @classmethod
    def run(
        cls,
        scenario: Scenario | str | Path,
        grid: Mapping[str, Sequence[Any]],
        num_seeds: int = 1,
        *,
        model: Any = None,
        data: Any = None,
        topology: Any = None,
        optimizer: Any = None,
        loss: Any = None,
        progress: bool = False,
    ) -> "Sweep":
        """Run a scenario with every combination of the values of the grid's fields, each with several seeds, one run
        after the other in this process; `gossipfl sweep` runs them side by side.

        The arguments are those of `compare`. Ctrl-C ends it early, and what was measured is returned; the rest is
        `lost`. Raises ConfigurationError for a point that is not possible, before anything runs, and where no run could
        be made.
        """
        whole_scenario = asked(scenario, model, data, topology, optimizer, loss)
        values = {(name, _word(value)): value for name, of in grid.items() for value in of}
        axes = [Axis(name, tuple(_word(value) for value in of)) for name, of in grid.items()]
        if doubled := [axis.field for axis in axes if len(set(axis.values)) < len(axis.values)]:
            raise ConfigurationError(f"a value of {doubled[0]} is there twice; leave one out")

        def at(settings: Settings) -> Scenario:
            own = whole_scenario
            for name, word in settings:
                own = changed(own, name, values[name, word])
            return own

        points = points_by(axes, at)
        runs = [sweep_run.Run(point, point.scenario.seed + k) for k in range(num_seeds) for point in points]
        done, lost = _made(runs, progress)
        if not done:
            raise ConfigurationError(f"no run of the sweep could be made: {next(iter(lost.values()), 'it has none')}")
        done.sort(key=lambda one: (points.index(one[0].point), one[0].seed))
        together = whole(done, len(runs) - len(done))
        facts = {"grid": {name: list(of) for name, of in grid.items()}, "command": "gossipfl.Sweep.run(...) in Python"}
        manifest = together.manifest.model_copy(update=facts)
        rows = [HistoryRow.model_validate(row) for row in together.rows]
        found = Summary.model_validate(summary(manifest, [row.model_dump() for row in rows]))
        by_label = {row["name"]: row["point"] for row in table_rows(done, together)}
        return cls(Run(manifest, rows, found, [], []), by_label, lost, done)

    @classmethod
    def load(cls, directory: str | Path) -> "Sweep":
        """The sweep in a directory. Raises ConfigurationError where there is none."""
        content = Stored.read(Path(directory)).content
        if content.manifest.mode.command is not Command.SWEEP:
            raise ConfigurationError(f"{directory} holds a run, and no sweep: gossipfl.Comparison.load takes it")
        return cls(content, points_by_label(Path(directory)))

    def save(self, directory: str | Path) -> Path:
        """Write the directory that `gossipfl sweep` writes: each run with a report, and one over all; returns where it
        is. Raises ConfigurationError where something is there already, and for a sweep that was loaded.
        """
        if not self.runs:
            raise ConfigurationError("this sweep was loaded, and its runs are not in memory: copy its folder")
        path = Path(directory)
        make_run_directory(path, "directory", folder="runs")
        folder = SweepDirectory(path, [run.point for run, _ in self.runs])
        content: dict[str, Any] = {"grid": self.content.manifest.grid}
        with folder.in_use():
            for run, measured in self.runs:
                folder.add(run, measured)
            together = whole(self.runs, len(self.lost))
            manifest = self.content.manifest.model_copy(update={"scenario": folder.base})
            write_run(path, manifest, together.rows)
            folder.write(content | {"rows": table_rows(self.runs, together)})
        return path

    def as_run(self) -> Run:
        return self.content

    def to_pandas(self, *, peers: bool = False) -> "pd.DataFrame":
        """The evaluations as a frame of pandas, as those of a run, with a column for each field of the grid."""
        return pandas_frame(self.content, peers=peers, points=self.points)

    def to_polars(self, *, peers: bool = False) -> "pl.DataFrame":
        """The evaluations as a frame of Polars, as those of a run, with a column for each field of the grid."""
        return polars_frame(self.content, peers=peers, points=self.points)

    def __repr__(self) -> str:
        fields = ", ".join(dict.fromkeys(name for point in self.points.values() for name in point))
        lost = f", {len(self.lost)} runs lost" if self.lost else ""
        return f"<Sweep of {self.content.manifest.name} over {fields}: {len(self.points)} lines{lost}>"


def _made(runs: Sequence[sweep_run.Run], progress: bool) -> tuple[list[tuple[sweep_run.Run, Measured]], dict[str, str]]:
    """The runs that were made, and why others were not."""
    done: list[tuple[sweep_run.Run, Measured]] = []
    lost = {run.name: "interrupted" for run in runs}
    with ExitStack() as stack:
        observers: list[Observer] = []
        if progress:
            from gossipfl.results.progress import Progress

            observers.append(stack.enter_context(Progress()))
        try:
            for run in runs:
                outcome = sweep_run.execute(run, None, observers)
                if isinstance(outcome, Measured):
                    done.append((run, outcome))
                    del lost[run.name]
                else:
                    lost[run.name] = outcome.reason
        except KeyboardInterrupt:
            pass
    return done, lost


def _word(value: Any) -> str:
    """A value as labels and files of a sweep have it."""
    if isinstance(value, str):
        return value
    name = getattr(value, "name", None) or getattr(value, "__name__", None)
    return strict_json(value) if isinstance(value, int | float | list | dict) else str(name or value)
