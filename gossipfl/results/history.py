"""The record of one algorithm's run, as a call from Python gives it."""

from dataclasses import dataclass, field, fields
from pathlib import Path

from gossipfl import history
from gossipfl.errors import ConfigurationError
from gossipfl.results.record import Record
from gossipfl.results.results import Results, figure
from gossipfl.results.stored import Stored
from gossipfl.runs.files import Run


@dataclass(slots=True, repr=False)
class History(Results, history.History):
    """The record of one algorithm's run with one seed: its evaluations, its traffic, and its last models.

    Iterating gives the evaluations, and `last` is the newest. `stopped` says why the run ended before its rounds were
    over, if it did; `interrupted`, that it was ended by Ctrl-C.
    """

    record: Record | Stored | None = field(default=None, compare=False)
    """The other facts that the files of its run hold."""

    @classmethod
    def of(cls, run: history.History, record: Record | Stored) -> "History":
        """The same history, with the record to which it belongs."""
        return cls(record=record, **{one.name: getattr(run, one.name) for one in fields(history.History)})

    def as_run(self) -> Run:
        return self._own.run([self], is_interrupted=self.interrupted)

    def save(self, directory: str | Path) -> Path:
        """Write a run directory as the command line does, which `gossipfl report`, `table` and `export` take; returns
        where it is.

        What no file can say, such as arrays or a function of a notebook, is named in its manifest and its report.
        Raises ConfigurationError where something is in the directory already.
        """
        self._own.save(Path(directory), [self], is_interrupted=self.interrupted)
        return Path(directory)

    @classmethod
    def load(cls, directory: str | Path) -> "History":
        """The history in a run directory, without its models.

        Raises ConfigurationError where there are several (`Comparison.load` takes them), or no run.
        """
        stored = Stored.read(Path(directory))
        found = stored.histories()
        if len(found) != 1:
            raise ConfigurationError(
                f"{directory} has {len(found)} histories, of each algorithm and seed one: gossipfl.Comparison.load "
                "takes them all"
            )
        return cls.of(found[0], stored)

    @property
    def _own(self) -> Record | Stored:
        if self.record is None:
            raise ConfigurationError("this history was made by hand, and nothing is known of its scenario and its data")
        return self.record.of(self)

    def __repr__(self) -> str:
        words = [f"seed {self.seed}", f"{len(self)} evaluations"]
        words += [f"{figure(self.last.main)} after round {self.last.round}"] if self.evaluations else []
        words += ["failed"] if self.failure is not None else ["interrupted"] if self.interrupted else []
        words += ["stopped early"] if self.stopped is not None else []
        return f"<History of {self.algorithm}: {', '.join(words)}>"
