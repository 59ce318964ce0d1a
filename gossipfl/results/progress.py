"""The progress of a run from Python: a bar for each algorithm in a terminal or a notebook, elsewhere lines."""

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from gossipfl.experiments.experiment import Experiment
from gossipfl.history import Evaluation, History
from gossipfl.names.visible_text import visible
from gossipfl.results.results import figure

_SECONDS_BETWEEN = 0.2
"""A page that is drawn more often than this keeps the browser busy, and shows nobody more."""


class Progress:
    """Shows round and first metric of each algorithm while it runs; an `Observer`.

    A notebook gets a display that is drawn anew, which needs no widgets. Where there is neither that nor a terminal,
    every evaluation is a line.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(markup=False, highlight=False)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(24), MofNCompleteColumn())
        state = TextColumn("{task.fields[state]}", markup=False)
        self._bars = Bars(*columns, state, TimeElapsedColumn(), console=self._console, auto_refresh=True)
        self._task: TaskID | None = None
        self._num_rounds = self._seed = 0
        self._page: Any = None
        self._drawn = 0.0

    def __enter__(self) -> "Progress":
        if self._console.is_jupyter:
            from IPython import display

            new_display: Any = display.display
            self._page = new_display(self._bars, display_id=True)
        elif self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bars.stop()
        self._draw(0.0)

    def begins(self, experiment: Experiment) -> None:
        self._seed, self._num_rounds = experiment.seed, experiment.rounds

    def evaluated(self, label: str, evaluation: Evaluation) -> None:
        name, state = visible(f"{label}, seed {self._seed}"), figure(evaluation.main)
        if not (self._console.is_jupyter or self._console.is_terminal):
            self._console.print(f"{name}: round {evaluation.round} of {self._num_rounds}, {state}", soft_wrap=True)
            return
        if self._task is None:
            self._task = self._bars.add_task(name, total=self._num_rounds, state=state)
        self._bars.update(self._task, completed=evaluation.round, state=state)
        self._draw(_SECONDS_BETWEEN)

    def ended(self, history: History) -> None:
        if self._task is not None:
            self._bars.stop_task(self._task)
            self._task = None

    def _draw(self, seconds: float) -> None:
        if self._page is not None and time.monotonic() - self._drawn >= seconds:
            self._page.update(self._bars)
            self._drawn = time.monotonic()
