"""The protocol behind which programs are told of runs: a tracker opens a log for each run, which takes numbers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, Protocol, TypeAlias

from gossipfl.history import Evaluation, history_row
from gossipfl.measured import ASPECTS

Ending: TypeAlias = Literal["finished", "interrupted", "failed"]

Parameters: TypeAlias = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """One algorithm's run with one seed: its scenario, the group of those that run together, and its own name, which as
    `folder` can be one of a file."""

    scenario: str
    group: str
    label: str
    name: str
    folder: str
    parameters: Parameters


class RunLog(Protocol):
    """The log of one run."""

    def numbers(self, round: int, values: Mapping[str, float]) -> None:
        """Take the numbers that were measured after a round, by name; rounds ascend."""
        ...

    def end(self, ending: Ending, notes: Sequence[str]) -> None:
        """The run is over; `notes` are sentences on what the numbers do not say."""
        ...


class Tracker(Protocol):
    """A place where logs are kept; what it needs is imported when it is used."""

    def check(self, runs: Sequence[TrackedRun], *, is_new: bool) -> None:
        """Raise ConfigurationError when these runs, which are new or go on, cannot be logged here."""
        ...

    def begin(self, run: TrackedRun) -> RunLog:
        """A new log."""
        ...

    def errors(self) -> tuple[type[Exception], ...]:
        """The exceptions by which the program says that it cannot go on."""
        ...


def numbers_of(evaluation: Evaluation) -> dict[str, float]:
    """The finite numbers of a row of the history over all peers, by name: `accuracy/worst` is its `worst_accuracy`;
    those of no metric are of the run, as `run/num_bytes` is. The row's round is their step."""
    found = {}
    for column, value in history_row("", 0, evaluation).items():
        aspect, _, metric = column.partition("_")
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
        if is_number and column not in ("seed", "round"):
            found[f"{metric}/{aspect}" if aspect in ASPECTS else f"run/{column}"] = value
    return found


def parameters_of(values: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """The settings of a scenario by dotted names; lists are JSON, and what is not set is left out.

    >>> parameters_of({"training": {"batch_size": 32, "epochs": None}, "targets": [0.8]})
    {'training.batch_size': 32, 'targets': '[0.8]'}
    """
    found: dict[str, str | int | float | bool] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= parameters_of(value, f"{prefix}{name}.")
        elif value is not None:
            found[prefix + name] = value if isinstance(value, str | int | float) else json.dumps(value)
    return found
