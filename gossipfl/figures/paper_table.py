"""The common table of a run for a paper: LaTeX or Markdown as people read it, CSV with every digit.

All numbers are those of `summary.json`.
"""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from math import floor, log10
from typing import Literal, TypeAlias

from gossipfl.errors import ConfigurationError
from gossipfl.names.visible_text import visible
from gossipfl.runs.files import MeanAndSpread, Run, SummaryRow, SummaryTarget
from gossipfl.scores import AT_END, LOSS, Metric

TableFormat: TypeAlias = Literal["latex", "csv", "markdown"]

_ASPECTS = {
    "deployed": "deployed",
    "worst": "worst peer",
    "best": "best peer",
    "mean": "mean of peers",
    "average": "average model",
    "decile1": "decile 1",
    "decile5": "median peer",
    "decile9": "decile 9",
}
"""The aspects of a metric that can be a column, with their headings."""

_COSTS = {
    "consensus_distance": ("consensus distance", "number"),
    "rounds": ("rounds", "number"),
    "epochs": ("epochs", "number"),
    "num_examples": ("examples", "number"),
    "time": ("{clock}", "seconds"),
    "num_bytes": ("bytes", "bytes"),
    "busiest_peer_bytes": ("bytes at the busiest", "bytes"),
    "epsilon": ("epsilon", "number"),
}

_UNITS = {
    "bytes": ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
    "seconds": ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s")),
    "share": ((0.01, "%"),),
    "points": ((0.01, "pp"),),
    "number": ((1.0, ""),),
}
"""The units of each kind of number, from the largest; a column has the largest that its largest mean fills."""


NOTHING = "\N{EN DASH}"
"""Stands where nothing was measured, or a target was not reached."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: its name on the command line and in CSV, its heading, its kind of number, and if more is better."""

    name: str
    heading: str
    kind: str
    higher_is_better: bool | None
    of: Callable[[SummaryRow], MeanAndSpread | None]
    whole: Callable[[SummaryRow], bool] = lambda row: True
    """True for a row whose every seed is in the number: only these compete, if there are any."""
    of_whole_run: bool = False
    """True for what a whole run cost: nobody is the best where some did fewer rounds."""


def paper_table(run: Run, format: TableFormat, columns: Sequence[str] = ()) -> str:
    """The table as text: algorithms in order, bounds last; mean and standard deviation over seeds; in LaTeX and
    Markdown the best of each column is bold, where the runs compare; bounds do not compete.

    `columns` are names of `summary.json` ("deployed_accuracy", "num_bytes"), and of what a target took ("num_bytes to
    accuracy 0.9"); CSV has all by default, the others those that papers have. LaTeX needs the package booktabs.
    Raises ConfigurationError, naming those that there are, for a column that there is not.
    """
    known = {column.name: column for column in _columns(run)}
    if unknown := [name for name in columns if name not in known]:
        raise ConfigurationError(f"the table has no column {unknown[0]!r}; it has {', '.join(known)}")
    chosen = [known[name] for name in columns or (known if format == "csv" else _usual(run, known))]
    rows = sorted(run.summary.rows, key=lambda row: row.bound)
    if format == "csv":
        return _csv(rows, chosen)
    write = _latex if format == "latex" else _markdown
    return write(*_headings_and_cells(run, chosen), sum(not row.bound for row in rows))


