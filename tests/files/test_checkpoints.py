"""Checkpoint files: as they were written, or not there."""

import errno
import stat
import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from gossipfl.errors import ConfigurationError
from gossipfl.files import checkpoints
from gossipfl.files.checkpoints import SMALL, Checkpoint, CheckpointWriter, has_checkpoints, newest_checkpoint

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


def frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


def large(value: float, size: int = 150_000) -> np.ndarray:
    """A read-only array of more than 1 MiB."""
    return frozen(np.full(size, value))


def path_of(directory: Path, number: int) -> Path:
    return directory / f"checkpoint-{number}.safetensors"


def write(writer: CheckpointWriter, directory: Path, **values: Any) -> Path:
    return path_of(directory, writer.write(ARRAYS, values).number)


class TestFiles:
    def test_a_checkpoint_is_read_as_it_was_written(self, tmp_path):
        write(CheckpointWriter(tmp_path), tmp_path, time=1.5, names=["ä", "b"], nothing=None)
        found = newest_checkpoint(tmp_path)
        assert found.number == 1
        assert found.values == {"time": 1.5, "names": ["ä", "b"], "nothing": None}
        assert found.arrays.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            assert (found.arrays[name].dtype, found.arrays[name].shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(found.arrays[name], array)
            assert not found.arrays[name].flags.writeable

    def test_arrays_that_are_one_object_are_written_once(self, tmp_path):
        path = write(CheckpointWriter(tmp_path), tmp_path)
        assert "the same" not in load_file(path)
        found = newest_checkpoint(tmp_path)
        assert found.arrays["the same"] is found.arrays["weights"]

    def test_other_programs_open_it(self, tmp_path):
        for name, array in load_file(write(CheckpointWriter(tmp_path), tmp_path)).items():
            np.testing.assert_array_equal(array, ARRAYS[name])

    def test_other_users_of_the_host_cannot_read_it(self, tmp_path):
        CheckpointWriter(tmp_path).write(ARRAYS, {"secret of": "an open step"})
        assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [0o600]

    def test_two_generations_are_kept(self, tmp_path):
        writer = CheckpointWriter(tmp_path)
        for number in range(1, 6):
            write(writer, tmp_path)
            assert newest_checkpoint(tmp_path).number == writer.number == number
        assert sorted(tmp_path.iterdir()) == [path_of(tmp_path, number) for number in (4, 5)]

    def test_numbers_go_on_after_those_that_are_there(self, tmp_path):
        for _ in range(3):
            write(CheckpointWriter(tmp_path), tmp_path)
        assert newest_checkpoint(tmp_path).number == 3

    def test_another_process_keeps_what_was_there_until_it_has_two_of_its_own(self, tmp_path):
        writer = CheckpointWriter(tmp_path)
        for number in range(3):
            writer.write({"kept": large(1.0)} if number == 0 else newest_checkpoint(tmp_path).arrays, {})
        again = CheckpointWriter(tmp_path)
        path = write(again, tmp_path, new=True)
        path.write_bytes(b"")
        assert newest_checkpoint(tmp_path).number == 3
        for _ in range(2):
            write(again, tmp_path)
        assert sorted(tmp_path.iterdir()) == [path_of(tmp_path, number) for number in (5, 6)]

    def test_there_may_be_none(self, tmp_path):
        assert newest_checkpoint(tmp_path) is None
        assert newest_checkpoint(tmp_path / "nowhere") is None
        assert not has_checkpoints(tmp_path)

    @pytest.mark.parametrize("shared", [False, True])
    def test_a_full_disk_leaves_what_was_there(self, tmp_path, monkeypatch, shared):
        writer, arrays = CheckpointWriter(tmp_path), {"x": large(1.0)}
        for number in range(2):
            writer.write(arrays if shared else {"x": large(number)}, {})

        def full(descriptor: int) -> None:
            raise NO_SPACE

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(OSError, match="No space left"):
                writer.write(arrays | {"y": large(2.0)}, {})
        assert len(list(tmp_path.iterdir())) == 2
        assert newest_checkpoint(tmp_path).number == 2
        writer.write(arrays | {"y": large(3.0)}, {})
        assert newest_checkpoint(tmp_path).arrays["y"][0] == 3.0

    def test_what_cannot_be_written_is_an_error(self, tmp_path):
        writer = CheckpointWriter(tmp_path)
        with pytest.raises(KeyError):
            writer.write({"text": np.array(["a"])}, {})
        with pytest.raises(TypeError):
            writer.write({}, {"array": SHARED})
        assert not list(tmp_path.iterdir())


class TestWrittenOnce:
    """Arrays that the checkpoint before has are not written again."""

    def test_models_that_come_in_are_written_once(self, tmp_path):
        writer, received = CheckpointWriter(tmp_path), {}
        for number in range(30):
            received[str(number)] = large(number)
            writer.write(received, {})
        came_in = sum(array.nbytes for array in received.values())
        assert came_in < writer.num_bytes < 1.01 * came_in
        found = newest_checkpoint(tmp_path)
        assert {name: array[0] for name, array in found.arrays.items()} == {str(k): k for k in range(30)}
        for _ in range(2):  # the round is over
            writer.write({"mean": large(0.5)}, {})
        assert sorted(tmp_path.iterdir()) == [path_of(tmp_path, number) for number in (31, 32)]

    def test_what_may_change_is_written_every_time(self, tmp_path):
        writer, array = CheckpointWriter(tmp_path), np.zeros(150_000)
        for value in range(3):
            array[:] = value
            writer.write({"x": array}, {})
            assert (newest_checkpoint(tmp_path).arrays["x"] == value).all()

    def test_another_array_at_the_same_address_is_another(self, tmp_path):
        writer = CheckpointWriter(tmp_path)
        for value in range(20):
            writer.write({"x": large(value)}, {})  # freed at once, so that the next one may take its place
            assert (newest_checkpoint(tmp_path).arrays["x"] == value).all()

    def test_no_array_is_kept_in_memory(self, tmp_path):
        writer, array = CheckpointWriter(tmp_path), large(1.0)
        writer.write({"x": array}, {})
        known = weakref.ref(array)
        del array
        assert known() is None

    @settings(deadline=None, max_examples=25)
    @given(data=st.data())
    def test_any_history_is_read_back_and_costs_at_most_twice_what_is_new(self, tmp_path_factory, data):
        directory = tmp_path_factory.mktemp("history")
        writer, held, num_before, new, header = CheckpointWriter(directory), {}, 0, 0, 0
        for number in range(data.draw(st.integers(1, 12))):
            for name in data.draw(st.sets(st.sampled_from("abcdef"))):
                held.pop(name, None)
            for name in data.draw(st.sets(st.sampled_from("abcdef"), max_size=3)):
                held[name] = frozen(np.full(data.draw(st.sampled_from([10, 300, 2_000, 20_000])), float(number)))
                new += held[name].nbytes
            writer.write(dict(held), {"number": number})
            header += 4096 + sum(array.nbytes for array in held.values() if array.nbytes <= SMALL)
            found = newest_checkpoint(directory)
            assert found.arrays.keys() == held.keys()
            assert all(np.array_equal(found.arrays[name], held[name]) for name in held)
            assert writer.num_bytes <= 2 * new + header
            assert len(list(directory.iterdir())) <= len(held) + num_before + 2
            num_before = len(held)

    def test_what_is_left_of_a_file_does_not_keep_it_for_ever(self, tmp_path):
        writer, kept = CheckpointWriter(tmp_path), large(0.0)
        writer.write({"kept": kept} | {str(k): large(k) for k in range(3)}, {})
        for number in range(3):
            writer.write({"kept": kept, "other": large(number)}, {})
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4.1 * kept.nbytes
        assert not path_of(tmp_path, 1).exists()

    @pytest.mark.parametrize("damage", ["removed", "cut", "changed"])
    def test_damage_in_a_file_that_two_checkpoints_need_leaves_none(self, tmp_path, damage):
        writer, kept = CheckpointWriter(tmp_path), large(0.0)
        for number in range(3):
            writer.write({"kept": kept, "other": large(number)}, {})
        first = path_of(tmp_path, 1)
        content = bytearray(first.read_bytes())
        content[-2_000_000] ^= 1
        if damage == "removed":
            first.unlink()
        else:
            first.write_bytes(content[:-2_000_000] if damage == "cut" else content)
        with pytest.raises(
            ConfigurationError, match=r"checkpoint-2.safetensors and checkpoint-3.safetensors in .* dama"
        ):
            newest_checkpoint(tmp_path)


def test_reading_holds_one_checkpoint_once(tmp_path):
    """And reads only what the newest one needs."""
    writer, size = CheckpointWriter(tmp_path), 8 * 150_000
    for generation in range(2):
        writer.write({str(k): large(generation) for k in range(20)}, {})
    tracemalloc.start()
    try:
        found = newest_checkpoint(tmp_path)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.arrays) == 20
    assert held < peak < 20.5 * size


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A directory with two checkpoints, and the file and the content of the newer one."""
    directory = tmp_path_factory.mktemp("two")
    writer = CheckpointWriter(directory)
    write(writer, directory, older=True)
    newest = write(writer, directory, newer=True)
    return directory, newest, newest.read_bytes()


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

    def test_when_both_are_damaged_that_is_said_with_the_way_on(self, tmp_path):
        writer = CheckpointWriter(tmp_path)
        write(writer, tmp_path).write_bytes(b"torn")
        assert has_checkpoints(tmp_path)
        with pytest.raises(ConfigurationError, match=r"checkpoint-1.safetensors in .* is damaged.*; ask others"):
            newest_checkpoint(tmp_path, "ask others")
        write(writer, tmp_path).write_bytes(b"torn, too")
        with pytest.raises(ConfigurationError, match=r"are both damaged.*; begin a new run in another directory"):
            newest_checkpoint(tmp_path)


@pytest.mark.parametrize("whose", ["run/checkpoints", "peer"])
def test_checkpoints_from_before_formats_were_numbered_are_refused(whose):
    directory = Path(__file__).parents[1] / "fixtures" / "format_0" / whose
    with pytest.raises(
        ConfigurationError, match=r"checkpoint-\d.safetensors is of format 0, .* reads format 1 only: go"
    ):
        newest_checkpoint(directory)


def test_a_checkpoint_of_a_later_version_is_refused_and_an_older_one_is_not_taken_instead(tmp_path, monkeypatch):
    writer = CheckpointWriter(tmp_path)
    writer.write(ARRAYS, {})
    monkeypatch.setattr(checkpoints, "FORMAT", 2)
    writer.write(ARRAYS, {})
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match=r"checkpoint-2.safetensors is of format 2, .* reads format 1 only"):
        newest_checkpoint(tmp_path)
