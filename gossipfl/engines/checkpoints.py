"""Checkpoints: arrays and values on disk, in two generations, each whole or not there.

A checkpoint replaces the older of the two, so that the newer one is left when writing ends in the middle.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from gossipfl.whole_files import durable

Arrays: TypeAlias = Mapping[str, NDArray[Any]]

GENERATIONS = ("checkpoint-a.safetensors", "checkpoint-b.safetensors")

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


def _digest(beginning: memoryview, *rest: memoryview) -> bytes:
    """BLAKE3 (hex) of the bytes of a file, those of the digest itself left out."""
    digest = blake3(beginning[: _DIGEST.start])
    for part in (beginning[_DIGEST.stop :], *rest):
        digest.update(part)
    return digest.hexdigest().encode()
