from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.data.conversion import as_inputs, as_labels, check_size, model_inputs
from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples, as_tree
from gossipfl.data.held_out import stratified_split, subset
from gossipfl.errors import ConfigurationError, DataError


def small(**changes: Any) -> Dataset:
    arrays: dict[str, Any] = {
        "train_x": np.arange(12, dtype=np.float32).reshape(6, 2),
        "train_y": np.array([0, 1, 2, 0, 1, 2], np.int32),
        "test_x": np.ones((3, 2), np.float32),
        "test_y": np.array([0, 1, 2], np.int32),
    }
    fields = {"name": "small", "num_classes": 3} | {key: changes[key] for key in changes.keys() - arrays.keys()}
    arrays |= {key: changes[key] for key in changes.keys() & arrays.keys()}
    train, test = (Examples(arrays[f"{part}_x"], arrays[f"{part}_y"]) for part in ("train", "test"))
    return Dataset(train=train, test=test, **fields)


def test_arrays_are_read_only_views() -> None:
    features = np.zeros((6, 2), np.float32)
    dataset = small(train_x=features)
    assert dataset.input_shape == (2,)
    with pytest.raises(ValueError, match="read-only"):
        dataset.train.x[0, 0] = 1
    features[0, 0] = 1  # the caller's own array stays as it was


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_classes": 0}, "has classes, got num_classes = 0"),
        ({"num_classes": 2}, r"labels must be in \[0, 2\), got 0 to 2"),
        ({"train_y": np.array([0, 1, 2, 0, 1, -1], np.int32)}, "got -1 to 2"),
        ({"train_y": np.zeros(5, np.int32)}, "x has 6 rows, but y has 5"),
        ({"train_y": np.zeros(6, np.int64)}, "int32 labels, got int64: use from_arrays"),
        ({"train_x": np.zeros((6, 2))}, "x must be float32, integers or booleans, got float64: use from_arrays"),
        ({"train_x": np.zeros((0, 2), np.float32), "train_y": np.zeros(0, np.int32)}, "train is empty"),
        ({"test_x": np.ones((3, 0), np.float32)}, "test x is empty"),
        ({"test_x": np.ones((3, 4), np.float32)}, r"one shape, got \(2,\) in the training set and \(4,\)"),
        ({"test_x": np.array([[0, 1], [0, np.nan], [np.inf, 0]], np.float32)}, "example 1 is the first of 2 with NaN"),
    ],
)
def test_bad_data_are_refused_with_the_reason(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        small(**changes)


def test_the_digest_covers_values_shapes_and_parts() -> None:
    base = small()
    assert base.digest == small(name="other").digest
    assert len(base.digest) == 64
    swapped = np.array([1, 0, 2, 0, 1, 2], np.int32)
    others = {
        small(train_y=swapped).digest,
        small(test_x=np.zeros((3, 2), np.float32)).digest,
        small(train_x=base.train.x.reshape(6, 2, 1), test_x=base.test.x.reshape(3, 2, 1)).digest,
        small(train_x=base.train.x.reshape(6, 1, 2), test_x=base.test.x.reshape(3, 1, 2)).digest,
    }
    assert len(others | {base.digest}) == 5


def test_the_digest_is_a_known_value() -> None:
    assert small().digest == "aee82d79428f5f7dfa29c35bb2490fa0444b1d27a8e68a0307302457f6f64680"


def test_byte_images_become_unit_floats_with_a_channel_axis() -> None:
    images = np.array([0, 51, 255, 102], np.uint8).reshape(1, 2, 2)
    assert as_inputs(images, "x").dtype == np.uint8
    features = model_inputs(as_inputs(images, "x"))
    assert features.shape == (1, 2, 2, 1)
    assert features.dtype == np.float32
    assert features.ravel().tolist() == pytest.approx([0, 0.2, 1, 0.4])
    assert as_inputs(np.zeros((1, 2, 2, 3), np.uint8), "x").shape == (1, 2, 2, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64, np.bool_])
def test_tables_keep_their_values(dtype: type) -> None:
    table: Any = np.array([[0, 1], [1, 0]], dtype)
    assert as_inputs(table, "x").tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_float_arrays_keep_values_and_shape() -> None:
    assert as_inputs(np.full((2, 3, 4), 200.0), "x").max() == 200
    assert as_inputs(np.full((2, 3, 4), 200.0), "x").shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.array([["a", "b"]]), "must be numbers, got dtype <U1"),
        (np.array([[None]]), r"got objects \(NoneType\)"),
        (np.array([[1j]]), "complex"),
        ([[1, 2], [3]], "is not one array: .*inhomogeneous"),
    ],
)
def test_features_that_are_not_numbers_are_refused(features: Any, words: str) -> None:
    with pytest.raises(DataError, match=f"^x {words}|{words}"):
        as_inputs(as_tree(features, "x"), "x")


