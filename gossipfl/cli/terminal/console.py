"""What a person sees in the terminal: progress while running, the table at the end."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.spinner import Spinner
from rich.table import Column, Table
from rich.text import Text

from gossipfl.algorithms import BOUNDS
from gossipfl.engines.http.status import PeerStatus
from gossipfl.experiments.comparison import Row, Statistic, TargetCost, winners
from gossipfl.experiments.experiment import Experiment
from gossipfl.files.strict_json import strict_json
from gossipfl.history import Evaluation, History
from gossipfl.names.visible_text import visible, visible_lines
from gossipfl.runs.manifest import HTTP, VIRTUAL_TIME
from gossipfl.scenario import Scenario

_WIDTH = 160  # where the output is no terminal and has no width of its own
_SPREAD = "best minus\nworst peer"
_WORK = "rounds, epochs, examples: local work done, per peer in the mean"
_AVERAGE = (
    "average model: of an algorithm with a server it is what is deployed; of all others nobody has it until it is "
    "gathered, and what is deployed are the peers' own models"
)


class _VisibleConsole(Console):
    """Shows no text that would act on the terminal, wherever it comes from: a file, another peer, the system."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible_lines(text), **options)


def new_console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal, that prints text as it is: labels and paths may hold brackets and colons."""
    console = _VisibleConsole(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    return console


class Progress:
    """Shows a bar per algorithm (round, accuracy so far) and a line on what is going on; an `Observer`.

    The line has the time, rounds and peers trained per second since the first evaluation, and the memory in use.
    Peers over HTTP are shown in a table too, from what `look` is told. Without a terminal there is none of it. With
    `prints_evaluations` every evaluation is one line, with or without.
    """

    def __init__(
        self,
        console: Console,
        scenario: Scenario,
        *,
        prints_evaluations: bool,
        engine: str = VIRTUAL_TIME,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._scenario = scenario
        self._time = "real" if engine == HTTP else "virtual"
        self._prints_evaluations = prints_evaluations
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
        self._num_peers = 0

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
        self._seed, self._num_peers = experiment.seed, len(experiment.shards)
        self._doing.update(text=f"preparing {self._num_peers:,} peers")

    def evaluated(self, label: str, evaluation: Evaluation) -> None:
        name = run_name(label, self._seed, self._scenario)
        if self._task is None:
            self._task = self._progress.add_task(visible(name), total=self._scenario.rounds, state="")
            self._began, self._first_round = self._clock(), evaluation.round  # not 0 where a run goes on
        num_rounds = evaluation.round - self._first_round
        rate = num_rounds / max(self._clock() - self._began, 1e-9)
        state = f"accuracy {evaluation.deployed_accuracy:.4f}"
        self._progress.update(self._task, completed=evaluation.round, state=state)
        parts = [f"{seconds(evaluation.time)} {self._time}"]
        if num_rounds:
            num_trained = 1 if self._scenario.section(label).name == "centralized" else self._num_peers
            parts += [f"{rate:.3g} rounds/s", f"{rate * num_trained:,.0f} peers trained/s"]
        if (memory := resident_memory()) is not None:
            parts.append(f"memory {num_bytes(memory)}")
        self._doing.update(text=", ".join(parts))
        self._live.refresh()
        if self._prints_evaluations:
            self._console.print(evaluation_line(name, evaluation), soft_wrap=True)

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


def run_name(label: str, seed: int, scenario: Scenario) -> str:
    """What a line calls one algorithm's run; only further seeds are named."""
    return label if seed == scenario.seed else f"{label}, seed {seed}"


def evaluation_line(label: str, evaluation: Evaluation, *, final: bool = False) -> str:
    """One evaluation in one line; accuracies with four decimals."""
    parts = [f"{label}: {'final model' if final else f'round {evaluation.round}'}"]
    if evaluation.training_accuracy is not None and not final:
        parts.append(f"training accuracy {evaluation.training_accuracy:.4f}")
    parts.append(f"test accuracy of the average model {evaluation.average_accuracy:.4f}")
    parts.append(
        f"of the peers {evaluation.mean_accuracy:.4f} ({evaluation.worst_accuracy:.4f} to "
        f"{evaluation.best_accuracy:.4f})"
    )
    return ", ".join(parts)


