"""A labelled data set in memory, as every trainer and partitioner takes it.

Whatever the source, features end as finite float32 and labels as int32 class numbers from 0. The arrays are read-only:
peers hold index arrays into them, never copies.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError, DataError

MAX_FEATURE_BYTES = 8 * 2**30
"""Largest feature array that a source may ask for, as float32: bounds what a forged header can allocate."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and held-out examples of a classification task.

    `train_x` is float32 [N, ...] (images [N, height, width, channels] in [0, 1], tables [N, features]), `train_y` int32
    [N] with values in [0, num_classes); `test_x` and `test_y` likewise. `from_arrays` converts other dtypes.

    Raises DataError when a part is empty, lengths or shapes differ, labels are out of range, or features not finite.

    >>> train, test = (np.eye(4), np.array([0, 1, 0, 1])), (np.eye(4)[:2], np.array([0, 1]))
    >>> dataset = Dataset.from_arrays("toy", train, test)  # for a scenario: Scenario(data=dataset)
    >>> dataset.input_shape, dataset.num_classes
    ((4,), 2)
    """

    name: str
    train_x: NDArray[np.float32]
    train_y: NDArray[np.int32]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int32]
    num_classes: int

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise DataError(f"{self.name}: a classification task needs at least 2 classes, got {self.num_classes}")
        for part in ("train", "test"):
            _check_part(
                f"{self.name}: {part}", getattr(self, f"{part}_x"), getattr(self, f"{part}_y"), self.num_classes
            )
        if self.train_x.shape[1:] != self.test_x.shape[1:]:
            raise DataError(
                f"{self.name}: examples must have one shape, got {self.train_x.shape[1:]} in the training set and "
                f"{self.test_x.shape[1:]} in the test set"
            )
        for field in ("train_x", "train_y", "test_x", "test_y"):
            view = np.ascontiguousarray(getattr(self, field)).view()
            view.flags.writeable = False
            object.__setattr__(self, field, view)

    @classmethod
    def from_arrays(
        cls,
        name: str,
        train: tuple[NDArray[Any], NDArray[Any]],
        test: tuple[NDArray[Any], NDArray[Any]],
        num_classes: int | None = None,
    ) -> "Dataset":
        """A data set from (features, labels) pairs of any numeric dtype; see `as_features` and `as_labels`.

        Without `num_classes`, it is 1 + the largest label. Raises DataError when the arrays cannot be used.
        """
        train_y = as_labels(train[1], f"{name}: train labels")
        test_y = as_labels(test[1], f"{name}: test labels")
        if num_classes is None:
            num_classes = 1 + max(int(train_y.max(initial=0)), int(test_y.max(initial=0)))
            if num_classes > max(2, len(train_y) + len(test_y)):
                raise DataError(
                    f"{name}: the largest label is {num_classes - 1}, but there are only {len(train_y) + len(test_y)} "
                    "examples: number the classes 0, 1, 2, ..., or give num_classes"
                )
        return cls(
            name,
            as_features(train[0], f"{name}: train features"),
            train_y,
            as_features(test[0], f"{name}: test features"),
            test_y,
            num_classes,
        )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example, as `keras.Input` takes it."""
        return self.train_x.shape[1:]

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, over shapes, dtypes and little-endian bytes of the four arrays."""
        digest = hashlib.sha256()
        for array in (self.train_x, self.train_y, self.test_x, self.test_y):
            portable = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{portable.dtype.str} {portable.shape}\n".encode())
            digest.update(portable.reshape(-1).view(np.uint8).data)
        return digest.hexdigest()


def subset(dataset: Dataset, max_train: int | None, max_test: int | None, generator: np.random.Generator) -> Dataset:
    """At most `max_train` and `max_test` examples of a data set, drawn without replacement, in their old order.

    None keeps a part whole. Raises ConfigurationError for a limit below 1.
    """
    for field, limit in (("max_train", max_train), ("max_test", max_test)):
        if limit is not None and limit < 1:
            raise ConfigurationError(f"{field} must be at least 1, or None for all examples; got {limit}")
    train = _drawn(len(dataset.train_y), max_train, generator)
    test = _drawn(len(dataset.test_y), max_test, generator)
    return replace(
        dataset,
        train_x=dataset.train_x[train],
        train_y=dataset.train_y[train],
        test_x=dataset.test_x[test],
        test_y=dataset.test_y[test],
    )


def stratified_split(
    labels: NDArray[np.integer[Any]], test_fraction: float, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted (train, test) indices; the test part has round(test_fraction * N) examples, at least one.

    Each class gives its share c * num_test / N, rounded down or up so that the sum is exact (largest remainders, ties
    at random), from its examples in random order.

    Raises ConfigurationError unless 0 < test_fraction < 1, DataError when one of the parts would be empty.
    """
    if not 0 < test_fraction < 1:
        raise ConfigurationError(f"test_fraction must be between 0 and 1 (exclusive), got {test_fraction}")
    num_examples = len(labels)
    num_test = max(1, round(test_fraction * num_examples))
    if num_test >= num_examples:
        raise DataError(f"cannot hold out {num_test} of {num_examples} examples: give more examples, or a test set")
    _, counts = np.unique(labels, return_counts=True)
    shares, remainders = np.divmod(counts * num_test, num_examples)
    largest_first = np.lexsort((generator.random(len(counts)), -remainders))
    shares[largest_first[: num_test - shares.sum()]] += 1
    order = generator.permutation(num_examples)
    by_class = order[np.argsort(labels[order], kind="stable")]
    place = np.concatenate([np.arange(count) for count in counts])
    is_test = place < np.repeat(shares, counts)
    return np.sort(by_class[~is_test]).astype(np.int64), np.sort(by_class[is_test]).astype(np.int64)


