"""The report of a run: `report.html`, one self-contained file that works offline."""

from pathlib import Path

from gossipfl.files.whole_files import write_whole
from gossipfl.report.html import report_html
from gossipfl.runs.files import read_run

__all__ = ["write_report"]


def write_report(run_directory: Path) -> Path:
    """Write `report.html` from the manifest, history and summary in `run_directory`, and return its path.

    The file appears whole or not at all.
    Raises `ConfigurationError`, naming the file, when one is missing or is not what a run writes.
    """
    run_directory = Path(run_directory)
    report = run_directory / "report.html"
    write_whole(report, report_html(read_run(run_directory)))
    return report
