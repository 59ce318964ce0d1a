import numpy as np
import pytest

from gossipfl.data.hugging_face import read_hugging_face
from gossipfl.data.reading import Reading
from gossipfl.errors import DataError

datasets = pytest.importorskip("datasets")


def saved(path, splits=("train", "test", "extra")):
    features = datasets.Features(
        {
            "image": datasets.Array2D((2, 2), "float32"),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "text": datasets.Value("string"),
        }
    )
    rows = {"image": np.arange(16, dtype="float32").reshape(4, 2, 2), "label": [0, 1, 1, 0], "text": list("abcd")}
    one = datasets.Dataset.from_dict(rows, features=features)
    (datasets.DatasetDict(dict.fromkeys(splits, one)) if splits else one).save_to_disk(str(path))
    return path


@pytest.fixture(autouse=True)
def _quiet():
    datasets.disable_progress_bars()


def test_splits_and_names_of_classes_are_kept(tmp_path):
    parts = read_hugging_face(saved(tmp_path / "set"), "hf:set", Reading("image", "label"))
    assert list(parts.examples) == ["train", "test"]
    assert parts.examples["train"].x.shape == (4, 2, 2)
    assert parts.examples["test"].y.tolist() == [0, 1, 1, 0]
    assert parts.class_names == ("cat", "dog")
    assert parts.notes == (
        "features: image; target: label",
        "1 of 3 columns are not used: text",
        "splits that are not used: extra",
    )


def test_a_set_without_splits_is_one_part(tmp_path):
    whole = saved(tmp_path / "set", ())
    filtered = datasets.load_from_disk(str(whole)).select([3, 1])
    filtered.save_to_disk(str(tmp_path / "filtered"))
    parts = read_hugging_face(tmp_path / "filtered", "hf:x", Reading("image", "label"))
    assert parts.examples["train"].y.tolist() == [0, 1]


def test_what_was_not_saved_by_datasets_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not a directory; expected one that save_to_disk"):
        read_hugging_face(tmp_path / "none", "hf:none", Reading())
    with pytest.raises(DataError, match="is not a data set that datasets can read"):
        read_hugging_face(tmp_path, "hf:x", Reading())
    with pytest.raises(DataError, match="no split 'train', only test"):
        read_hugging_face(saved(tmp_path / "a", ("test",)), "hf:x", Reading())
    damaged = saved(tmp_path / "b", ())
    for content in ("{", "[]", "{}"):
        (damaged / "state.json").write_text(content)
        with pytest.raises(DataError, match="is not a data set that datasets can read"):
            read_hugging_face(damaged, "hf:x", Reading("image", "label"))
