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

_TENSOR_DTYPES = {"float32": "F32", "float64": "F64", "float16": "F16", "int64": "I64", "int32": "I32", "uint8": "U8"}
_NUMPY_DTYPES = {tensor: name for name, tensor in _TENSOR_DTYPES.items()}


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
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._number = max((found.number for found in checkpoints(directory)), default=0)
        self.seconds = 0.0
        """Time spent on writing."""

    async def commit(self) -> None:
        """Return when all that has happened is on disk. Raises OSError when it cannot be written."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())
        await done

    async def close(self) -> None:
        if self._task is not None:
            await asyncio.wait([self._task])
        self._thread.shutdown()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            began = loop.time()
            arrays, values = await self._take()
            self._number += 1
            checkpoint = Checkpoint(self._number, arrays, values)
            try:
                await loop.run_in_executor(self._thread, write_checkpoint, self._directory, checkpoint)
            except OSError as error:
                for done in waiting:
                    if not done.done():
                        done.set_exception(error)
                continue
            self.seconds += loop.time() - began
            for done in waiting:
                if not done.done():
                    done.set_result(None)


def write_checkpoint(directory: Path, checkpoint: Checkpoint) -> None:
    """Replace the older generation, in the safetensors format; arrays that are one object are written once."""
    names: dict[int, str] = {}
    aliases: dict[str, str] = {}
    header: dict[str, Any] = {}
    parts: list[memoryview] = []
    digest = blake3()
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
        digest.update(part)
        parts.append(part)
        offset += array.nbytes
    values = json.dumps({"number": checkpoint.number, "aliases": aliases, "values": checkpoint.values})
    header["__metadata__"] = {"gossipfl": values, "arrays": digest.hexdigest(), "digest": _hash(values)}
    text = json.dumps(header).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    with durable(directory / GENERATIONS[checkpoint.number % 2]) as file:
        file.write(len(text).to_bytes(8, "little") + text)
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
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:end])
        metadata = header.pop("__metadata__")
        body = memoryview(content)[end:]
        if blake3(body).hexdigest() != metadata["arrays"] or _hash(metadata["gossipfl"]) != metadata["digest"]:
            return None
        known = json.loads(metadata["gossipfl"])
        arrays = {}
        for name, tensor in header.items():
            first, last = tensor["data_offsets"]
            array = np.frombuffer(body[first:last], _NUMPY_DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
            arrays[name] = array
        arrays |= {name: arrays[other] for name, other in known["aliases"].items()}
        return Checkpoint(known["number"], arrays, known["values"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


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


def _hash(text: str) -> str:
    return blake3(text.encode()).hexdigest()
