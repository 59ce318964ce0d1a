"""The directory of a sweep. It is that of a run, whose algorithms are those of all points.

sweep.json                  the grid, and the table: one row per point and algorithm
runs/POINT-seedN/           a run directory for each run, without weights
manifest.json, history.jsonl, history.parquet, summary.json, report.html     over all of them
"""

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.files.strict_json import json_lines, strict_json
from gossipfl.files.whole_files import kept_for_this_process, write_whole
from gossipfl.report.complete import complete
from gossipfl.runs.files import HistoryRow
from gossipfl.runs.manifest import FORMAT, Manifest, read_manifest, write_manifest
from gossipfl.runs.parts import Part, numbered, rows_of
from gossipfl.scenario import Scenario
from gossipfl.scenario.differences import first_difference
from gossipfl.sweep.grid import Point, identity, without
from gossipfl.sweep.run import JSON, Measured, Run


class _SweepRow(Part):
    """One algorithm at one point, by the `name` that it has in the run over all."""

    name: str
    point: dict[str, Any]


class _Sweep(Part):
    """`sweep.json`, as far as it is read again."""

    scenario: dict[str, Any]
    grid: dict[str, list[Any]]
    rows: tuple[_SweepRow, ...] = ()


def points_by_label(path: Path) -> dict[str, dict[str, Any]]:
    """The values of the grid's fields in the directory of a sweep, by the name of an algorithm at a point."""
    return {row.name: row.point for row in numbered(path / "sweep.json", _Sweep, FORMAT).rows}


class SweepDirectory:
    """The folder of the runs of a sweep, which appear whole or not at all."""

    def __init__(self, path: Path, points: Sequence[Point]) -> None:
        self.path = path
        self._fields = [field for field, _ in points[0].settings]
        self.base: JSON = without(identity(points[0].scenario), self._fields)
        """The part that is the same at all points."""

    def check(self) -> None:
        """Raise ConfigurationError when there is something else at its path."""
        if (self.path / "sweep.json").is_file():
            before = numbered(self.path / "sweep.json", _Sweep, FORMAT)
            free = {*self._fields, *before.grid}
            other = first_difference(without(before.scenario, free), without(self.base, free))
            if other is not None:
                raise ConfigurationError(
                    f"{self.path} holds a sweep of another scenario ({other}); give another --output"
                )
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ConfigurationError(f"{self.path} is there and no sweep; give another --output, nothing was changed")

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Make the directory where it is not there, and keep it for this process alone.

        Raises ConfigurationError when another process has it.
        """
        try:
            (self.path / "runs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"cannot make the directory {self.path}: {error.strerror}") from error
        with kept_for_this_process(self.path / "runs"):
            yield

    def write(self, content: Mapping[str, Any]) -> None:
        """Write sweep.json."""
        write_whole(
            self.path / "sweep.json", strict_json({"format": FORMAT, "scenario": self.base, **content}, indent=1)
        )

    def of(self, run: Run) -> Path:
        """The directory of a run."""
        return self.path / "runs" / "-".join([*filter(None, [_stem(run.point)]), f"seed{run.seed}"])

    def has(self, run: Run) -> bool:
        """True if a run is done. Raises ConfigurationError when there is another in its place."""
        path = self.of(run)
        if not path.exists():
            return False
        before = Scenario(**read_manifest(path).scenario)
        other = first_difference(identity(before), identity(run.scenario))
        if other is not None:
            raise ConfigurationError(
                f"{path} holds a run of another scenario ({other}); remove it, or give another --output"
            )
        return True

    def add(self, run: Run, measured: Measured) -> None:
        """Write the directory of a run that has ended, with its own report."""
        path = self.of(run)
        unfinished = path.with_name(f".{path.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        write_run(unfinished, measured.manifest, measured.rows)
        unfinished.rename(path)

    def read(self, run: Run) -> Measured:
        """A run that is done."""
        path = self.of(run)
        return Measured(read_manifest(path), [row.model_dump() for row in rows_of(path / "history.jsonl", HistoryRow)])


def write_run(path: Path, manifest: Manifest, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write the files of a run directory, without weights; gives the path of its report."""
    write_manifest(path, manifest)
    write_whole(path / "history.jsonl", json_lines(rows))
    return complete(path)


def _stem(point: Point) -> str:
    """A file name for a point, the same whatever else is in the grid; where characters cannot stand in one, a digest of
    all is at its end."""
    written = ",".join(f"{field}={value}" for field, value in point.settings)
    if re.fullmatch(r"[a-z0-9._=,-]{0,120}", written):
        return written
    digest = hashlib.blake2b(written.encode(), digest_size=4).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9._=,-]+', '_', written)[:100]}-{digest}"
