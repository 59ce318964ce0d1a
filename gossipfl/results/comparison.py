"""Several algorithms and seeds side by side, as a call from Python gives them."""

from dataclasses import dataclass, field
from pathlib import Path

from gossipfl.errors import ConfigurationError
from gossipfl.experiments import comparison
from gossipfl.experiments.mode import Command
from gossipfl.results.history import History
from gossipfl.results.record import Record
from gossipfl.results.results import Results
from gossipfl.results.stored import Stored
from gossipfl.runs.files import Run
from gossipfl.scenario import Scenario
from gossipfl.scores import LOSS


@dataclass(slots=True, repr=False)
class Comparison(Results, comparison.Comparison):
    """The histories of several algorithms, or of one with several seeds, on one scenario.

    `comparison["fedavg"]` is the history of an algorithm with the first seed; `table` has a row for each algorithm,
    and `winners` says who reached each target with the least.
    """

    histories: list[History] = field(default_factory=list)  # type: ignore[assignment]  # nobody else writes to it
    record: Record | Stored | None = field(default=None, compare=False)
    """The other facts that the files of its run hold."""

    @classmethod
    def of(cls, run: comparison.Comparison, record: Record | Stored) -> "Comparison":
        """The same histories, with the record to which they belong."""
        return cls(run.scenario, [History.of(one, record) for one in run.histories], run.interrupted, record)

    def __getitem__(self, label: str) -> History:
        """The history of an algorithm with the first seed. Raises KeyError when there is none of that label."""
        found = comparison.Comparison.__getitem__(self, label)
        assert isinstance(found, History)
        return found

    def as_run(self) -> Run:
        return self._known.run(self.histories, is_interrupted=self.interrupted)

    def save(self, directory: str | Path) -> Path:
        """Write a run directory as the command line does, which `gossipfl report`, `table` and `export` take; returns
        where it is.

        What no file can say, such as arrays or a function of a notebook, is named in its manifest and its report.
        Raises ConfigurationError where something is in the directory already.
        """
        self._known.save(Path(directory), self.histories, is_interrupted=self.interrupted)
        return Path(directory)

    @classmethod
    def load(cls, directory: str | Path) -> "Comparison":
        """The histories in a run directory, without their models.

        Raises ConfigurationError where there is no run, or one of a sweep (`Sweep.load` takes it).
        """
        stored = Stored.read(Path(directory))
        manifest = stored.content.manifest
        if manifest.mode.command is Command.SWEEP:
            raise ConfigurationError(f"{directory} holds a sweep: gossipfl.Sweep.load takes it")
        histories = [History.of(one, stored) for one in stored.histories()]
        return cls(Scenario(**manifest.scenario), histories, manifest.interrupted, stored)

    @property
    def _known(self) -> Record | Stored:
        if self.record is None:
            raise ConfigurationError("this comparison was made by hand, and nothing is known of its data")
        return self.record

    def __repr__(self) -> str:
        table, num_seeds = self.table, len({one.seed for one in self.histories})
        main = next(iter(self.metrics), LOSS).name
        reached = [f"{row.label} {row.values[f'deployed_{main}'].mean:.4f}" for row in table]
        words = f"{', '.join(reached[:6])}{', ...' if len(reached) > 6 else ''}"
        seeds = f", mean of {num_seeds} seeds" if num_seeds > 1 else ""
        return (
            f"<Comparison of {self.scenario.name}{', interrupted' if self.interrupted else ''}: {main}{seeds}: {words}>"
        )
