"""The `report` and `table` commands: what readers of a run, or of several side by side, get to see."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from gossipfl.cli.options import Set


class FigureFormat(StrEnum):
    pdf = "pdf"
    svg = "svg"
    png = "png"


class TableFormat(StrEnum):
    markdown = "markdown"
    latex = "latex"
    csv = "csv"


Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Directories of runs.")]
NoBounds = Annotated[
    bool, typer.Option("--no-bounds", help="Leave out the bounds (local only, centralized), which compare adds.")
]


def report(
    runs: Runs,
    output: Annotated[
        Optional[Path],  # noqa: UP045, typer reads this at run time
        typer.Option(metavar="PAGE", help="The page of several runs. [default: comparison.html]"),
    ] = None,
    figures: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIRECTORY", help="Draw every chart there, in the width of a column and of a page."),
    ] = None,
    format: Annotated[FigureFormat, typer.Option("--format", help="Of the figures.")] = FigureFormat.pdf,
    smoothing: Annotated[
        int,
        typer.Option(
            min=1, metavar="EVALUATIONS", help="Figures show the moving mean of curves over so many, an odd number."
        ),
    ] = 1,
    no_bounds: NoBounds = False,
    classes: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="SCENARIO",
            help="Measure which classes the worst, the median and the average model tell apart, with model and data of "
            "the scenario that the run had; kept in classes.json.",
        ),
    ] = None,
    set_: Set = None,
) -> None:
    """Write a run's report.html again, also for a run that was killed; or one page that lays several runs over each
    other; and figures for a paper."""
    from gossipfl.cli.commands.reporting import write_reports

    write_reports(runs, output, figures, format.value, smoothing, no_bounds, classes, set_ or [])


def table(
    runs: Runs,
    format: Annotated[TableFormat, typer.Option("--format", help="What the table is written for.")] = (
        TableFormat.markdown
    ),
    column: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="NAME",
            help='A column, by its name in summary.json, or "num_bytes to accuracy 0.9"; may be given several times. '
            "[default: those that papers have; of csv all]",
        ),
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Write it there. [default: to standard output]"),
    ] = None,
    no_bounds: NoBounds = False,
) -> None:
    """Print the common table of a run, or of several as one, for a paper or for a spreadsheet."""
    from gossipfl.cli.commands.reporting import write_table

    write_table(runs, format.value, column or [], output, no_bounds)
