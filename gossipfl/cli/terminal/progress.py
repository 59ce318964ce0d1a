"""The progress that a person sees in the terminal while a run goes on."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.spinner import Spinner
from rich.table import Column

from gossipfl.cli.terminal.figures import num_bytes, seconds
from gossipfl.cli.terminal.lines import evaluation_line, run_name
from gossipfl.cli.terminal.peer_table import peer_table
from gossipfl.engines.http.status import PeerStatus
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.mode import Mode
from gossipfl.history import Evaluation, History
from gossipfl.names.visible_text import visible
from gossipfl.scenario import Scenario


class Progress:
    """Shows a bar per algorithm (round, first metric so far) and a line on what is going on; an `Observer`.

    The line has the time, rounds and peers trained per second since the first evaluation, and the memory in use.
    Peers over HTTP are shown in a table too, from what `look` is told. Without a terminal there is none of it, and
    every evaluation is a line; so it is with one, in a mode that prints evaluations.
    """

    def __init__(
        self,
        console: Console,
        scenario: Scenario,
        mode: Mode,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._scenario = scenario
        self._mode = mode
        self._clock = clock
        self._progress = RichProgress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=min(24, max(8, console.width - 64))),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
        )
        self._doing = Spinner("dots", text="building the model")
        self._statuses: Sequence[PeerStatus] = ()
        self._live = Live(get_renderable=self._shown, console=console, transient=True)
        self._task: TaskID | None = None
        self._began, self._first_round = 0.0, 0
        self._seed = scenario.seed
        self._num_peers = self._num_rounds = 0

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def look(self, statuses: Sequence[PeerStatus]) -> None:
        """Show what the peers say of themselves."""
        self._statuses = statuses

    def _shown(self) -> RenderableType:
        shown = Group(self._progress, self._doing)
        if self._statuses:
            statuses = [asdict(status) for status in self._statuses]
            shown.renderables.append(peer_table(statuses, self._console.height))
        return shown

    def begins(self, experiment: Experiment) -> None:
        self._seed, self._num_peers, self._num_rounds = experiment.seed, len(experiment.shards), experiment.rounds
        self._doing.update(text=f"preparing {self._num_peers:,} peers")
        if experiment.encryption is not None:
            for sentence in experiment.encryption.sentences:
                self._console.print(sentence, soft_wrap=True)

    def evaluated(self, label: str, evaluation: Evaluation) -> None:
        name = run_name(label, self._seed, self._scenario)
        if self._task is None:
            self._task = self._progress.add_task(visible(name), total=self._num_rounds, state="")
            self._began, self._first_round = self._clock(), evaluation.round  # not 0 where a run goes on
        num_rounds = evaluation.round - self._first_round
        rate = num_rounds / max(self._clock() - self._began, 1e-9)
        state = f"{evaluation.main.metric.name} {evaluation.main.deployed:.4f}"
        self._progress.update(self._task, completed=evaluation.round, state=state)
        parts = [f"{seconds(evaluation.time)} {self._mode.clock}"]
        if num_rounds:
            num_trained = 1 if self._scenario.section(label).name == "centralized" else self._num_peers
            parts += [f"{rate:.3g} rounds/s", f"{rate * num_trained:,.0f} peers trained/s"]
        if (memory := resident_memory()) is not None:
            parts.append(f"memory {num_bytes(memory)}")
        self._doing.update(text=", ".join(parts))
        self._live.refresh()
        if self._mode.prints_evaluations or not self._console.is_terminal:
            # a terminal would break it anywhere, also inside of a number; for other programs it is one line
            self._console.print(evaluation_line(name, evaluation), soft_wrap=not self._console.is_terminal)

    def ended(self, history: History) -> None:
        self._statuses = ()
        self._doing.update(text="")
        if self._task is not None:
            self._progress.stop_task(self._task)
            self._task = None


def resident_memory() -> int | None:
    """Bytes of memory that this process has at the moment, where the system says so in /proc (Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