def test_values_beyond_float32_are_refused() -> None:
    pair = (np.full((2, 2), 1e300), np.array([0, 1]))
    with pytest.raises(DataError, match="example 0 is the first of 2 with NaN or infinity"):
        Dataset.from_arrays("huge", pair, pair)


@pytest.mark.parametrize("labels", [[0, 1, 2], [[0], [1], [2]]])
def test_labels_of_any_integer_dtype(labels: Any) -> None:
    for dtype in (np.uint8, np.int64, np.uint64):
        converted = as_labels(np.array(labels, dtype), "y")
        assert converted.dtype == np.int32
        assert converted.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([0.0, 1.0]), "integer class numbers, got dtype float64"),
        (np.array(["a"]), "integer class numbers"),
        (np.eye(3, dtype=int), "argmax on one-hot"),
        (np.array([0, -1]), "from -1 to 0; -1 usually marks"),
        (np.array([2**40]), "from 1099511627776"),
        (np.array([2**63], np.uint64), "from 9223372036854775808"),
    ],
)
def test_labels_that_are_not_classes_are_refused(labels: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        as_labels(labels, "y")


def test_the_number_of_classes_is_one_more_than_the_largest_label() -> None:
    x = np.zeros((3, 2))
    assert Dataset.from_arrays("a", (x, np.array([0, 1, 1])), (x, np.array([0, 2, 4]))).num_classes == 5
    assert Dataset.from_arrays("a", (x, np.array([0, 1, 1])), (x, np.array([0, 2, 1])), 10).num_classes == 10
    with pytest.raises(DataError, match="train is empty"):
        Dataset.from_arrays("a", (x[:0], np.zeros(0, int)), (x, np.array([0, 2, 1])))


def test_sizes_beyond_the_limit_are_refused_before_anything_is_allocated() -> None:
    with pytest.raises(DataError, match=r"would take 16.0 GiB"):
        check_size((2**22, 2**10), "x")
    lazy = np.broadcast_to(np.zeros(1), (2**22, 2**10))
    with pytest.raises(DataError, match=r"would take 16.0 GiB"):
        as_inputs(lazy, "x")


@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=8),
    fraction=st.floats(0.05, 0.9),
    seed=st.integers(0, 5),
)
def test_a_split_is_exact_stratified_and_repeatable(counts: list[int], fraction: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    num_test = max(1, round(fraction * len(labels)))
    if num_test >= len(labels):
        with pytest.raises(DataError, match="cannot hold out"):
            stratified_split(labels, fraction, np.random.default_rng(seed))
        return
    train, test = stratified_split(labels, fraction, np.random.default_rng(seed))
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert len(test) == num_test
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(test) > 0)
    share = np.bincount(labels[test], minlength=len(counts)) - np.array(counts) * num_test / len(labels)
    assert np.abs(share).max() < 1
    again = stratified_split(labels, fraction, np.random.default_rng(seed))
    assert again[1].tolist() == test.tolist()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_impossible_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(ConfigurationError, match="test_fraction must be between 0 and 1"):
        stratified_split(np.zeros(10, np.int32), fraction, np.random.default_rng(0))


@given(max_train=st.none() | st.integers(1, 8), max_test=st.none() | st.integers(1, 5), seed=st.integers(0, 5))
def test_a_subset_keeps_the_order(max_train: int | None, max_test: int | None, seed: int) -> None:
    part = subset(small(), max_train, max_test, np.random.default_rng(seed))
    assert len(part.train.y) == min(6, max_train or 6)
    assert len(part.test.y) == min(3, max_test or 3)
    assert part.num_classes == 3
    first = part.train.x[:, 0]
    assert np.all(np.diff(first) > 0)
    assert np.array_equal(part.train.y, (first // 2) % 3)
    assert part.digest == subset(small(), max_train, max_test, np.random.default_rng(seed)).digest


def test_an_empty_subset_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_train must be at least 1"):
        subset(small(), 0, None, np.random.default_rng(0))
    with pytest.raises(ConfigurationError, match="max_test must be at least 1"):
        subset(small(), None, -1, np.random.default_rng(0))
