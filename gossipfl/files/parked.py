"""A large vector that waits lies in a file, and is in memory only while somebody reads it."""

import mmap
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.weights import Vector

LARGE = 2**26
"""Bytes from which a vector is worth a file."""


def parked(vector: Vector, directory: Path) -> Vector:
    """An equal vector in a file of `directory`, which has no name and goes with the vector; itself, where it is small
    or parked already.

    Raises OSError when there is no room for it.
    """
    if vector.nbytes < LARGE or _pages(vector) is not None:
        return vector
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(vector.data)
        file.flush()
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(pages, vector.dtype)


def leave_memory(vector: NDArray[Any]) -> None:
    """Free the memory of a parked vector that has been read; whoever reads it again finds it in its file. Any other
    vector stays."""
    pages = _pages(vector)
    if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)


def _pages(vector: NDArray[Any]) -> mmap.mmap | None:
    base: Any = vector.base
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, mmap.mmap) else None
