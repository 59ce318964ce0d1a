"""The run directory of one peer on its host: what it writes while it runs.

manifest.json, history.jsonl, events.jsonl, weights/final.safetensors   as `gossipfl.peer_records` reads them
addresses.json            where it listens, and where it can be watched
checkpoint-*.safetensors  two generations (`gossipfl.engines.http.journal`)
incarnation               number of its last start
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.run_directory import make_run_directory
from gossipfl.strict_json import strict_json
from gossipfl.weight_files import metadata_of
from gossipfl.weights import ModelVectors, PeerId
from gossipfl.whole_files import write_whole


class PeerDirectory:
    """Opens, or opens again, the directory of one peer's run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path, *, resume: bool) -> "PeerDirectory":
        """A new directory; with `resume` also one in which the peer has run before.

        Raises ConfigurationError when there is a run in it that is not to be resumed, or something else.
        """
        holds_run = (path / "manifest.json").is_file()
        if holds_run and not resume:
            raise ConfigurationError(
                f"{path} holds a run already; go on with it (--resume), or give another --run-directory"
            )
        is_begun = holds_run or (resume and _was_just_begun(path))
        make_run_directory(path, "--run-directory", may_be_begun=is_begun)
        return cls(path)

    def begin(self, manifest: Mapping[str, Any], last_round: int) -> int:
        """Write the manifest of a new run, or check that a resumed one is the same, and drop what was measured after
        round `last_round`, from which it goes on; gives the last round that has been measured, -1 for none.

        Raises ConfigurationError when the directory holds another run.
        """
        path = self.path / "manifest.json"
        if not path.is_file():
            write_whole(path, strict_json(manifest, indent=1))
            (self.path / "history.jsonl").touch()
            return -1
        before = json.loads(path.read_text("utf-8"))
        if (before.get("run_id"), before.get("peer")) != (manifest["run_id"], manifest["peer"]):
            raise ConfigurationError(
                f"{self.path} holds the run of another peer, scenario, model or seed; give another --run-directory"
            )
        history = self.path / "history.jsonl"
        lines = [line for line in history.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]
        rounds = [int(json.loads(line)["round"]) for line in lines]
        kept = [line for line, round in zip(lines, rounds, strict=True) if round <= last_round]
        write_whole(history, "".join(kept))
        return max((round for round in rounds if round <= last_round), default=-1)

    def addresses(self, listen: tuple[str, int] | None, watch: tuple[str, int]) -> None:
        """Say where the peer listens, and where it can be watched."""
        write_whole(self.path / "addresses.json", strict_json({"listen": listen, "watch": watch}))

    def row(self, row: Mapping[str, Any]) -> None:
        self._append("history.jsonl", row)

    def event(self, peer: PeerId, neighbor: PeerId, event: str, seconds: float) -> None:
        self._append(
            "events.jsonl",
            {"wall": time.time(), "time": seconds, "peer": peer, "neighbor": neighbor, "event": event},
        )

    def finish(self, model: ModelVectors, constants: str | None = None) -> Path:
        """Write the final weights, noting the digest of the `constants` that belong to them; gives their path."""
        from safetensors.numpy import save_file

        path = self.path / "weights" / "final.safetensors"
        vectors = {"weights": model.weights, "statistics": model.statistics}
        unfinished = path.with_name(".final.unfinished")
        held = {name: vector for name, vector in vectors.items() if vector.size}
        save_file(held, unfinished, metadata_of(constants))
        unfinished.replace(path)
        return path

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(strict_json(row) + "\n")


def _was_just_begun(path: Path) -> bool:
    """Whether a directory holds what a peer leaves that was stopped before it wrote its manifest, and nothing else."""
    own = {"weights", "incarnation", ".incarnation.unfinished", ".manifest.json.unfinished"}
    return path.is_dir() and {entry.name for entry in path.iterdir()} <= own
