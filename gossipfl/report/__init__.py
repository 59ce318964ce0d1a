"""The report of a run: `report.html`, one self-contained file that works offline."""

from pathlib import Path

from gossipfl.files.whole_files import write_whole
from gossipfl.report.html import report_html
from gossipfl.runs.files import Run, read_run

__all__ = ["write_page", "write_report"]


def write_report(run_directory: Path) -> Path:
    """Write `report.html` from the manifest, history and summary in `run_directory`, and return its path.

    The file appears whole or not at all.
    Raises `ConfigurationError`, naming the file, when one is missing or is not what a run writes.
    """
    run_directory = Path(run_directory)
    return write_page(read_run(run_directory), run_directory / "report.html")


def write_page(run: Run, page: Path) -> Path:
    """Write the report of a run, or of several laid over each other, to the file `page`, and return that."""
    write_whole(page, report_html(run))
    return page
