"""Data sets as Python has them."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples
from gossipfl.data.reading import PLAIN, Reading
from gossipfl.data.sources import load
from gossipfl.data.values import is_value, name_of
from gossipfl.errors import ConfigurationError, DataError
from gossipfl.experiments.loaded_data import load_data
from gossipfl.scenario import Scenario

X, Y = np.arange(40, dtype=np.float32).reshape(20, 2), np.arange(20) % 2
TABLE = {"a": X[:, 0], "b": X[:, 1], "city": ["Oslo", "Bern"] * 10, "label": ["no", "yes"] * 10}
FRAMES = {"pandas": pd.DataFrame(TABLE), "polars": pl.DataFrame(TABLE), "pyarrow": pa.table(TABLE)}
READING = Reading(("a", "b"), "label", peer=("city",))


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_are_tables(kind):
    dataset = load(FRAMES[kind], reading=READING)
    assert dataset.name == f"{kind} frame"
    assert dataset.class_names == ("no", "yes")
    assert (len(dataset.train), len(dataset.test)) == (16, 4)
    assert set(dataset.train.columns["city"].tolist()) == {"Oslo", "Bern"}
    assert dataset.digest == load(FRAMES["pandas"], reading=READING).digest
    assert not any("index" in note for note in dataset.notes)
    both = load((FRAMES[kind], FRAMES[kind][:4] if kind != "pyarrow" else FRAMES[kind].slice(0, 4)), reading=READING)
    assert both.train.x.tolist() == X.tolist()
    assert len(both.test) == 4


def test_an_index_is_not_used():
    indexed = FRAMES["pandas"].set_index("city")
    assert load(indexed, reading=Reading(target="label")).notes[-1] == "the index of the frame is not used"


def test_arrays_are_as_fit_takes_them():
    assert len(load((X, Y)).test) == 4
    weighted = load((X, Y, np.ones(20)))
    assert weighted.train.weight.tolist() == [1] * 16
    several = load((({"a": X, "b": X}), Y))
    assert set(several.train.x) == {"a", "b"}
    two_inputs = load(((X, X), Y))
    assert [array.shape for array in two_inputs.train.x] == [(16, 2), (16, 2)]
    parts = load(((X, Y), (X[:3], Y[:3])))
    assert (len(parts.train), len(parts.test)) == (20, 3)
    assert load((FRAMES["pandas"][["a", "b"]], FRAMES["pandas"]["a"])).num_classes is None
    assert load(Examples(X, None)).train.y is None


def test_a_function_may_give_any_of_these():
    for value in ((X, Y), Examples(X, Y), Dataset.from_arrays("own", (X, Y), (X, Y))):
        dataset = load(lambda value=value: value)
        assert len(dataset.train) in (16, 20)

    def mine():
        return FRAMES["polars"]

    assert load(mine, reading=READING).name == f"{__name__}:{mine.__qualname__}"


@pytest.mark.parametrize(
    ("value", "reading", "words"),
    [
        ((X, Y[:3]), PLAIN, "arrays: train: x has 20 rows, but y has 3"),
        ((X,), PLAIN, "must be a Dataset, Examples"),
        ((X, Y, Y, Y), PLAIN, "must be a Dataset, Examples"),
        ((X, Y), Reading(target="label"), "has no named columns: leave data.target out"),
        ((X, Y), Reading(peer=("user",)), "has no column 'user': give Examples with columns"),
        (FRAMES["pandas"], PLAIN, r"name the column that is to be predicted, data.target"),
        (pd.DataFrame({"a": [1, "b"]}), Reading(target="a"), "a column cannot be read"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), Reading(target="a"), "a column cannot be read: Duplicate column"),
        (pd.DataFrame({"a": [1.0, np.nan], "y": [0, 1]}), Reading(target="y"), "column 'a' has no value in row 2"),
        (pl.DataFrame({"a": [], "y": []}), Reading(target="y"), "has no rows"),
    ],
)
def test_values_that_are_no_data_sets_are_refused(value, reading, words):
    with pytest.raises(DataError, match=words):
        load(value, reading=reading)


def test_scenarios_take_them():
    scenario = Scenario(data={"source": FRAMES["pandas"], "features": ["a"], "target": "label", "partition": "iid"})
    assert scenario.model_dump(mode="json")["data"]["source"] == "pandas frame"
    assert load_data(scenario).train.x.shape == (16, 1)
    assert load_data(Scenario(data=(X, Y))).name == "arrays"
    examples = Examples(X, Y, columns={"user": Y})
    by_user = Scenario(data={"source": examples, "partition": {"name": "column", "by": "user"}})
    assert load_data(by_user).train.columns["user"].shape == (16,)
    by_city = {"source": FRAMES["polars"], "target": "label", "partition": {"name": "column", "by": "city"}}
    assert set(load_data(Scenario(data=by_city)).train.columns) == {"city"}
    for wrong in (3, X, pd.Series(Y), Dataset):
        assert not is_value(wrong)
        with pytest.raises(ConfigurationError, match=r"data.source: a data source is a string or a data set, got"):
            Scenario(data=wrong)
    assert name_of("digits") == "digits"


@pytest.mark.slow
def test_tensorflow_data():
    import tensorflow as tf

    pairs = tf.data.Dataset.from_tensor_slices((X, Y))
    for dataset, kind in ((pairs, "examples"), (pairs.batch(7), "batches"), (pairs.batch(7).prefetch(2), "batches")):
        loaded = load(dataset, test_fraction=0.5)
        assert loaded.name == "tf.data"
        assert loaded.train.x.shape == (10, 2)
        assert loaded.notes == (f"tf.data: train: elements were taken for {kind}: 20 examples in all",)
        assert loaded.digest == load((X, Y), test_fraction=0.5).digest
    structured = tf.data.Dataset.from_tensor_slices(({"a": X, "b": X}, Y, np.ones(20, np.float32))).batch(4)
    assert set(load(structured).train.x) == {"a", "b"}
    words = tf.data.Dataset.from_tensor_slices((X, np.array(["no", "yes"] * 10))).batch(4)
    assert load((words, words.take(1))).class_names == ("no", "yes")
    alone = tf.data.Dataset.from_tensor_slices({"a": X}).batch(4)
    assert load(alone).train.y is None
    ragged = tf.ragged.constant([[1, 2], [3]])
    for wrong, reason in (
        (pairs.repeat(), r"has no end: use take\(n\)"),
        (pairs.take(0), "is empty"),
        (tf.data.Dataset.from_tensor_slices((X, Y, Y, Y)), r"elements of 4 parts, expected x, \(x, y\) or"),
        (tf.data.Dataset.from_tensor_slices((X, X)), "may be batches of 2 or examples with so many rows"),
        (pairs.batch(5, drop_remainder=True), "may be batches of 5"),
        (tf.data.Dataset.from_tensor_slices(ragged), "expected tensors of a known number of dimensions"),
        (
            tf.data.Dataset.from_generator(
                lambda: iter([([1.0], 0), ([1.0, 2.0], 1)]),
                output_signature=(tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int32)),
            ),
            "examples differ in shape",
        ),
    ):
        with pytest.raises(DataError, match=reason):
            load(wrong)


@pytest.mark.parametrize("dtype", ["object", "string", "category"])
def test_strings_of_a_series_are_classes(dtype) -> None:
    dataset = load((X, pd.Series(["no", "yes"] * 10, dtype=dtype)))
    assert dataset.class_names == ("no", "yes")


def test_what_is_seldom_meant_is_said() -> None:
    """A class of another spelling in the test part, and bytes that are no images up to 255."""
    x, one_hot = np.ones((4, 2)), np.tile(np.eye(3, dtype=np.uint8), (4, 1, 1))
    yes, no = np.array(["no", "yes"] * 2), np.array(["no", "yes."] * 2)
    (note,) = load(((x, yes), (x, no))).notes
    assert note == "No training example has the class 'yes.', as 2 of 4 test examples have."
    assert not load(((x, yes), (x, yes))).notes
    (note,) = load((one_hot, np.arange(4) % 2), test_fraction=0.5).notes
    assert (
        load((x, np.array([[0], [1], [0], [1]]))).notes[0].startswith("The targets are class numbers of shape [N, 1]")
    )
    assert note.startswith("x has bytes up to 1, not 255, and a model gets them divided by 255")


@pytest.mark.parametrize("weight", [np.ones((20, 2)), (np.ones(20), np.zeros(20)), np.ones((20, 1, 1))])
def test_weights_that_a_target_cannot_have_are_refused(weight) -> None:
    """Keras would stretch them where their size is that of a batch."""
    with pytest.raises(DataError, match=r"train weight has the shape .* and y has \(16,\)"):
        load((X, Y, weight))
    assert load((X, Y, np.ones((20, 1)))).train.weight.shape == (16, 1)
