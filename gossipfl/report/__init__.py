"""The report of a run: `report.html`, one self-contained file that works offline."""

import os
import tempfile
from pathlib import Path

from gossipfl.report.html import report_html
from gossipfl.report.run_files import read_run

__all__ = ["write_report"]


def write_report(run_directory: Path) -> Path:
    """Write `report.html` from the manifest, history and summary in `run_directory`, and return its path.

    The file appears whole or not at all: it is written beside its place, then renamed.
    Raises `ConfigurationError`, naming the file, when one is missing or is not what a run writes.
    """
    run_directory = Path(run_directory)
    text = report_html(read_run(run_directory))
    target = run_directory / "report.html"
    handle, unfinished = tempfile.mkstemp(prefix=".report-", suffix=".html", dir=run_directory)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(unfinished, 0o644)
        os.replace(unfinished, target)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    return target