def peer_table(statuses: Sequence[Mapping[str, Any]], height: int = 10_000) -> Table:
    """One line for each peer, from its status as JSON has it; what does not fit in `height` lines is counted."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("peer", "state", "round", "loss", "accuracy", "neighbors", "sent", "received", "failures"):
        table.add_column(column, justify="left" if column in ("peer", "state") else "right", overflow="fold")
    num_shown = len(statuses) if len(statuses) + 8 <= height else max(1, height - 9)
    for status in statuses[:num_shown]:
        neighbors = status["neighbors"]
        silent = sum(neighbor["contact"] in ("unreachable", "left") for neighbor in neighbors)
        refused = sum(status["refusals"].values()) + sum(sum(n["refused"].values()) for n in neighbors)
        table.add_row(
            status["peer"],
            status["state"] + _awaited(status["awaits"]),
            f"{status['round']}/{status['rounds']}",
            *("" if status[name] is None else f"{status[name]:.4f}" for name in ("loss", "accuracy")),
            f"{len(neighbors) - silent}/{len(neighbors)}",
            num_bytes(status["sent"]),
            num_bytes(status["received"]),
            str(silent + refused),
        )
    if num_shown < len(statuses):
        table.add_row(f"and {len(statuses) - num_shown} more", *[""] * 8)
    return table


def _awaited(names: Sequence[str]) -> str:
    """For whom a peer waits, the first three by name.

    >>> _awaited(["3"]), _awaited([str(k) for k in range(9)]), _awaited([])
    (' for 3', ' for 0, 1, 2 and 6 more', '')
    """
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f" for {', '.join(names[:3])}{more}"


def comparison_tables(
    rows: Sequence[Row],
    scenario: Scenario,
    width: int = _WIDTH,
    engine: str = VIRTUAL_TIME,
    notes: Sequence[str] = (),
) -> list[Table]:
    """The common table: what each algorithm reached at the end, and for each target what it took to get there.

    Where the first does not fit in `width` characters it comes in two parts, accuracy and cost: a number is never cut.
    Where the others do not fit, their columns on the busiest and on the spread of the peers are left out.
    At the end it says who reached each target with the least. `notes` stand below the common table.
    """
    bounds = {
        label for section, label in zip(scenario.algorithms, scenario.labels, strict=True) if section.name in BOUNDS
    }
    ordered = sorted(rows, key=lambda row: row.label in bounds)
    styles = ["dim" if row.label in bounds else "" for row in ordered]
    reached = ["peers", "worst", "best", "average\nmodel", "consensus\ndistance"]
    time_ = "real\ntime" if engine == HTTP else "virtual\ntime"
    spent = ["rounds", "epochs", "examples", time_, "bytes", "bytes at\nbusiest"]

    def table(title: str, headings: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
        lines = [[row.label, *those] for row, those in zip(ordered, cells, strict=True)]
        return _table(title, ["algorithm", *headings], lines, styles)

    title = f"{scenario.name}: accuracy on held-out data in %"
    accuracies, costs = [_reached(row) for row in ordered], [_cost(row) for row in ordered]
    both = [accuracy + cost for accuracy, cost in zip(accuracies, costs, strict=True)]
    tables = [table(f"{title}, and what it cost", reached + spent, both)]
    if _natural_width(tables[0]) > width:
        tables = [table(title, reached, accuracies), table(f"{scenario.name}: what it cost", spent, costs)]
    tables[-1].caption = "\n".join([_WORK, _AVERAGE, *notes])
    tables[-1].caption_justify = "left"
    to_target = ["rounds", time_, "bytes", "seeds", "bytes at\nbusiest", _SPREAD]
    for position, target in enumerate(scenario.targets):
        cells = [_cost_of_target(row.targets[position]) for row in ordered]
        title = f"what it took until the accuracy of what is deployed was {100 * target:g}%"
        whole = table(title, to_target, cells)
        tables.append(whole if _natural_width(whole) <= width else table(title, to_target[:4], [c[:4] for c in cells]))
    return [*tables, *winner_tables([row for row in ordered if row.label not in bounds], engine)]


def winner_tables(rows: Sequence[Row], engine: str = VIRTUAL_TIME) -> list[Table]:
    """For each target that any of several communicating algorithms reached: who did with the least, and with what
    accuracy of the best peer less that of the worst, at that moment."""
    if sum(row.values["num_bytes"].mean > 0 for row in rows) < 2:
        return []
    contests: dict[str, tuple[str, Callable[[float], str]]] = {
        "num_bytes": ("fewest bytes", num_bytes),
        "time": ("least real time" if engine == HTTP else "least virtual time", seconds),
        "busiest_peer_bytes": ("least at the busiest", num_bytes),
        "spread": ("closest peers", percent),
    }
    by_label = {row.label: row for row in rows}
    tables = []
    for position, winner in enumerate(winners(rows)):
        lines = []
        for contest, (what, shown) in contests.items():
            if (label := winner.labels[contest]) is not None:
                cost = by_label[label].targets[position]
                with_ = "" if contest == "spread" else _of_target(cost, contest, shown)
                lines.append([what, label, with_, _of_target(cost, "spread", percent)])
        if lines:
            seeds = f" with all {winner.of} seeds" if winner.of > 1 else ""
            title = f"cheapest way to {100 * winner.target:g}%{seeds}"
            table = _table(title, ["", "algorithm", "with", _SPREAD], lines, [""] * len(lines))
            table.columns[1].justify = "left"
            table.columns[1].min_width = None
            tables.append(table)
    return tables


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for position, heading in enumerate(headings):
        words = [word for text in (heading, *(row[position] for row in rows)) for word in text.split()]
        table.add_column(
            heading,
            justify="right" if position else "left",
            vertical="bottom",
            overflow="fold",
            min_width=max(map(len, words)) if position else None,
        )
    for row, style in zip(rows, styles, strict=True):
        table.add_row(*row, style=style)
    return table


def _natural_width(table: Table) -> int:
    """Characters that a table takes when no cell is wrapped."""
    console = Console(width=10_000, markup=False, emoji=False)
    return console.measure(table).maximum


def _reached(row: Row) -> list[str]:
    accuracies = ("mean_accuracy", "worst_accuracy", "best_accuracy", "average_accuracy")
    return [
        *(_statistic(row.values[name], percent) for name in accuracies),
        _statistic(row.values["consensus_distance"], "{:.3g}".format),
    ]


def _cost(row: Row) -> list[str]:
    return [
        _statistic(row.values["rounds"], "{:.0f}".format),
        _statistic(row.values["epochs"], "{:.3g}".format),
        _statistic(row.values["num_examples"], "{:,.0f}".format),
        _statistic(row.values["time"], seconds),
        num_bytes(row.values["num_bytes"].mean),
        num_bytes(row.values["busiest_peer_bytes"].mean),
    ]


def _cost_of_target(target: TargetCost) -> list[str]:
    rounds = _of_target(target, "rounds", "{:.3g}".format) if target.reached else "not reached"
    size, busiest = (
        "" if (cost := target[name]) is None else num_bytes(cost.mean) for name in ("num_bytes", "busiest_peer_bytes")
    )
    seeds = f"{target.reached} of {target.of}"
    return [rounds, _of_target(target, "time", seconds), size, seeds, busiest, _of_target(target, "spread", percent)]


def _of_target(target: TargetCost, name: str, shown: Callable[[float], str]) -> str:
    figure = target[name]
    return "" if figure is None else _statistic(figure, shown)


def _statistic(statistic: Statistic, shown: Callable[[float], str]) -> str:
    if not statistic.std:
        return shown(statistic.mean)
    return f"{shown(statistic.mean)} {in_this_encoding('±', '+-')} {shown(statistic.std)}"


def in_this_encoding(text: str, substitute: str) -> str:
    """The text, or where standard output has no such characters the substitute; both before a table is laid out."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return substitute
    return text


def percent(share: float) -> str:
    """A share in percent, two decimals."""
    return f"{100 * share:.2f}"


def num_bytes(size: float) -> str:
    """A number of bytes in decimal units.

    >>> num_bytes(31_400), num_bytes(0)
    ('31.4 kB', '0 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def seconds(time_: float) -> str:
    """A span of time, three significant digits.

    >>> seconds(0.25), seconds(90), seconds(7200)
    ('0.25 s', '1.5 min', '2 h')
    """
    if time_ < 60:
        return f"{time_:.3g} s"
    return f"{time_ / 60:.3g} min" if time_ < 3600 else f"{time_ / 3600:.3g} h"


def print_json(value: Any) -> None:
    """To standard output, for machines; NaN is null."""
    sys.stdout.write(strict_json(value, indent=1) + "\n")
