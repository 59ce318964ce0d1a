import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.data.dataset import Dataset
from gossipfl.data.npz import read_member
from gossipfl.data.sources import load as load_source
from gossipfl.errors import DataError

X = np.arange(160, dtype=np.float64).reshape(40, 4)
Y = np.arange(40) % 4


def load(path: Path, seed: int = 0) -> Dataset:
    return load_source(f"npz:{path}", test_fraction=0.25, seed=seed)


def read(path: Path, array: str = "x") -> Any:
    """An array as it is in the file."""
    with zipfile.ZipFile(path) as file:
        return read_member(file, file.getinfo(f"{array}.npy"), f"npz:a: array {array!r}")


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(array: Any, version: tuple[int, int] = (1, 0)) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), version=version)
    return buffer.getvalue()


def npy_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_four_arrays_are_train_and_test(tmp_path: Path, save: Any) -> None:
    images = np.arange(90, dtype=np.uint8).reshape(10, 3, 3)
    labels = (np.arange(10) % 3).astype(np.uint8)
    save(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images[:4], y_test=labels[:4], extra=np.zeros(3))
    dataset = load(tmp_path / "a.npz")
    assert np.array_equal(dataset.train.x[..., 0], images)
    assert dataset.test.y.tolist() == [0, 1, 2, 0]
    assert dataset.num_classes == 3


def test_two_arrays_are_split_by_the_seed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.asfortranarray(X), y=Y[:, None])
    dataset = load(tmp_path / "a.npz")
    assert len(dataset.test.y) == 10
    assert np.array_equal(dataset.train.y, (dataset.train.x[:, 0] / 4).astype(int) % 4)
    assert set(np.bincount(dataset.test.y).tolist()) <= {2, 3}
    assert load(tmp_path / "a.npz").digest == dataset.digest
    assert load(tmp_path / "a.npz", seed=1).digest != dataset.digest


def test_missing_files_and_arrays_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*nothing.npz; expected an .npz with x_train"):
        load(tmp_path / "nothing.npz")
    np.savez(tmp_path / "a.npz", x_train=X, z=Y)
    with pytest.raises(DataError, match=r"expected the arrays x_train, .* it has x_train, z$"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=X, y=Y[:5])
    with pytest.raises(DataError, match=r"a.npz: train: x has 40 rows, but y has 5"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=X)
    with pytest.raises(DataError, match=r"data.target names 'y', and there is no such column in its test part"):
        load(tmp_path / "a.npz")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([[print]]), y=np.array([0]))
    with pytest.raises(DataError, match=r"plain numbers, got dtype .O; nothing is unpickled"):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_both_versions_of_the_format_are_read(tmp_path: Path, version: tuple[int, int]) -> None:
    path = archive(tmp_path / "a.npz", x=npy(X, version), y=npy(Y, version))
    assert np.array_equal(read(path), X)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy(X, (3, 0)), "version 1.0 or 2.0: it begins with 934e554d50590300"),
        (npy(X)[:-1], "must have exactly 1280 bytes"),
        (npy(X) + b"x", "must have exactly 1280 bytes"),
        (npy(np.array(["a"])), "plain numbers, got dtype <U1"),
        (npy(np.zeros(2, [("a", "i4")])), "plain numbers"),
        (npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}"), "announces 8000000000000"),
        (npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"), "no proper NumPy header"),
        (
            npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 99 + ",)}"),
            "no proper NumPy header",
        ),
        (npy_header("{'descr': '<f3', 'fortran_order': False, 'shape': (1,)}"), "plain numbers, got dtype <f3"),
        (npy_header("{'descr': '<f8', 'shape': (1,)}"), "no proper NumPy header"),
        (npy_header("-" * 9000 + "1"), "no proper NumPy header"),
        (npy_header("(" * 20000), "no proper NumPy header"),
        (b"\x93NUMPY", "it begins with 934e554d5059"),
        (b"", "it begins with nothing"),
        (b"text", "it begins with 74657874"),
    ],
)
def test_bad_arrays_are_data_errors(tmp_path: Path, content: bytes, words: str) -> None:
    path = archive(tmp_path / "a.npz", x=content, y=npy(Y))
    with pytest.raises(DataError, match=words):
        load(path)


def test_a_member_that_announces_more_than_it_can_hold_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", x=npy(X), y=npy(Y))
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")  # the first entry of the central directory; its size is 24 bytes in
    raw[entry + 24 : entry + 28] = (3 * 2**30).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(DataError, match="announces 3221225472 bytes, more than can be real or held"):
        load(path)


def test_files_that_are_not_archives_are_data_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"not a zip file")
    with pytest.raises(DataError, match=r"is not a readable .npz file: File is not a zip file"):
        load(path)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_damage_gives_a_data_error_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = _whole()
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.sampled_from([len(whole), len(whole) - 1, len(whole) // 2]))]
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(damaged)
    try:
        load(path)
    except DataError:
        return


def test_arrays_of_python_2_are_read(tmp_path: Path) -> None:
    header = npy_header("{'descr': '<i8', 'fortran_order': False, 'shape': (40L,), }")
    path = archive(tmp_path / "a.npz", x=npy(X), y=header + Y.astype("<i8").tobytes())
    assert np.array_equal(read(path, "y"), Y)


@given(shape=st.lists(st.integers(0, 3), max_size=4), dtype=st.sampled_from("?bBhHiIqQefd"), fortran=st.booleans())
def test_what_numpy_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], dtype: str, fortran: bool
) -> None:
    array = np.random.default_rng(0).integers(0, 9, shape).astype(dtype, order="F" if fortran else "C")
    path = archive(tmp_path_factory.getbasetemp() / "shapes.npz", x=npy(array))
    found = read(path)
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert np.array_equal(found, array)


@settings(deadline=None, max_examples=150)
@given(header=st.text("{}()[]'descr: ,<f8fortan_FalseTrushp0123456789-\n#\\\0", max_size=120))
def test_garbage_headers_give_a_data_error_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, header: str
) -> None:
    path = archive(tmp_path_factory.getbasetemp() / "header.npz", x=npy_header(header), y=npy(Y))
    with pytest.raises(DataError):
        load(path)


def _whole() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=X, y=Y)
    return buffer.getvalue()
