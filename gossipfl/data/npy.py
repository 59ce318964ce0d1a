"""Arrays in files of their own, `x_train.npy` and so on: they are mapped into memory, and may be larger than it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.named_arrays import read_arrays
from gossipfl.data.npz import read_header
from gossipfl.data.parts import Parts
from gossipfl.data.reading import Reading
from gossipfl.errors import DataError


def read_npy(directory: Path, name: str, reading: Reading) -> Parts:
    """The arrays in the `.npy` files of a directory, by the names of the files; see `read_arrays`.

    Raises DataError when there is no such directory, or a file is not exactly an array of plain numbers.
    """
    directory = directory.expanduser()
    if not directory.is_dir():
        raise DataError(
            f"{name}: {directory} is not a directory; expected one with x.npy and y.npy, or x_train.npy, ..."
        )
    names = [path.stem for path in directory.iterdir() if path.suffix == ".npy"]
    return read_arrays(
        names, lambda stem: mapped_array(directory / f"{stem}.npy", f"{name}: {stem}.npy"), reading, name
    )


def mapped_array(path: Path, what: str) -> NDArray[Any]:
    """The array in a file, read-only; its values are read from disk when they are used.

    Raises DataError, beginning with `what`, when header and length of the file do not agree.
    """
    try:
        with path.open("rb") as stream:
            shape, fortran_order, dtype = read_header(stream, what)
            offset = stream.tell()
            num_bytes = math.prod(shape) * dtype.itemsize
            if path.stat().st_size != offset + num_bytes:
                raise DataError(
                    f"{what} of shape {shape} must have exactly {num_bytes} bytes, got {path.stat().st_size - offset}"
                )
        if not num_bytes:
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, "r", offset, shape, "F" if fortran_order else "C")
    except OSError as error:
        raise DataError(f"{what} cannot be read: {error.strerror or error}") from error
