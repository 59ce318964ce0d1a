"""MNIST-format (IDX) files: a big-endian header of magic number and sizes, then unsigned bytes; gzipped or not.

The header is not believed: sizes are checked against the length of the file before anything is allocated, and
decompression never yields more than the header announces.
"""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.conversion import check_size
from gossipfl.data.dataset import as_examples
from gossipfl.data.parts import Parts
from gossipfl.errors import DataError

MAX_DEFLATE_RATIO = 1032
"""Deflate cannot expand its input by more (258 bytes from 2 bits)."""

_UNSIGNED_BYTE = 0x08
_CHUNK = 1 << 20


def read_idx(directory: Path, name: str) -> Parts:
    """The parts in the four standard files of a directory, `train-images-idx3-ubyte` and so on, or `.gz`.

    Raises DataError when a file is missing or is not exactly an IDX file of bytes.
    """
    directory = directory.expanduser()
    if not directory.is_dir():
        raise DataError(f"{name}: {directory} is not a directory; expected one with {_standard_names()}")
    arrays = {}
    for part in ("train", "t10k"):
        for content, num_dimensions in (("images", 3), ("labels", 1)):
            path = _find(directory, f"{part}-{content}", num_dimensions, name)
            try:
                check_size((path.stat().st_size,), str(path))
                raw = path.read_bytes()
            except OSError as error:
                raise DataError(f"{name}: cannot read {path}: {error.strerror}") from error
            arrays[part, content] = parse_idx(raw, num_dimensions, str(path))
    return Parts(
        {
            part: as_examples((arrays[stem, "images"], arrays[stem, "labels"]), f"{name}: {part}")
            for part, stem in (("train", "train"), ("test", "t10k"))
        }
    )


def parse_idx(raw: bytes, num_dimensions: int, what: str) -> NDArray[np.uint8]:
    """The array of unsigned bytes in one IDX file, gzipped or not.

    The layout is 0, 0, 8 (unsigned byte), the number of dimensions, each size as a big-endian uint32, and the values in
    C order (http://yann.lecun.com/exdb/mnist). `what` names the file in the DataError that any deviation raises.
    """
    stream: io.BufferedIOBase = io.BytesIO(raw)
    longest = len(raw)
    if raw[:2] == b"\x1f\x8b":
        stream = gzip.GzipFile(fileobj=stream)
        longest *= MAX_DEFLATE_RATIO
    try:
        return _parse(stream, num_dimensions, longest, what)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{what} is not a complete gzip file: {error}; fetch it again") from error


def _parse(stream: io.BufferedIOBase, num_dimensions: int, longest: int, what: str) -> NDArray[np.uint8]:
    expected_magic = bytes((0, 0, _UNSIGNED_BYTE, num_dimensions))
    magic = stream.read(4)
    if magic != expected_magic:
        raise DataError(
            f"{what} is not an IDX file of unsigned bytes in {num_dimensions} dimension(s): it begins with "
            f"{magic.hex() or 'nothing'}, expected {expected_magic.hex()}"
        )
    header = stream.read(4 * num_dimensions)
    if len(header) != 4 * num_dimensions:
        raise DataError(f"{what} ends in its header")
    shape = struct.unpack(f">{num_dimensions}I", header)
    size = math.prod(shape)
    check_size(shape, what)
    if size > longest:
        raise DataError(f"{what} announces {size} bytes of shape {shape}, more than the file can hold")
    values = bytearray()
    while chunk := stream.read(min(_CHUNK, size + 1 - len(values))):
        values += chunk
    if len(values) != size:
        found = "more" if len(values) > size else f"only {len(values)}"
        raise DataError(f"{what} announces {size} bytes of shape {shape}, but has {found}")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _find(directory: Path, stem: str, num_dimensions: int, name: str) -> Path:
    for separator in ("-", "."):
        for suffix in ("", ".gz"):
            path = directory / f"{stem}{separator}idx{num_dimensions}-ubyte{suffix}"
            if path.is_file():
                return path
    raise DataError(
        f"{name}: {stem}-idx{num_dimensions}-ubyte, or the same with .gz, is not in {directory}; "
        f"expected {_standard_names()}"
    )


def _standard_names() -> str:
    return "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte"
