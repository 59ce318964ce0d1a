import sys

import numpy as np
import pytest

from gossipfl.files import parked as module
from gossipfl.files.parked import leave_memory, parked
from gossipfl.weights import frozen


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_parked_vector_is_what_it_was_and_leaves_no_file(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(module, "LARGE", 8)
    vector = np.random.default_rng(0).normal(size=100_000).astype(dtype)
    waiting = parked(vector, tmp_path)
    assert not list(tmp_path.iterdir())
    for _ in range(2):
        assert waiting.tobytes() == vector.tobytes()
        assert (waiting.dtype, waiting.shape) == (vector.dtype, vector.shape)
        leave_memory(waiting[10:])
    assert frozen(waiting) is waiting
    assert parked(waiting, tmp_path) is waiting


def test_what_is_small_or_not_parked_stays_where_it_is(tmp_path):
    vector = np.ones(10, np.float32)
    assert parked(vector, tmp_path) is vector
    leave_memory(vector)
    assert vector.tolist() == [1.0] * 10


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_a_large_one_takes_memory_only_when_it_is_read(tmp_path):
    waiting = parked(np.ones(16 * 2**20, np.float32), tmp_path)
    before = resident()
    assert waiting.sum() == waiting.size
    assert resident() - before > 48 * 2**20
    leave_memory(waiting)
    assert resident() - before < 16 * 2**20
