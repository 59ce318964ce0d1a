"""The run directory of one peer on its host: what it writes while it runs.

manifest.json, history.jsonl, events.jsonl, agreed.jsonl, weights/final.safetensors
                          as `gossipfl.runs.peer_records` reads them
numbers.json              over the examples of all peers, where the run needs any
addresses.json            where it listens, and where it can be watched
checkpoint-*.safetensors  two generations, and what they need of older ones (`gossipfl.files.checkpoints`)
incarnation               number of its last start
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gossipfl.agreements import Agreement
from gossipfl.errors import ConfigurationError
from gossipfl.files.checkpoints import has_checkpoints
from gossipfl.files.strict_json import strict_json
from gossipfl.files.weight_files import metadata_of, write_arrays
from gossipfl.files.whole_files import kept_for_this_process, write_whole
from gossipfl.runs.directory import make_run_directory
from gossipfl.runs.manifest import Manifest, read_manifest, write_manifest
from gossipfl.runs.parts import Part, Row, rows_of, whole_lines
from gossipfl.runs.peer_records import PeerRow
from gossipfl.weights import ModelVectors, PeerId

WAY_ON = (
    "the peer does not know what it has told its neighbors, so it cannot go on: put a copy of the directory back, or "
    "begin the run again at all peers with new ones (--initial with weights that a peer has left, to keep what was "
    "learned)"
)
"""The way on when a peer has lost its checkpoints."""

_RESTORE = "Restore the file to go on; the checkpoints are whole."
_FINAL = Path("weights", "final.safetensors")
NUMBERS = "numbers.json"
"""The name of the file of numbers that the peers agreed on before the run (`gossipfl.runs.numbers_file`)."""
_FILES = ("incarnation", NUMBERS, "manifest.json", "history.jsonl", "events.jsonl", "agreed.jsonl", "addresses.json")
"""What is there before the first checkpoint, beside the folder for weights."""
_FIRST_CHECKPOINT = ".checkpoint-1.safetensors.unfinished"
"""What a peer leaves that was killed while it wrote its first one."""


class _Dated(Part):
    time: float


class PeerDirectory:
    """The directory of one peer's run, which no other process has meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    @contextmanager
    def opened(cls, path: Path, *, resume: bool) -> "Iterator[PeerDirectory]":
        """A new directory, or one that a peer has left before it had begun; with `resume` also one in which it has run.
        Nothing is left behind when the block ends before anything was written.

        Raises ConfigurationError when there is a run in it that is not to be resumed or has lost its checkpoints,
        something else, or another process at work.
        """
        existed = path.exists()
        make_run_directory(path, "--run-directory", may_be_begun=(path / "manifest.json").is_file() or _is_own(path))
        with kept_for_this_process(path / "weights"):
            directory = cls(path)
            if not directory.is_new and not resume:
                raise ConfigurationError(
                    f"{path} holds a run already; go on with it (--resume), or give another --run-directory"
                )
            if not directory.is_new:
                read_manifest(path, _RESTORE)  # of another format, it is refused before anything is made ready
            if not directory.is_new and not has_checkpoints(path):
                raise ConfigurationError(f"{path} holds a run, but its checkpoints are gone; {WAY_ON}")
            try:
                yield directory
            finally:
                if not existed and {entry.name for entry in path.iterdir()} == {"weights"}:
                    shutil.rmtree(path)

    @property
    def is_new(self) -> bool:
        """True if nothing was said from here yet: the peer had no checkpoint, and no round was measured after the first
        model."""
        history = self.path / "history.jsonl"
        return (
            _is_own(self.path)
            and not (self.path / _FINAL).exists()
            and (not history.exists() or history.read_bytes().count(b"\n") <= 1)
        )

    def begin(self, manifest: Manifest, last_round: int, seconds: float) -> PeerRow | None:
        """Write the manifest of a new run, or check that a resumed one is the same, and drop what was measured after
        round `last_round`, and agreed after so many `seconds`, from which it goes on; gives the last row that is
        left, None for none.

        Raises ConfigurationError when the directory holds another run, or files of it are garbled.
        """
        if self.is_new:
            for beside in ("events.jsonl", "agreed.jsonl"):
                (self.path / beside).unlink(missing_ok=True)
            write_whole(self.path / "history.jsonl", "")
            write_manifest(self.path, manifest)
            return None
        before = read_manifest(self.path, _RESTORE)
        if (before.run_id, before.peer) != (manifest.run_id, manifest.peer):
            raise ConfigurationError(
                f"{self.path} holds the run of another peer, scenario, model or seed; give another --run-directory"
            )
        rows = _keep(self.path / "history.jsonl", PeerRow, lambda row: row.round <= last_round)
        if (self.path / "agreed.jsonl").exists():  # what came to be known after that comes to be known again
            _keep(self.path / "agreed.jsonl", _Dated, lambda row: row.time <= seconds)
        events = self.path / "events.jsonl"
        if events.exists():  # without what was being written when the peer was killed
            write_whole(events, b"".join(whole_lines(events)).decode("utf-8", "replace"))
        return rows[-1] if rows else None

    def addresses(self, listen: tuple[str, int] | None, watch: tuple[str, int] | None) -> None:
        """Say where the peer listens, and where it can be watched."""
        write_whole(self.path / "addresses.json", strict_json({"listen": listen, "watch": watch}))

    def row(self, row: Mapping[str, Any]) -> None:
        self._append("history.jsonl", row)

    def event(self, peer: PeerId, neighbor: PeerId, event: str, seconds: float) -> None:
        self._append(
            "events.jsonl",
            {"wall": time.time(), "time": seconds, "peer": peer, "neighbor": neighbor, "event": event},
        )

    def agreed(self, agreement: Agreement, seconds: float) -> None:
        self._append("agreed.jsonl", {"wall": time.time(), "time": seconds, **agreement.values()})

    def finish(self, model: ModelVectors, constants: str | None = None) -> Path:
        """Write the final weights, noting the digest of the `constants` that belong to them; gives their path."""
        path = self.path / _FINAL
        vectors = {"weights": model.weights, "statistics": model.statistics, "local": model.local}
        held = {name: vector for name, vector in vectors.items() if vector.size}
        write_arrays(path, held, metadata_of(constants))
        return path

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(strict_json(row) + "\n")


def _keep(path: Path, kind: type[Row], is_kept: Callable[[Row], bool]) -> list[Row]:
    """Drop the other rows of a file, and give those that are kept."""
    read = zip(whole_lines(path), rows_of(path, kind), strict=True)
    kept = [(line, row) for line, row in read if is_kept(row)]
    write_whole(path, b"".join(line for line, _ in kept).decode())
    return [row for _, row in kept]


def _is_own(path: Path) -> bool:
    """True if a directory holds nothing but what a peer leaves that was stopped before its first checkpoint."""
    names = {name for own in _FILES for name in (own, f".{own}.unfinished")} | {_FIRST_CHECKPOINT}
    return path.is_dir() and {entry.name for entry in path.iterdir()} - names <= {"weights"}