def html_table(run: Run) -> str:
    """The table of a paper as a piece of HTML, for notebooks."""
    known = {column.name: column for column in _columns(run)}
    headings, cells = _headings_and_cells(run, [known[name] for name in _usual(run, known)])

    def cell(mean: str, is_best: bool, spread: str) -> str:
        text = f"<b>{escape(mean)}</b>" if is_best else escape(mean)
        return f"<td>{text}{' ± ' if spread[:1].isdigit() else ''}{escape(spread)}</td>"

    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(cell(*one) for one in line)}</tr>" for line in cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _headings_and_cells(run: Run, columns: Sequence[_Column]) -> tuple[list[str], list[list[tuple[str, bool, str]]]]:
    """The headings, and for each algorithm, bounds last, its name and numbers as `_shown` gives them."""
    rows = sorted(run.summary.rows, key=lambda row: row.bound)
    headings, cells = ["algorithm"], [[(visible(row.label), False, "")] for row in rows]
    for column in columns:
        heading, numbers = _shown(column, rows, run.manifest.comparable)
        headings.append(heading)
        for line, number in zip(cells, numbers, strict=True):
            line.append(number)
    return headings, cells


def _columns(run: Run) -> list[_Column]:
    """All columns that the run's summary has."""
    metrics = run.manifest.metrics or [LOSS]
    found = [
        _Column(
            f"{aspect}_{metric.name}",
            f"{metric.name.replace('_', ' ')}, {words}",
            metric.unit,
            metric.higher_is_better,
            partial(_of_row, f"{aspect}_{metric.name}"),
        )
        for metric in metrics
        for aspect, words in _ASPECTS.items()
    ]
    for name, (heading, kind) in _COSTS.items():
        cheaper = False if kind in ("bytes", "seconds") else None
        found.append(
            _Column(
                name,
                heading.format(clock=run.manifest.mode.clock + " time"),
                kind,
                cheaper,
                partial(_of_row, name),
                of_whole_run=True,
            )
        )
    found = [column for column in found if any(column.of(row) is not None for row in run.summary.rows)]
    targets = {(one.metric, one.target): None for row in run.summary.rows for one in row.targets}
    units = {metric.name: metric for metric in (*metrics, LOSS)}
    for name, target in targets:
        metric = units.get(name, LOSS)
        for cost in ("rounds", "time", "num_bytes", "busiest_peer_bytes", "spread"):
            heading, kind = _COSTS.get(cost, ("peers apart", "points" if metric.unit == "share" else "number"))
            found.append(
                _Column(
                    f"{cost} to {name} {target:g}",
                    f"{heading.format(clock='time')} to {name.replace('_', ' ')} {shown_target(target, metric)}",
                    kind,
                    False,
                    partial(_of_target, name, target, cost),
                    partial(_is_whole, name, target),
                )
            )
    return found


def _usual(run: Run, known: dict[str, _Column]) -> list[str]:
    """The columns of a paper: what was reached, and what it cost; of several metrics the first, on the test part."""
    main, *others = [metric.name for metric in run.manifest.metrics if not metric.is_loss] or ["loss"]
    if others:
        main = AT_END + main if AT_END + main in others else main
        names = [f"deployed_{main}", f"worst_{main}", "time", "num_bytes", "epsilon"]
        return [name for name in names if name in known]
    names = [f"{aspect}_{main}" for aspect in ("deployed", "worst", "average")]
    names += [
        "time",
        "num_bytes",
        "busiest_peer_bytes",
        "epsilon",
        *(name for name in known if name.startswith("num_bytes to ")),
    ]
    return [name for name in names if name in known]


def _of_row(name: str, row: SummaryRow) -> MeanAndSpread | None:
    value = getattr(row, name, None)
    return value if isinstance(value, MeanAndSpread) else None


def _of_target(metric: str, target: float, cost: str, row: SummaryRow) -> MeanAndSpread | None:
    found = _target(metric, target, row)
    value = None if found is None else getattr(found, cost)
    return value if isinstance(value, MeanAndSpread) else None


def _is_whole(metric: str, target: float, row: SummaryRow) -> bool:
    found = _target(metric, target, row)
    return found is not None and 0 < found.of == found.reached


def _target(metric: str, target: float, row: SummaryRow) -> SummaryTarget | None:
    return next((one for one in row.targets if (one.metric, one.target) == (metric, target)), None)


