"""A sweep that is on disk, as Python has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossipfl.errors import ConfigurationError
from gossipfl.experiments.mode import Command
from gossipfl.results.frames import pandas_frame, polars_frame
from gossipfl.results.results import Results
from gossipfl.results.stored import Stored
from gossipfl.runs.files import Run
from gossipfl.sweep.directory import points_by_label

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


@dataclass(frozen=True, slots=True, repr=False)
class Sweep(Results):
    """The numbers of a sweep (`gossipfl sweep`): each algorithm at each point of the grid is one line of it."""

    stored: Stored
    points: Mapping[str, Mapping[str, Any]]
    """The values of the grid's fields by the label of an algorithm at a point."""

    @classmethod
    def load(cls, directory: str | Path) -> "Sweep":
        """The sweep in a directory. Raises ConfigurationError where there is none."""
        stored = Stored.read(Path(directory))
        if stored.content.manifest.mode.command is not Command.SWEEP:
            raise ConfigurationError(f"{directory} holds a run, and no sweep: gossipfl.Comparison.load takes it")
        return cls(stored, points_by_label(stored.path))

    def as_run(self) -> Run:
        return self.stored.content

    def to_pandas(self, *, peers: bool = False) -> "pd.DataFrame":
        """The evaluations as a frame of pandas, as those of a run, with a column for each field of the grid."""
        return pandas_frame(self.as_run(), peers=peers, points=self.points)

    def to_polars(self, *, peers: bool = False) -> "pl.DataFrame":
        """The evaluations as a frame of Polars, as those of a run, with a column for each field of the grid."""
        return polars_frame(self.as_run(), peers=peers, points=self.points)

    def __repr__(self) -> str:
        fields = ", ".join(dict.fromkeys(field for point in self.points.values() for field in point))
        return f"<Sweep of {self.as_run().manifest.name} over {fields}: {len(self.points)} lines>"
