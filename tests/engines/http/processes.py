"""Starts, kills, stops and resumes peers that are processes of their own (`one_peer.py`)."""

import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from deadline import DEADLINE
from one_peer import GRAPHS, Settings, live

from gossipfl.files.checkpoints import newest_checkpoint

_FORK_SERVER = multiprocessing.get_context("forkserver")  # imports take a second, a fork some milliseconds


class Processes:
    """One process per peer of a graph."""

    def __init__(self, directory: Path, graph: str, algorithm: str, **options: Any) -> None:
        self.names = list(GRAPHS[graph])
        self._holders = {name: _held_port() for name in self.names}
        ports = {name: holder.getsockname()[1] for name, holder in self._holders.items()}
        self.settings = {
            name: Settings(name, directory / name, ports, graph, algorithm, **options) for name in self.names
        }
        self._running: dict[str, tuple[ForkServerProcess, Connection]] = {}

    def start(self, *names: str) -> None:
        """Start, or resume, all peers or some; ends when they listen."""
        _preload()
        for name in names or self.names:
            self.settings[name].directory.mkdir(exist_ok=True)
            here, there = _FORK_SERVER.Pipe(duplex=False)
            process = _FORK_SERVER.Process(target=live, args=(self.settings[name], there))
            process.start()
            there.close()
            self._running[name] = process, here
        for name in names or self.names:
            try:
                assert self._running[name][1].poll(DEADLINE)
                self._running[name][1].recv()
            except EOFError:
                raise AssertionError(self.errors(name)) from None

    def kill(self, name: str) -> None:
        process, ready = self._running.pop(name)
        process.kill()
        process.join()
        process.close()
        ready.close()

    def send(self, name: str, number: signal.Signals) -> None:
        pid = self._running[name][0].pid
        assert pid is not None
        os.kill(pid, number)

    def is_running(self, name: str) -> bool:
        return name in self._running and self._running[name][0].is_alive()

    def round(self, name: str) -> int:
        """How far a peer is, by its newest checkpoint."""
        checkpoint = newest_checkpoint(self.settings[name].directory)
        return 0 if checkpoint is None else checkpoint.values["peer"]["round"]

    def wait_for_round(self, number: int, *names: str, timeout: float = DEADLINE) -> None:
        """Until these peers have done so many rounds."""
        deadline = time.monotonic() + timeout
        while any(self.round(name) < number for name in names or self.names):
            assert time.monotonic() < deadline, [self.round(name) for name in self.names]
            time.sleep(0.01)

    def wait(self, *names: str, timeout: float = DEADLINE) -> None:
        """Until they have ended by themselves."""
        for name in names or self.names:
            process, _ = self._running[name]
            process.join(timeout)
            assert process.exitcode == 0, self.errors(name)

    def errors(self, name: str) -> str:
        return f"peer {name}: {(self.settings[name].directory / 'stderr.txt').read_text()}"

    def outcome(self, name: str) -> dict[str, Any]:
        """What a peer that has ended says of itself."""
        return json.loads((self.settings[name].directory / "outcome.json").read_text())

    def weights(self, *names: str) -> np.ndarray:
        """One row per peer."""
        return np.stack([np.load(self.settings[name].directory / "weights.npy") for name in names or self.names])

    def close(self) -> None:
        for name in list(self._running):
            self.kill(name)
        for holder in self._holders.values():
            holder.close()


@contextmanager
def processes(directory: Path, graph: str, algorithm: str, **options: Any) -> Iterator[Processes]:
    started = Processes(directory, graph, algorithm, **options)
    try:
        yield started
    finally:
        started.close()


def _preload() -> None:
    """The fork server imports what peers need; of this process it inherits nothing but the environment."""
    _FORK_SERVER.set_forkserver_preload(["one_peer"])
    with patch.dict(os.environ, {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}):
        forkserver.ensure_running()


def _held_port() -> socket.socket:
    """A socket that does not listen, but keeps its port from everybody who does not share it on purpose."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    return holder
