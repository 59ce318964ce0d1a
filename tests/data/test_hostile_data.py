"""Whatever is given as data: it is taken exactly as it is, or refused in one sentence that names the array."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples, leaves
from gossipfl.errors import DataError

NUMBERS = ["?", "u1", "i1", "<u2", ">i2", "<i4", ">i4", "<u4", "<i8", "<u8", "<f2", "<f4", ">f4", "<f8", ">f8", "g"]
OTHERS = ["<c8", "<M8[s]", "<U2", "|S2", "O"]
ODD_VALUES = st.none() | st.integers(-(2**70), 2**70) | st.text(max_size=2) | st.floats() | st.binary(max_size=2)


@st.composite
def arrays(draw: st.DrawFn, num_rows: int, dtypes: list[str]) -> Any:
    dtype, shape = np.dtype(draw(st.sampled_from(dtypes))), (num_rows, *draw(st.lists(st.integers(0, 3), max_size=3)))
    if dtype.kind == "O":
        return draw(hnp.arrays(object, shape, elements=ODD_VALUES))
    if dtype.kind == "f":
        elements = st.floats(-100, 100, width=16) | st.integers(-(2**26), 2**26).map(float)
        with np.errstate(over="ignore"):
            return draw(hnp.arrays(np.float64, shape, elements=elements)).astype(dtype)
    return draw(hnp.arrays(dtype, shape))


def structures(leaf: st.SearchStrategy[Any], keys: st.SearchStrategy[Any], min_size: int) -> st.SearchStrategy[Any]:
    def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        dicts = st.dictionaries(keys, inner, min_size=min_size, max_size=2)
        return dicts | st.lists(inner, min_size=min_size, max_size=2).map(tuple)

    return st.recursive(leaf, around, max_leaves=3)


@st.composite
def hostile(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """Inputs, targets and weights: arrays of any dtype, ragged lists, things that are no arrays, and structures."""
    rows = st.integers(0, 2)
    leaf = rows.flatmap(lambda n: arrays(n, NUMBERS + OTHERS)) | st.lists(st.lists(ODD_VALUES, max_size=2), max_size=3)
    anything = structures(leaf | ODD_VALUES | st.just(np.eye), st.text(max_size=2) | st.integers(0, 1), 0)
    return draw(anything), draw(anything), draw(st.none() | anything)


@st.composite
def orderly(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """The same of arrays with one number of rows, of which most data sets can be made."""
    num_rows = draw(st.integers(1, 3))
    inputs = structures(arrays(num_rows, NUMBERS), st.text(max_size=2), 1)
    label = hnp.arrays(np.int64, (num_rows,), elements=st.integers(0, 4)) | arrays(num_rows, ["<U2", "|S2"])
    return draw(inputs), draw(label | inputs), draw(st.none() | arrays(num_rows, ["<f8"]))


@settings(max_examples=150)
@given(given_arrays=hostile() | orderly() | orderly(), num_classes=st.none() | st.integers(1, 8))
def test_anything_is_taken_exactly_or_refused_in_a_sentence(given_arrays: Any, num_classes: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            data = Dataset.from_arrays("it", given_arrays, given_arrays, num_classes)
        except DataError as error:
            message = str(error)
            assert message.startswith("it: ")
            assert any(name in message for name in ("x", "y", "weight", "class"))
            assert "\n" not in message
            assert len(message) < 600
            return
    for name, given_tree in zip(("x", "y", "weight"), given_arrays, strict=True):
        if given_tree is None:
            assert getattr(data.train, name) is None
            continue
        if name == "y" and isinstance(data.train.x, np.ndarray) and np.array_equal(data.train.x, given_tree):
            continue  # images of bytes that are to be made again
        pairs = zip(flattened(given_tree, name), leaves(getattr(data.train, name), name), strict=True)
        for before, (_, after) in pairs:
            assert len(after) == len(data.train)
            assert not after.flags.writeable
            assert np.isfinite(after).all()
            if before.dtype.kind in "US":
                assert [data.class_names[label] for label in after] == text(before)
            elif before.dtype.kind == "f" or name == "weight":
                assert after.dtype == np.float32
                assert np.array_equal(after, before.astype(np.float32))
            else:
                assert after.dtype.kind in "biu"
                assert np.array_equal(after.ravel(), before.ravel())


def text(array: np.ndarray) -> list[str]:
    return (array if array.dtype.kind == "U" else np.char.decode(array)).ravel().tolist()


def flattened(tree: Any, name: str) -> list[np.ndarray]:
    return [array for _, array in leaves(Examples(tree).x, name)]


X, Y = np.random.default_rng(0).random((20, 2, 2, 1)), np.arange(20) % 3
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 2, 2, 1), np.uint8)
WORDS = np.array(["cat", "dog", "ant", "cat"] * 5)


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ((IMAGES, Y), (X, Y), "x must have one dtype, got uint8 in the training set and float32 in the test set"),
        ((IMAGES[..., 0], Y), (X[..., 0], Y), "x must have one dtype, got uint8 in the training set and float32"),
        ((IMAGES * 1.0, Y), (X, Y), "fractions in .0, 1. in the test set and whole numbers up to 248 in the training"),
        ((X, Y), (IMAGES * 1.0, Y), "fractions in .0, 1. in the training set and whole numbers up to 248 in the test"),
        ((X, Y), (X[:, :1], Y), r"x must have one shape, got \(2, 2, 1\) in the training set and \(1, 2, 1\)"),
        (({"a": X}, Y), ({"b": X}, Y), r"x must have one structure, got x\['a'\] in .* and x\['b'\] in the test set"),
        ((X, Y), (X, Y * 1.0), "y must have one dtype, got int32 in the training set and float32 in the test set"),
        ((X, WORDS), (X, Y), "y holds strings in the train set, but not in the test set"),
        ((X, Y), (X, WORDS), "y holds strings in the test set, but not in the train set"),
        ((X, Y), (X, None), "y must have one structure, got y in the training set and none in the test set"),
        (({}, Y), ({}, Y), "x has no array at all"),
        ((X, ()), (X, ()), "y has no array at all"),
        ((X, Y[:19]), (X, Y), "x has 20 rows, but y has 19"),
        ((X, Y, Y[:5]), (X, Y), "x has 20 rows, but weight has 5"),
        ((X, Y, Y * np.nan), (X, Y), "train weight must be finite: example 0 is the first of 20"),
        ((X, [[0], [1, 2]]), (X, Y), "y is not one array"),
        ((np.ma.masked_equal(IMAGES, IMAGES[0, 0, 0, 0]), Y), (X, Y), "x has [0-9]+ masked values"),
        ((np.array([["a"]] * 20), Y), (X, Y), "x must be numbers, got dtype <U1: encode them first, for example each"),
        ((X[:0], Y[:0]), (X, Y), "train is empty"),
        ((X * 1e300, Y), (X, Y), "x must be finite: example 0 is the first of 20 with NaN or infinity"),
        ((np.full((20, 1), 2.0**24 + 1), Y), (X, Y), "x has whole numbers that float32 does not have, such as 1677"),
        (X, (X, Y), r"train must be Examples, \(x, y\) or \(x, y, weight\), got ndarray"),
        ((X, Y), (X,), r"test must be Examples, \(x, y\) or \(x, y, weight\), got a tuple of 1"),
    ],
)  # fmt: skip
def test_parts_that_differ_or_are_broken_are_refused(train: Any, test: Any, words: str) -> None:
    with pytest.raises(DataError, match=f"^it: .*{words}"):
        Dataset.from_arrays("it", train, test)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (X, X[:2] * 0.5),  # fractions of another range
        (X * 300, X * 200),
        (IMAGES * 1.0, IMAGES[:3] * 1.0),
        (X - 0.5, X[:1]),
        (np.round(X * 3), X),  # small whole numbers
        (IMAGES, IMAGES // 255),  # bytes are bytes
    ],
)
def test_parts_that_may_be_right_are_taken(train: Any, test: Any) -> None:
    dataset = Dataset.from_arrays("it", (train, Y), (test, Y[: len(test)]))
    assert np.asarray(dataset.train.x).ravel().tolist() == pytest.approx(np.asarray(train).ravel().tolist())
    assert np.asarray(dataset.test.x).ravel().tolist() == pytest.approx(np.asarray(test).ravel().tolist())


def test_ids_keep_their_values_beyond_what_floats_have() -> None:
    ids = np.array([[2**24 + 1], [2**24 + 2], [2**53 + 1]])
    data = Dataset.from_arrays("it", ({"id": ids}, Y[:3]), ({"id": ids}, Y[:3]))
    assert data.train.x["id"].tolist() == ids.tolist()  # type: ignore[index, call-overload, union-attr]


def test_strings_are_numbered_in_their_order_over_all_parts() -> None:
    data = Dataset.from_arrays("it", (X, WORDS), (X[:2], np.array(["bee", "cat"])))
    assert data.class_names == ("ant", "bee", "cat", "dog")
    assert data.num_classes == 4
    assert [data.class_names[label] for label in data.labels] == WORDS.tolist()  # type: ignore[union-attr]
    assert data.test.y.tolist() == [1, 2]  # type: ignore[union-attr]


def test_one_example_of_one_class_is_a_data_set() -> None:
    data = Dataset.from_arrays("it", (X[:1], Y[:1]), (X[:1], Y[:1]))
    assert (data.num_classes, len(data.train), data.labels.tolist()) == (1, 1, [0])  # type: ignore[union-attr]


def test_targets_that_are_the_images_are_divided_with_them() -> None:
    data = Dataset.from_arrays("it", (IMAGES, IMAGES), (IMAGES[:5], IMAGES[:5]))
    assert np.array_equal(data.train.y, IMAGES.astype(np.float32) / np.float32(255))  # type: ignore[arg-type]
    assert (data.num_classes, data.labels) == (None, None)


def test_classes_may_be_one_hot() -> None:
    data = Dataset.from_arrays("it", (X, np.eye(4)[Y]), (X, np.eye(4)[Y]))
    assert data.num_classes == 4
    assert data.labels is not None
    assert data.labels.tolist() == Y.tolist()
    assert Dataset.from_arrays("it", (X, np.eye(4)[Y] * 2), (X, np.eye(4)[Y] * 2)).num_classes is None


def test_whole_floats_as_targets_are_quantities_and_the_data_set_says_so() -> None:
    (note,) = Dataset.from_arrays("it", (X, Y * 1.0), (X, Y * 1.0)).notes
    assert "whole numbers from 0 to 2 given as floats, and so taken for quantities" in note
    assert Dataset.from_arrays("it", (X, Y + 0.5), (X, Y * 1.0)).notes == ()