def shown_target(target: float, metric: Metric) -> str:
    """A target as people read it: a share in percent."""
    return f"{100 * target:g} %" if metric.unit == "share" else f"{target:g}"


def _shown(column: _Column, rows: Sequence[SummaryRow], comparable: bool) -> tuple[str, list[tuple[str, bool, str]]]:
    """The heading with its unit, and for each row the mean as text, if it is the best, and its spread as text."""
    numbers = [column.of(row) for row in rows]
    means = [None if number is None else number.mean for number in numbers]
    largest = max((abs(mean) for mean in means if mean is not None), default=0.0)
    units = _UNITS[column.kind]
    scale, unit = next((one for one in units if largest >= one[0]), units[-1])
    best = _best(column, rows, means) if comparable else None
    cells = []
    for row, number, mean in zip(rows, numbers, means, strict=True):
        if number is None or mean is None:
            cells.append((NOTHING, False, ""))
            continue
        decimals = 2 if column.kind in ("share", "points") else _decimals(mean / scale)
        spread = "" if not number.std else f"{number.std / scale:.{decimals}f}"
        of_seeds = "" if column.whole(row) else " (not with every seed)"
        cells.append((f"{mean / scale:.{decimals}f}", not row.bound and mean == best, spread + of_seeds))
    return f"{column.heading} ({unit})" if unit else column.heading, cells


def _best(column: _Column, rows: Sequence[SummaryRow], means: Sequence[float | None]) -> float | None:
    """The best mean of those that compete, where they differ."""
    competing = [(row, mean) for row, mean in zip(rows, means, strict=True) if not row.bound and mean is not None]
    whole = [(row, mean) for row, mean in competing if column.whole(row)] or competing
    values = {mean for _, mean in whole}
    if column.higher_is_better is None or len(values) < 2:
        return None
    if column.of_whole_run and len({row.rounds and row.rounds.mean for row, _ in competing}) > 1:
        return None
    return max(values) if column.higher_is_better else min(values)


def _decimals(value: float) -> int:
    """Decimals by which a number has four digits."""
    return 0 if value == 0 else min(8, max(0, 3 - floor(log10(abs(value)))))


def _csv(rows: Sequence[SummaryRow], columns: Sequence[_Column]) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["algorithm", "bound", *(f"{one.name} {part}" for one in columns for part in ("mean", "std"))])
    for row in rows:
        numbers = [column.of(row) or MeanAndSpread() for column in columns]
        lines.writerow([_harmless(row.label), row.bound, *(part for one in numbers for part in (one.mean, one.std))])
    return text.getvalue()


def _harmless(text: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    NOTHING: "--",
    "·": r"$\cdot$",
}


def _for_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _latex(headings: Sequence[str], cells: Sequence[Sequence[tuple[str, bool, str]]], num_competing: int) -> str:
    def cell(mean: str, is_best: bool, spread: str) -> str:
        text = _for_latex(mean)
        text = rf"\textbf{{{text}}}" if is_best else text
        return rf"{text} $\pm$ {_for_latex(spread)}" if spread[:1].isdigit() else text + _for_latex(spread)

    lines = [" & ".join(cell(*one) for one in line) + r" \\" for line in cells]
    if 0 < num_competing < len(lines):
        lines.insert(num_competing, r"\midrule")
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
            r"\toprule",
            " & ".join(map(_for_latex, headings)) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _markdown(headings: Sequence[str], cells: Sequence[Sequence[tuple[str, bool, str]]], num_competing: int) -> str:
    del num_competing  # a table of Markdown has no rules between rows

    def escaped(text: str) -> str:
        return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", text)

    def cell(mean: str, is_best: bool, spread: str) -> str:
        text = f"**{escaped(mean)}**" if is_best else escaped(mean)
        return f"{text} ± {spread}" if spread[:1].isdigit() else text + spread

    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *([cell(*one) for one in line] for line in cells)]
    lines[0] = [escaped(heading) for heading in headings]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
