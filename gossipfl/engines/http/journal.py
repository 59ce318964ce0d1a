"""Checkpoints of one peer: two generations, each whole or not there, and nothing is said before it is on disk.

Output commit: what a peer says (a message, or that one has arrived) leaves this host only after a checkpoint that knows
of it. So to others, a peer that was killed and resumed was only slow: it cannot have forgotten what it told them.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError
from gossipfl.whole_files import durable

Arrays: TypeAlias = Mapping[str, NDArray[Any]]

GENERATIONS = ("checkpoint-a.safetensors", "checkpoint-b.safetensors")
_INCARNATION = "incarnation"

_TENSOR_DTYPES = {f"{kind}{bits}": f"{kind[0].upper()}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
_TENSOR_DTYPES |= {"float16": "F16", "float32": "F32", "float64": "F64", "bool": "BOOL"}
_NUMPY_DTYPES = {tensor: name for name, tensor in _TENSOR_DTYPES.items()}

# A file begins with the length of its header, and the header with the digest of all other bytes of the file.
_BEFORE_DIGEST = b'{"__metadata__": {"digest": "'
_DIGEST = slice(8 + len(_BEFORE_DIGEST), 8 + len(_BEFORE_DIGEST) + 64)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Arrays by name, and JSON-ready values; `number` counts the checkpoints of a run directory."""

    number: int
    arrays: Arrays
    values: Mapping[str, Any]


class Journal:
    """Writes checkpoints, one at a time; whoever asks for one while another is written shares the next.

    `take` gives the present state, without waiting and without copying: arrays are read-only.
    """

    def __init__(self, directory: Path, take: Callable[[], Awaitable[tuple[Arrays, Mapping[str, Any]]]]) -> None:
        self._directory = directory
        self._take = take
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._number = max((found.number for found in checkpoints(directory)), default=0)
        self.seconds = 0.0
        """Time spent on writing."""

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
        self._number += 1
        checkpoint = Checkpoint(self._number, *await self._take())
        await loop.run_in_executor(self._thread, write_checkpoint, self._directory, checkpoint)
        self.seconds += loop.time() - began


def write_checkpoint(directory: Path, checkpoint: Checkpoint) -> None:
    """Replace the older generation, in the safetensors format; arrays that are one object are written once."""
    names: dict[int, str] = {}
    aliases: dict[str, str] = {}
    header: dict[str, Any] = {}
    parts: list[memoryview] = []
    offset = 0
    for name, array in checkpoint.arrays.items():
        if id(array) in names:
            aliases[name] = names[id(array)]
            continue
        names[id(array)] = name
        part = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        header[name] = {
            "dtype": _TENSOR_DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        parts.append(part)
        offset += array.nbytes
    values = json.dumps({"number": checkpoint.number, "aliases": aliases, "values": checkpoint.values})
    text = json.dumps({"__metadata__": {"digest": "0" * 64, "gossipfl": values}, **header}).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    beginning = bytearray(len(text).to_bytes(8, "little") + text)
    beginning[_DIGEST] = _digest(memoryview(beginning), *parts)
    with durable(directory / GENERATIONS[checkpoint.number % 2]) as file:
        file.write(beginning)
        for part in parts:
            file.write(part)


def newest_checkpoint(directory: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole; None when there is none."""
    return max(checkpoints(directory), key=lambda checkpoint: checkpoint.number, default=None)


def checkpoints(directory: Path) -> list[Checkpoint]:
    """All generations that are whole."""
    found = (read_checkpoint(directory / name) for name in GENERATIONS)
    return [checkpoint for checkpoint in found if checkpoint is not None]


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint in a file; None when there is none, or when a bit of it is not what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if content[_DIGEST] != _digest(memoryview(content)):
        return None
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    known = json.loads(header.pop("__metadata__")["gossipfl"])
    body = memoryview(content)[end:]
    arrays = {}
    for name, tensor in header.items():
        first, last = tensor["data_offsets"]
        arrays[name] = np.frombuffer(body[first:last], _NUMPY_DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
    arrays |= {name: arrays[other] for name, other in known["aliases"].items()}
    return Checkpoint(known["number"], arrays, known["values"])


def next_incarnation(directory: Path) -> int:
    """A number that no earlier start from this directory has used, on disk before it is given.

    Raises ConfigurationError when the file that holds the last one is garbled.
    """
    path = directory / _INCARNATION
    try:
        last = int(path.read_text("ascii")) if path.exists() else 0
    except ValueError as error:
        raise ConfigurationError(
            f"{path} should hold the number of this peer's last start; write there a number higher than any before"
        ) from error
    with durable(path) as file:
        file.write(b"%d\n" % (last + 1))
    return last + 1


def _digest(beginning: memoryview, *rest: memoryview) -> bytes:
    """BLAKE3 (hex) of the bytes of a file, those of the digest itself left out."""
    digest = blake3(beginning[: _DIGEST.start])
    for part in (beginning[_DIGEST.stop :], *rest):
        digest.update(part)
    return digest.hexdigest().encode()
