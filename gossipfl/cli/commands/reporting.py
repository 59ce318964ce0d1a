"""`report` and `table`: pages, figures and tables of runs that are on disk."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from gossipfl.cli.commands import loading
from gossipfl.cli.terminal.console import new_console
from gossipfl.errors import ConfigurationError
from gossipfl.figures.canvas import Format
from gossipfl.figures.of_a_run import write_figures
from gossipfl.figures.paper_table import TableFormat, paper_table
from gossipfl.files.whole_files import write_whole
from gossipfl.report import write_page
from gossipfl.report.complete import complete
from gossipfl.runs.class_errors import measure_classes
from gossipfl.runs.files import Run
from gossipfl.runs.laid_over import laid_over, read_runs, without_bounds
from gossipfl.scenario import load_scenario


def write_reports(
    runs: Sequence[Path],
    output: Path | None,
    figures: Path | None,
    format: Format,
    smoothing: int,
    no_bounds: bool,
    classes: str | None,
    overrides: Sequence[str],
) -> None:
    """`report`."""
    console = new_console()
    if classes is not None:
        _measure_classes(runs, classes, overrides)
    if len(runs) == 1:
        if output is not None:
            raise ConfigurationError("--output names the page of several runs; that of one run is its report.html")
        if no_bounds and figures is None:
            raise ConfigurationError(
                "--no-bounds is for figures and for the page of several runs; in report.html of one run, the legend "
                "has a button for it"
            )
    left_out: list[str] = []
    pages = [complete(run, left_out) for run in runs]
    for sentence in left_out:
        console.print(sentence, soft_wrap=True)
    if len(runs) > 1:
        run = _read(runs, no_bounds)
        pages = [write_page(run, output or Path("comparison.html"))]
        _warn(run, console)
    console.print(f"Report: {pages[0]}", soft_wrap=True)
    if figures is not None:
        with console.status("drawing"):
            paths = write_figures(_read(runs, no_bounds), figures, format, smoothing)
        console.print(f"Figures: {len(paths)} in {figures}", soft_wrap=True)


def _measure_classes(runs: Sequence[Path], name: str, overrides: Sequence[str]) -> None:
    if len(runs) > 1:
        raise ConfigurationError("--classes measures one run; name it alone")
    own = load_scenario(name, overrides)
    dataset = loading.load_dataset(own, download=False)
    loading.import_tensorflow()
    measure_classes(runs[0], own, dataset)


def write_table(
    runs: Sequence[Path], format: TableFormat, columns: Sequence[str], output: Path | None, no_bounds: bool
) -> None:
    """`table`; what a reader must know of several runs goes to standard error."""
    for run in runs:
        if not (run / "summary.json").exists():
            complete(run)  # it was killed, and has none yet
    run_ = _read(runs, no_bounds)
    text = paper_table(run_, format, columns)
    notes = new_console(stderr=True)
    _warn(run_, notes)
    if output is None:
        sys.stdout.write(text)
    else:
        write_whole(output, text)
        notes.print(f"Table: {output}", soft_wrap=True)


def _warn(run: Run, console: Console) -> None:
    """Say what a reader of several runs must know where they are no fair comparison."""
    if not run.manifest.comparable:
        for note in run.manifest.differences:
            console.print(note, soft_wrap=True)


def _read(runs: Sequence[Path], no_bounds: bool) -> Run:
    run = laid_over(read_runs(runs))
    return without_bounds(run) if no_bounds else run
