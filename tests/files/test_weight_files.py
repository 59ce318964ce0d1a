"""Final weights on disk, whatever the disk says."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from gossipfl.files.weight_files import write_arrays
from gossipfl.training.model_files import read_arrays

resource = pytest.importorskip("resource")


@contextmanager
def at_most(num_bytes: int) -> Iterator[None]:
    """The system refuses to write files that are larger, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_arrays_that_the_disk_does_not_take_are_an_error_of_the_system_and_leave_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "arrays.safetensors"
    write_arrays(path, {"x": np.ones(3)}, {"written": "before"})
    with at_most(1000), pytest.raises(OSError, match="File too large") as refused:
        write_arrays(path, {"x": np.zeros(1000)})
    assert refused.value.errno == errno.EFBIG
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    np.testing.assert_array_equal(read_arrays(path)["x"], np.ones(3))
