import numpy as np
import pytest

from gossipfl.data.npy import mapped_array, read_npy
from gossipfl.data.reading import Reading
from gossipfl.errors import DataError

X = np.arange(24, dtype=np.float32).reshape(6, 4)


def test_arrays_are_mapped_not_read(tmp_path):
    np.save(tmp_path / "x_train.npy", X)
    np.save(tmp_path / "y_train.npy", np.arange(6) % 2)
    np.save(tmp_path / "x_test.npy", X[:2])
    np.save(tmp_path / "y_test.npy", np.arange(2))
    np.save(tmp_path / "z.npy", X)
    (tmp_path / "notes.txt").write_text("mine")
    parts = read_npy(tmp_path, "npy:x", Reading())
    train = parts.examples["train"]
    assert np.array_equal(train.x, X)
    assert not train.x.flags.owndata
    assert isinstance(mapped_array(tmp_path / "x_train.npy", "x"), np.memmap)
    assert len(parts.examples["test"]) == 2
    assert parts.notes[-1] == "arrays that are not used: z"


def test_arrays_are_named_as_columns_are(tmp_path):
    np.save(tmp_path / "user.npy", np.arange(6))
    np.save(tmp_path / "image.npy", np.zeros((6, 3, 3), np.uint8))
    np.save(tmp_path / "rating.npy", np.linspace(0, 1, 6))
    np.save(tmp_path / "weight.npy", np.ones(6))
    reading = Reading({"user": "user", "image": "image"}, "rating", peer=("user",))
    examples = read_npy(tmp_path, "npy:x", reading).examples["train"]
    assert examples.x["user"].shape == (6, 1)
    assert examples.x["image"].dtype == np.uint8
    assert examples.weight.tolist() == [1] * 6
    assert examples.columns["user"].tolist() == list(range(6))
    with pytest.raises(DataError, match=r"expected the arrays x_train, .* it has image, rating, user, weight"):
        read_npy(tmp_path, "npy:x", Reading())


def test_headers_are_not_believed(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, X)
    whole = path.read_bytes()
    for content, words in (
        (whole[:-1], r"of shape \(6, 4\) must have exactly 96 bytes, got 95"),
        (whole + b"x", "must have exactly 96 bytes, got 97"),
        (whole.replace(b"(6, 4)", b"(9**9)"), "no proper NumPy header"),
        (whole.replace(b"(6, 4), }", b"(999999999999, 9), }"), "has no proper|must have exactly"),
        (b"", "not a NumPy array"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=words):
            mapped_array(path, "x.npy")
    np.save(path, np.array([print]), allow_pickle=True)
    with pytest.raises(DataError, match=r"plain numbers, got dtype .O; nothing is unpickled"):
        mapped_array(path, "x.npy")
    np.save(path, np.zeros((0, 3)))
    assert mapped_array(path, "x.npy").shape == (0, 3)
    with pytest.raises(DataError, match=r"cannot be read: No such file"):
        mapped_array(tmp_path / "none.npy", "x.npy")
    with pytest.raises(DataError, match="is not a directory"):
        read_npy(path, "npy:x", Reading())
