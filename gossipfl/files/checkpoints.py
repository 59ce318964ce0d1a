"""Checkpoints: arrays and values on disk, in two generations, each whole or not there.

Checkpoint k is the file `checkpoint-k.safetensors`. It holds the arrays that are new; those that the checkpoint before
has as well, being the same objects, are named by file and place and not written again. So a server writes a model that
came in once, and not again with each of the models that come after it. A file is removed when neither of the two newest
checkpoints needs anything in it, and what is left of one that is mostly unneeded is written anew: in all, at most twice
the bytes of new arrays are written, and the files hold at most some twice what the checkpoints need.
"""

import json
import logging
import os
import re
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError
from gossipfl.files.formats import check_format
from gossipfl.files.parked import leave_memory
from gossipfl.files.tensor_dtypes import TENSOR_DTYPES
from gossipfl.files.whole_files import durable

_LOGGER = logging.getLogger(__name__)

Arrays: TypeAlias = Mapping[str, NDArray[Any]]

FORMAT = 1
"""The format of checkpoints, and of what is in them: who changes the snapshot of a peer, a message or an engine raises
it."""

_DTYPES = {**TENSOR_DTYPES, "|b1": "BOOL"}

# A file begins with the length of its header, and the header with the digest of all its other bytes.
_BEFORE_DIGEST = b'{"__metadata__": {"digest": "'
_DIGEST = slice(8 + len(_BEFORE_DIGEST), 8 + len(_BEFORE_DIGEST) + 64)

_PIECE = 2**26

SMALL = 1024
"""Arrays of so many bytes are written again: to name where they are takes a quarter of that."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Arrays by name, and JSON-ready values; `number` counts the checkpoints of a directory."""

    number: int
    arrays: Arrays
    values: Mapping[str, Any]


class _Place(NamedTuple):
    """An array on disk: the number of its file, and where it begins behind that file's header."""

    file: int
    start: int
    dtype: str
    shape: Sequence[int]
    digest: str


