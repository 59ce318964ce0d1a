"""Checkpoints of one peer: two generations, each whole or not there, and nothing is said before it is on disk.

Output commit: what a peer says (a message, or that one has arrived) leaves this host only after a checkpoint that knows
of it. So to others, a peer that was killed and resumed was only slow: it cannot have forgotten what it told them.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.files.checkpoints import Arrays, CheckpointWriter, has_checkpoints
from gossipfl.files.whole_files import durable

_INCARNATION = "incarnation"


class Journal:
    """Writes checkpoints, one at a time; whoever asks for one while another is written shares the next.

    `take` gives the present state, without waiting and without copying: arrays are read-only.
    """

    def __init__(self, directory: Path, take: Callable[[], Awaitable[tuple[Arrays, Mapping[str, Any]]]]) -> None:
        self._writer = CheckpointWriter(directory)
        self._take = take
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self.seconds = 0.0
        """Time spent on writing."""

    @property
    def num_bytes(self) -> int:
        """Bytes written in all."""
        return self._writer.num_bytes

    async def commit(self) -> None:
        """Return when all that has happened is on disk. Raises OSError when it cannot be written."""
        if self._next is None:
            self._next = asyncio.create_task(self._write(self._running))
        await asyncio.shield(self._next)

    async def close(self) -> None:
        for writing in (self._running, self._next):
            if writing is not None:
                await asyncio.wait([writing])
        self._thread.shutdown()

    async def _write(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None  # what happens from now on is for the next one
        loop = asyncio.get_running_loop()
        began = loop.time()
        await loop.run_in_executor(self._thread, self._writer.write, *await self._take())
        self.seconds += loop.time() - began


def next_incarnation(directory: Path) -> int:
    """A number that no earlier start from this directory has used, on disk before it is given.

    Raises ConfigurationError when the file that holds the last one is garbled, or gone from a peer that has run.
    """
    path = directory / _INCARNATION
    text = "" if has_checkpoints(directory) else "0"
    if path.exists():
        text = path.read_text("ascii", "replace")
    if re.fullmatch(r"\d{1,15}\s*", text, re.ASCII) is None:
        raise ConfigurationError(
            f"{path} should hold the number of this peer's last start; write there a number higher than any before"
        )
    last = int(text)
    with durable(path) as file:
        file.write(b"%d\n" % (last + 1))
    return last + 1
