"""NumPy archives with the arrays `x_train`, `y_train`, `x_test`, `y_test` (Keras's `mnist.npz`), or `x` and `y`.

Nothing is unpickled, and a header's shape is checked against the stored length before anything is allocated.
"""

import math
import re
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.conversion import MAX_FEATURE_BYTES
from gossipfl.data.idx import MAX_DEFLATE_RATIO
from gossipfl.data.named_arrays import read_arrays
from gossipfl.data.parts import Parts
from gossipfl.data.reading import Reading
from gossipfl.errors import DataError

_CHUNK = 1 << 20
_MAX_HEADER = 10_000  # as numpy.lib.format
_HEADER = re.compile(
    r"\{'descr': (?P<dtype>.+), 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(\d{1,15}L?(, ?|(?=\)))){0,32})\),? ?\}\s*"
)
_NUMBER = re.compile(r"[<>|=](b1|[iu][1248]|f[248])")


def read_npz(path: Path, name: str, reading: Reading) -> Parts:
    """The arrays of an `.npz` file, by their names; see `read_arrays`. Those that are not used are not read.

    Raises DataError when the file is missing, is not an archive of plain numeric arrays, or lacks an array.
    """
    path = path.expanduser()
    if not path.is_file():
        raise DataError(
            f"{name}: there is no file {path}; expected an .npz with x_train, y_train, x_test, y_test, or x and y"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.removesuffix(".npy"): member for member in archive.namelist() if member.endswith(".npy")}

            def read(array: str) -> NDArray[Any]:
                return read_member(archive, archive.getinfo(members[array]), f"{name}: array {array!r}")

            return read_arrays(members, read, reading, name)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{name}: {path} is not a readable .npz file: {error}") from error


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, what: str) -> NDArray[Any]:
    """One array of an archive. Raises DataError, beginning with `what`, unless it is exactly one of plain numbers."""
    if member.file_size > min(MAX_FEATURE_BYTES, 128 + member.compress_size * MAX_DEFLATE_RATIO):
        raise DataError(f"{what} announces {member.file_size} bytes, more than can be real or held")
    with archive.open(member) as stream:
        shape, fortran_order, dtype = read_header(stream, what)
        num_bytes = math.prod(shape) * dtype.itemsize
        if num_bytes > member.file_size:
            raise DataError(
                f"{what} of shape {shape} announces {num_bytes} bytes, but has less than {member.file_size}"
            )
        values = bytearray()
        while chunk := stream.read(min(_CHUNK, num_bytes + 1 - len(values))):
            values += chunk
    if len(values) != num_bytes:
        raise DataError(f"{what} of shape {shape} must have exactly {num_bytes} bytes")
    return np.frombuffer(values, dtype=dtype).reshape(shape, order="F" if fortran_order else "C")


def read_header(stream: IO[bytes], what: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and dtype of an array, as NumPy writes them (numpy.lib.format, versions 1.0 and 2.0).

    A regular expression, because NumPy's own reader evaluates the header as a Python literal, which garbage can make
    fail in many ways.
    """
    magic = stream.read(8)
    if magic[:6] != b"\x93NUMPY" or magic[6:] not in (b"\x01\x00", b"\x02\x00"):
        raise DataError(f"{what} is not a NumPy array of version 1.0 or 2.0: it begins with {magic.hex() or 'nothing'}")
    length = int.from_bytes(stream.read(2 if magic[6] == 1 else 4), "little")
    header = stream.read(min(length, _MAX_HEADER)).decode("latin-1")
    match = _HEADER.fullmatch(header)
    if length > _MAX_HEADER or not match:
        raise DataError(f"{what} has no proper NumPy header: {header[:80]!r}")
    dtype = match["dtype"].strip("'")
    if not _NUMBER.fullmatch(dtype):
        raise DataError(f"{what} must be plain numbers, got dtype {dtype}; nothing is unpickled")
    shape = tuple(int(size) for size in re.findall(r"\d+", match["shape"]))
    return shape, match["fortran"] == "True", np.dtype(dtype)
