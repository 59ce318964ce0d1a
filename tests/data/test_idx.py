import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gossipfl.data.idx import parse_idx
from gossipfl.data.sources import load
from gossipfl.errors import DataError

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # where Debian's dataset-fashion-mnist puts it


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_set(directory: Path, *, suffix: str = "", separator: str = "-", num_train: int = 12) -> NDArray[np.uint8]:
    images = np.arange(num_train * 6, dtype=np.uint8).reshape(num_train, 3, 2)
    labels = (np.arange(num_train) % 4).astype(np.uint8)
    compress = gzip.compress if suffix else bytes
    for part, size in (("train", num_train), ("t10k", 4)):
        for stem, array in ((f"{part}-images", images[:size]), (f"{part}-labels", labels[:size])):
            path = directory / f"{stem}{separator}idx{array.ndim}-ubyte{suffix}"
            path.write_bytes(compress(idx_bytes(array)))
    return images


@pytest.mark.parametrize(("suffix", "separator"), [("", "-"), (".gz", "-"), (".gz", ".")])
def test_a_directory_of_four_files_is_a_data_set(tmp_path: Path, suffix: str, separator: str) -> None:
    images = write_set(tmp_path, suffix=suffix, separator=separator)
    dataset = load(f"idx:{tmp_path}")
    assert dataset.train.x.shape == (12, 3, 2, 1)
    assert np.array_equal(dataset.train.x[..., 0], images)
    assert dataset.test.y.tolist() == [0, 1, 2, 3]
    assert dataset.num_classes == 4


@pytest.mark.long
@pytest.mark.skipif(not DEBIAN_FASHION_MNIST.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_as_debian_ships_it() -> None:
    dataset = load(f"idx:{DEBIAN_FASHION_MNIST}")
    assert dataset.train.x.shape == (60_000, 28, 28, 1)
    assert dataset.test.x.shape == (10_000, 28, 28, 1)
    assert dataset.num_classes == 10
    assert np.bincount(dataset.train.y).tolist() == [6_000] * 10
    assert dataset.train.x.dtype == np.uint8
    assert dataset.train.x.mean(dtype=np.float64) / 255 == pytest.approx(0.2860, abs=1e-4)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a directory; expected one with train-images-idx3-ubyte"):
        load(f"idx:{tmp_path}/nowhere")
    write_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte, or the same with .gz, is not in"):
        load(f"idx:{tmp_path}")


@given(
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    compressed=st.booleans(),
)
def test_what_is_written_is_read(shape: list[int], compressed: bool) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    raw = gzip.compress(idx_bytes(array)) if compressed else idx_bytes(array)
    parsed = parse_idx(raw, array.ndim, "file")
    assert parsed.shape == array.shape
    assert np.array_equal(parsed, array)


@given(raw=st.binary(max_size=64), prefix=st.sampled_from([b"", b"\0\0\x08\x01", b"\0\0\x08\x01\0\0", b"\x1f\x8b"]))
def test_garbage_gives_a_data_error_and_nothing_else(raw: bytes, prefix: bytes) -> None:
    try:
        array = parse_idx(prefix + raw, 1, "file")
    except DataError:
        return
    assert idx_bytes(array) == prefix + raw


@settings(deadline=None)
@given(
    position=st.integers(0, 10**6), value=st.integers(1, 255), keep=st.integers(0, 10**6), tail=st.binary(max_size=3)
)
def test_damaged_gzip_gives_a_data_error_or_the_same_bytes(position: int, value: int, keep: int, tail: bytes) -> None:
    array = np.arange(200, dtype=np.uint8)
    whole = bytearray(gzip.compress(idx_bytes(array), mtime=0))
    damaged = whole[: len(whole) - keep % 4]
    damaged[position % len(damaged)] ^= value
    try:
        parsed = parse_idx(bytes(damaged) + tail, 1, "file")
    except DataError:
        return
    assert np.array_equal(parsed, array)  # a header field that gzip does not check, such as the time


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "begins with nothing, expected 00000803"),
        (b"\0\0\x0d\x03" + bytes(12), "begins with 00000d03, expected 00000803"),
        (b"\0\0\x08\x03\0\0", "ends in its header"),
        (idx_bytes(np.zeros((2, 2, 2), np.uint8))[:-1], r"announces 8 bytes of shape \(2, 2, 2\), but has only 7"),
        (idx_bytes(np.zeros((2, 2, 2), np.uint8)) + b"x", "but has more"),
        (gzip.compress(idx_bytes(np.zeros((2, 2, 2), np.uint8)) + b"x", mtime=0), "but has more"),
        (gzip.compress(idx_bytes(np.zeros((2, 2, 2), np.uint8)), mtime=0)[:-5], "not a complete gzip file"),
        (gzip.compress(idx_bytes(np.zeros((2, 2, 2), np.uint8)), mtime=0) + b"tail", "not a complete gzip file"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "would take"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 1000, 100, 100), "more than the file can hold"),
        (gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 1000, 100, 100), mtime=0), "more than the file can hold"),
    ],
)
def test_each_defect_is_named(raw: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        parse_idx(raw, 3, "file")


def test_a_bomb_is_not_decompressed_beyond_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(idx_bytes(np.zeros(10, np.uint8)) + bytes(50_000_000))
    read = []

    class CountingGzipFile(gzip.GzipFile):
        def read(self, size: int | None = -1) -> bytes:
            chunk = super().read(size)
            read.append(len(chunk))
            return chunk

    monkeypatch.setattr(gzip, "GzipFile", CountingGzipFile)
    with pytest.raises(DataError, match="but has more"):
        parse_idx(bomb, 1, "file")
    assert sum(read) == 8 + 11


def test_unreadable_files_are_data_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"cannot read .*: Permission denied"):
        load(f"idx:{tmp_path}")
