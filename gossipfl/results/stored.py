"""A run that is on disk, read again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gossipfl.errors import ConfigurationError
from gossipfl.history import Contact, History
from gossipfl.report.complete import summary
from gossipfl.runs.agreed_rows import AgreedRow
from gossipfl.runs.files import EventRow, HistoryRow, Run, Summary, read_run
from gossipfl.runs.manifest import RunPartition
from gossipfl.runs.resuming import evaluation_of_row

_Row = TypeVar("_Row", HistoryRow, EventRow, AgreedRow)


@dataclass(frozen=True, slots=True)
class Stored:
    """The numbers of a run directory; its models stay there."""

    path: Path
    content: Run

    @classmethod
    def read(cls, path: Path) -> "Stored":
        """Raises ConfigurationError when there is no run, or what is there is not what a run writes."""
        return cls(path, read_run(path))

    def histories(self) -> list[History]:
        """The histories of its algorithms and seeds, without models."""
        run = self.content
        found = {(one.algorithm, one.seed): History(**one.model_dump()) for one in run.manifest.ended}
        for row in run.history:
            key = row.algorithm, row.seed
            history = found.setdefault(key, History(*key, interrupted=True))
            history.evaluations.append(evaluation_of_row(row, run.manifest.metrics))
        for event in run.events:
            contact = Contact(event.time, event.peer, event.neighbor, event.event)
            if (event.algorithm, event.seed) in found:
                found[event.algorithm, event.seed].contacts.append(contact)
        order = [algorithm.label for algorithm in run.manifest.algorithms]
        return sorted(found.values(), key=lambda history: (history.seed, order.index(history.algorithm)))

    def of(self, history: History) -> "Stored":
        """One of the histories alone; of another seed than the first, the split of the data is not known here."""
        run, label, seed = self.content, history.algorithm, history.seed
        algorithms = [one for one in run.manifest.algorithms if one.label == label]
        facts: dict[str, Any] = {
            "algorithms": [one.model_copy(update={"seeds": [seed]}) for one in algorithms],
            "ended": [one for one in run.manifest.ended if (one.algorithm, one.seed) == (label, seed)],
            "seeds": [seed],
            "spread": None,
        }
        if seed not in run.manifest.seeds[:1]:
            facts["partition"] = RunPartition()
        manifest = run.manifest.model_copy(update=facts)

        def own_rows(rows: Sequence[_Row]) -> list[_Row]:
            return [row for row in rows if (row.algorithm, row.seed) == (label, seed)]

        history_rows, events, agreed = own_rows(run.history), own_rows(run.events), own_rows(run.agreed)
        own = Summary.model_validate(summary(manifest, [row.model_dump() for row in history_rows]))
        return Stored(self.path, Run(manifest, history_rows, own, events, agreed))

    def run(self, histories: Sequence[History], *, is_interrupted: bool) -> Run:
        return self.content

    def save(self, path: Path, histories: Sequence[History], *, is_interrupted: bool) -> None:
        raise ConfigurationError(
            f"this run was loaded from {self.path}, and its models are not in memory: copy that folder to {path}"
        )