def split_dataset(
    name: str,
    x: NDArray[Any],
    y: NDArray[Any],
    test_fraction: float,
    generator: np.random.Generator,
    num_classes: int | None = None,
) -> Dataset:
    """A data set from examples without a test part: a stratified `test_fraction` of them is held out."""
    labels = as_labels(y, f"{name}: labels")
    if x.ndim < 1 or len(x) != len(labels):
        raise DataError(f"{name} has features of shape {x.shape}, but {len(labels)} labels")
    train, test = stratified_split(labels, test_fraction, generator)
    return Dataset.from_arrays(name, (x[train], labels[train]), (x[test], labels[test]), num_classes)


def as_features(array: NDArray[Any], what: str) -> NDArray[np.float32]:
    """Float32 features: uint8 images [N, H, W] or [N, H, W, C] are divided by 255, and get a channel axis.

    Tables [N, features] and arrays of other dtypes keep their values and shape. `what` begins the message of the
    DataError that is raised for dtypes that are not real numbers and for sizes above `MAX_FEATURE_BYTES`.
    """
    array = _array(array, what)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} must be numbers, got dtype {array.dtype}: encode them first")
    if array.ndim < 2:
        raise DataError(f"{what} must have shape [examples, ...], got {array.shape}")
    check_size(array.shape, what)
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, which Dataset refuses by name
        features = array.astype(np.float32)
    if array.dtype == np.uint8 and array.ndim in (3, 4):
        features /= np.float32(255)
        if array.ndim == 3:
            features = features[..., np.newaxis]
    return features


def as_labels(array: NDArray[Any], what: str) -> NDArray[np.int32]:
    """Int32 labels [N] from integers or booleans [N] or [N, 1]; raises DataError for anything else."""
    array = _array(array, what)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{what} must have shape [examples], got {array.shape}: use argmax on one-hot labels")
    if array.dtype.kind not in "biu":
        raise DataError(f"{what} must be integer class numbers, got dtype {array.dtype}")
    if array.size and (int(array.min()) < 0 or int(array.max()) >= 2**31 - 1):
        raise DataError(
            f"{what} must be class numbers from 0, got values from {array.min()} to {array.max()}; "
            "-1 usually marks examples without a label: drop them"
        )
    return array.astype(np.int32)


def check_size(shape: tuple[int, ...], what: str) -> None:
    """Raise DataError when float32 features of this shape would exceed `MAX_FEATURE_BYTES`."""
    num_bytes = 4 * math.prod(int(size) for size in shape)
    if num_bytes > MAX_FEATURE_BYTES:
        raise DataError(
            f"{what} of shape {tuple(shape)} would take {num_bytes / 2**30:.1f} GiB as float32, more than "
            f"{MAX_FEATURE_BYTES / 2**30:.0f} GiB: use a smaller data set, or a part of it"
        )


def _check_part(what: str, x: NDArray[Any], y: NDArray[Any], num_classes: int) -> None:
    if x.dtype != np.float32 or y.dtype != np.int32:
        raise DataError(
            f"{what} must be float32 features and int32 labels, got {x.dtype} and {y.dtype}: use Dataset.from_arrays"
        )
    if x.ndim < 2 or y.ndim != 1:
        raise DataError(f"{what} must have features [N, ...] and labels [N], got shapes {x.shape} and {y.shape}")
    if len(x) != len(y):
        raise DataError(f"{what} has {len(x)} feature rows, but {len(y)} labels")
    if x.size == 0:
        raise DataError(f"{what} is empty, with features of shape {x.shape}")
    if y.min() < 0 or y.max() >= num_classes:
        raise DataError(f"{what} labels must be in [0, {num_classes}), got {y.min()} to {y.max()}")
    finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{what} features must be finite: example {int(np.argmin(finite))} is the first of "
            f"{int(np.sum(~finite))} with NaN or infinity; fill in or drop missing values"
        )


def _array(value: Any, what: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError as error:  # nested lists of unequal lengths
        raise DataError(f"{what} are not one array: {error}") from error


def _drawn(num_examples: int, limit: int | None, generator: np.random.Generator) -> NDArray[np.int64]:
    if limit is None or limit >= num_examples:
        return np.arange(num_examples)
    return np.sort(generator.choice(num_examples, size=limit, replace=False))
