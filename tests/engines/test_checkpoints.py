"""Checkpoint files: as they were written, or not there."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from gossipfl.engines.checkpoints import GENERATIONS, Checkpoint, newest_checkpoint, read_checkpoint, write_checkpoint

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
SHARED = np.arange(5, dtype=np.float32)
ARRAYS = {
    "weights": SHARED,
    "the same": SHARED,
    "empty": np.zeros(0, np.float32),
    "integers": np.arange(3, dtype=np.int64),
    "seed generator": np.arange(2, dtype=np.uint32),
    "matrix": np.eye(3),
    "flag": np.array(True),
    "strided": np.arange(10.0)[::2],
}


def write(directory: Path, number: int, **values: Any) -> Path:
    write_checkpoint(directory, Checkpoint(number, ARRAYS, values))
    return directory / GENERATIONS[number % 2]


class TestFiles:
    def test_a_checkpoint_is_read_as_it_was_written(self, tmp_path):
        found = read_checkpoint(write(tmp_path, 7, time=1.5, names=["ä", "b"], nothing=None))
        assert found.number == 7
        assert found.values == {"time": 1.5, "names": ["ä", "b"], "nothing": None}
        assert found.arrays.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            assert (found.arrays[name].dtype, found.arrays[name].shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(found.arrays[name], array)

    def test_arrays_that_are_one_object_are_written_once(self, tmp_path):
        path = write(tmp_path, 1)
        assert "the same" not in load_file(path)
        found = read_checkpoint(path)
        assert found.arrays["the same"] is found.arrays["weights"]

    def test_other_programs_open_it(self, tmp_path):
        for name, array in load_file(write(tmp_path, 1)).items():
            np.testing.assert_array_equal(array, ARRAYS[name])

    def test_two_generations_are_kept(self, tmp_path):
        for number in range(1, 6):
            write(tmp_path, number)
            assert newest_checkpoint(tmp_path).number == number
        assert sorted(path.name for path in tmp_path.iterdir()) == list(GENERATIONS)
        assert {read_checkpoint(tmp_path / name).number for name in GENERATIONS} == {4, 5}

    def test_there_may_be_none(self, tmp_path):
        assert newest_checkpoint(tmp_path) is None
        assert newest_checkpoint(tmp_path / "nowhere") is None

    def test_a_full_disk_leaves_what_was_there(self, tmp_path, monkeypatch):
        write(tmp_path, 1)
        write(tmp_path, 2)

        def full(descriptor: int) -> None:
            raise NO_SPACE

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path, 3)
        assert {read_checkpoint(tmp_path / name).number for name in GENERATIONS} == {1, 2}
        assert len(list(tmp_path.iterdir())) == 2

    def test_what_cannot_be_written_is_an_error(self, tmp_path):
        with pytest.raises(KeyError):
            write_checkpoint(tmp_path, Checkpoint(1, {"text": np.array(["a"])}, {}))
        with pytest.raises(TypeError):
            write_checkpoint(tmp_path, Checkpoint(1, {}, {"array": SHARED}))
        assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A directory with the checkpoints 3 and 4, and the content of the newer one."""
    directory = tmp_path_factory.mktemp("two")
    write(directory, 3, older=True)
    return directory, write(directory, 4, newer=True), write(directory, 4, newer=True).read_bytes()


without_deadline = settings(deadline=None)  # a disk is as slow as it is


class TestDamage:
    def found(self, two, content: bytes) -> Checkpoint:
        directory, newest, _ = two
        newest.write_bytes(content)
        return newest_checkpoint(directory)

    def test_undamaged_it_is_the_newer_one(self, two):
        assert self.found(two, two[2]).values == {"newer": True}

    @without_deadline
    @given(data=st.data())
    def test_after_any_truncation_the_older_one_is_used(self, two, data):
        content = two[2]
        length = data.draw(st.integers(0, len(content) - 1))
        assert self.found(two, content[:length]).values == {"older": True}

    @without_deadline
    @given(data=st.data())
    def test_after_the_change_of_any_byte_the_older_one_is_used(self, two, data):
        content = bytearray(two[2])
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] ^= data.draw(st.integers(1, 255))
        assert self.found(two, bytes(content)).values == {"older": True}

    @without_deadline
    @given(tail=st.binary(min_size=1, max_size=20))
    def test_after_anything_is_appended_the_older_one_is_used(self, two, tail):
        assert self.found(two, two[2] + tail).values == {"older": True}

    @without_deadline
    @given(data=st.data())
    def test_after_a_page_of_zeros_the_older_one_is_used(self, two, data):
        """What a file system may leave of a write that was never synced."""
        content = two[2]
        start = data.draw(st.integers(0, len(content) - 1))
        end = data.draw(st.integers(start + 1, len(content)))
        changed = content[:start] + bytes(end - start) + content[end:]
        expected = {"newer": True} if changed == content else {"older": True}
        assert self.found(two, changed).values == expected

    @without_deadline
    @given(noise=st.binary(max_size=400))
    def test_noise_is_no_checkpoint(self, two, noise):
        assert self.found(two, noise).values == {"older": True}