class CheckpointWriter:
    """Writes the checkpoints of one directory, one after the other; numbers go on after those that are there.

    Arrays that are read-only must never change: of those that were in the checkpoint before, none is looked at again.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._files = set(_numbers(directory))
        self.number = max(self._files, default=0)
        """The number of the newest checkpoint."""
        self.num_bytes = 0
        """Bytes written in all."""
        self._sizes: Counter[int] = Counter()  # bytes of the arrays in each file
        self._places: dict[int, tuple[weakref.ref[NDArray[Any]], _Place]] = {}  # by identity, in the newest checkpoint
        self._needed: set[int] | None = None  # files that the newest checkpoint needs; None before the first one

    def write(self, arrays: Arrays, values: Mapping[str, Any]) -> Checkpoint:
        """Write a checkpoint. Raises OSError when it cannot be written; then the one before is the newest still."""
        number = self.number + 1
        unique: dict[int, tuple[str, NDArray[Any]]] = {}
        for name, array in arrays.items():
            unique.setdefault(id(array), (name, array))
        places = self._kept(unique)
        parts: list[NDArray[Any]] = []
        header: dict[str, Any] = {}
        offset = 0
        for key, (name, array) in unique.items():
            if key in places:
                continue
            parts.append(np.ascontiguousarray(array))
            places[key] = _Place(number, offset, array.dtype.str, array.shape, _digest_of(_pieces(parts[-1])))
            header[name] = {
                "dtype": _DTYPES[array.dtype.str],
                "shape": array.shape,
                "data_offsets": [offset, offset + array.nbytes],
            }
            offset += array.nbytes
        order = {key: index for index, key in enumerate(places)}
        description = {
            "format": FORMAT,
            "number": number,
            "size": offset,
            "places": list(places.values()),
            "arrays": {name: order[id(array)] for name, array in arrays.items()},
            "values": values,
        }
        beginning = _beginning(description, header)
        with durable(self.directory / _name(number)) as file:
            file.write(beginning)
            for part in parts:
                for piece in _pieces(part):
                    file.write(piece)
        self.number = number
        self.num_bytes += len(beginning) + offset
        self._files.add(number)
        self._sizes[number] = offset
        self._places = {
            key: (weakref.ref(array), places[key])
            for key, (_, array) in unique.items()
            if not array.flags.writeable and array.nbytes > SMALL
        }
        self._forget({number, *(place.file for place in places.values())})
        return Checkpoint(number, arrays, values)

    def _kept(self, unique: Mapping[int, tuple[str, NDArray[Any]]]) -> dict[int, _Place]:
        """Where arrays are that need not be written again."""
        found = {
            key: self._places[key][1]
            for key, (_, array) in unique.items()
            if key in self._places and self._places[key][0]() is array
        }
        needed: Counter[int] = Counter()
        for key, place in found.items():
            needed[place.file] += unique[key][1].nbytes
        return {key: place for key, place in found.items() if 2 * needed[place.file] >= self._sizes[place.file]}

    def _forget(self, needed: set[int]) -> None:
        """Remove what neither the newest checkpoint, which needs those files, nor the one before it needs."""
        if self._needed is not None:  # else the one before was written by an earlier process, and may need any file
            for number in sorted(self._files - needed - self._needed):
                with suppress(OSError):
                    (self.directory / _name(number)).unlink(missing_ok=True)
                    self._files.discard(number)
                    del self._sizes[number]
        self._needed = needed


def newest_checkpoint(directory: Path, way_on: str = "begin a new run in another directory") -> Checkpoint | None:
    """The newest checkpoint that is whole, of the two newest; None when there are none.

    Reads what that checkpoint needs, and holds it once. Raises ConfigurationError, which names the `way_on`, when there
    are some but both are damaged, or they are of another format.
    """
    while numbers := _numbers(directory)[-2:]:
        for number in reversed(numbers):
            with suppress(_DamagedError):
                found = _read(directory, number)
                if number != numbers[-1]:
                    _LOGGER.warning("%s is damaged; going on from the one before", directory / _name(numbers[-1]))
                return found
        if numbers == _numbers(directory)[-2:]:  # else a process is writing there
            names = " and ".join(map(_name, numbers))
            raise ConfigurationError(
                f"{names} in {directory} {'are both' if len(numbers) > 1 else 'is'} damaged, and there is no other "
                f"checkpoint to go on from; {way_on}"
            )
    return None


def has_checkpoints(directory: Path) -> bool:
    """True if there is any in a directory, damaged or not."""
    return bool(_numbers(directory))


class _DamagedError(Exception):
    """A checkpoint is not what was written."""


def _read(directory: Path, number: int) -> Checkpoint:
    try:
        return _checked(directory, number)
    except OSError as error:
        raise _DamagedError from error


def _checked(directory: Path, number: int) -> Checkpoint:
    with (directory / _name(number)).open("rb") as file:
        body, size = _body_and_size(file)
        file.seek(0)
        beginning = file.read(body)
    if beginning[_DIGEST] != _digest_of_beginning(beginning):
        raise _DamagedError
    known = json.loads(json.loads(beginning[8:])["__metadata__"]["gossipfl"])
    check_format(directory / _name(number), known.get("format", 0), FORMAT)
    if size != body + known["size"]:
        raise _DamagedError
    places = [_Place(*place) for place in known["places"]]
    found: list[NDArray[Any]] = [np.empty(place.shape, place.dtype) for place in places]
    order = sorted(range(len(places)), key=lambda index: places[index][:2])
    for other, indices in groupby(order, key=lambda index: places[index].file):
        with (directory / _name(other)).open("rb") as file:
            body, _ = _body_and_size(file)
            for index in indices:
                into = _bytes_of(found[index])
                file.seek(body + places[index].start)
                if file.readinto(into) != len(into) or _digest_of([into]) != places[index].digest:
                    raise _DamagedError
                found[index].setflags(write=False)
    return Checkpoint(known["number"], {name: found[index] for name, index in known["arrays"].items()}, known["values"])


def _body_and_size(file: BufferedReader) -> tuple[int, int]:
    """Where the arrays begin in a file, and its size."""
    body, size = 8 + int.from_bytes(file.read(8), "little"), os.fstat(file.fileno()).st_size
    if body > size:
        raise _DamagedError
    return body, size


def _beginning(description: Mapping[str, Any], header: Mapping[str, Any]) -> bytes:
    """What stands before the arrays, as safetensors has it."""
    text = json.dumps({"__metadata__": {"digest": "0" * 64, "gossipfl": json.dumps(description)}, **header}).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    beginning = bytearray(len(text).to_bytes(8, "little") + text)
    beginning[_DIGEST] = _digest_of_beginning(beginning)
    return bytes(beginning)


def _digest_of_beginning(beginning: bytes | bytearray) -> bytes:
    """BLAKE3 (hex) of the bytes before the arrays, those of the digest itself left out."""
    return blake3(beginning[: _DIGEST.start]).update(beginning[_DIGEST.stop :]).hexdigest().encode()


def _digest_of(pieces: Iterable[memoryview]) -> str:
    """BLAKE3 of 64 bits (hex), which shows damage; it keeps nobody from writing other checkpoints."""
    digest = blake3()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest(length=8)


def _pieces(array: NDArray[Any]) -> Iterator[memoryview]:
    """The bytes of an array, of which no more than a piece comes into memory where it is parked."""
    whole = _bytes_of(array)
    for start in range(0, len(whole), _PIECE):
        yield whole[start : start + _PIECE]
        leave_memory(array)


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _name(number: int) -> str:
    return f"checkpoint-{number}.safetensors"


def _numbers(directory: Path) -> list[int]:
    """The numbers of the checkpoints in a directory, from the oldest to the newest."""
    if not directory.is_dir():
        return []
    found = (re.fullmatch(r"checkpoint-(\d{1,18})\.safetensors", entry.name) for entry in os.scandir(directory))
    return sorted(int(match[1]) for match in found if match is not None)
