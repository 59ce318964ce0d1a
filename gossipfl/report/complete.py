"""All that can be derived from the manifest and history of a run, again at any time.

history.parquet    the rows of history.jsonl
agreed.parquet     the rows of agreed.jsonl, where there are any
summary.json       the common table
report.html
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.experiments.comparison import summarize, winners
from gossipfl.files.strict_json import strict_json
from gossipfl.files.whole_files import whole, write_whole
from gossipfl.report import write_report
from gossipfl.runs.agreed_rows import agreed_rows
from gossipfl.runs.files import HistoryRow, manifest_and_history
from gossipfl.runs.manifest import Manifest
from gossipfl.scores import Metric


def complete(path: Path, left_out: list[str] | None = None) -> Path:
    """Write what can be derived from manifest and history: Parquet file, summary and report. Sentences on what is
    garbled, and missing there, stand in the report and go to `left_out`.

    Raises ConfigurationError when `path` is not the directory of a run.
    """
    if not (path / "manifest.json").is_file():
        raise ConfigurationError(f"{path} is not the directory of a run: there is no manifest.json in it")
    manifest, history, garbled = manifest_and_history(path)
    agreed = agreed_rows(path, garbled)
    if left_out is not None:
        left_out += garbled
    rows = [row.model_dump() for row in history]
    _write_parquet(path / "history.parquet", history, manifest.metrics)
    _write_table(path / "agreed.parquet", [row.model_dump() for row in agreed])
    write_whole(path / "summary.json", strict_json(summary(manifest, rows), indent=1))
    return write_report(path)


def summary(manifest: Manifest, rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The content of `summary.json`, from the manifest and the history rows of a run."""
    bounds = {algorithm.label: algorithm.bound for algorithm in manifest.algorithms}
    table = summarize(rows, manifest.metrics, manifest.targets, [(one.algorithm, one.seed) for one in manifest.ended])
    return {
        "rows": [{**row.as_json(), "bound": bounds.get(row.label, False)} for row in table],
        "winners": [winner.as_json() for winner in winners(table)],
    }


def _write_parquet(path: Path, history: Sequence[HistoryRow], metrics: Sequence[Metric]) -> None:
    flat = [
        row.own_numbers() | {"peers": [{"peer": peer} | own for peer, own in row.by_peer(metrics).items()]}
        for row in history
    ]
    _write_table(path, flat)


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if rows:
        with whole(path) as unfinished:
            pq.write_table(pa.Table.from_pylist(rows), unfinished)
