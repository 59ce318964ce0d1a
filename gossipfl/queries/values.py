"""The numbers or texts that one peer has, and a query is about."""

from collections.abc import Mapping
from functools import cached_property
from hashlib import blake2b
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gossipfl.errors import DataError
from gossipfl.weights import Vector, frozen

LARGEST = 2.0**300
"""No number and no weight is larger in size: then weighted squares, and sums of 2^32 of them, stay below 2^1000;
and weights are no smaller than its inverse."""


class Values:
    """One peer's examples for a query: `numbers` [N], or [N, F] with several features, as float64, or N texts; and a
    weight [N] for each, if some count for more than others.

    Raises DataError for what is neither, for NaN and infinity, for integers that float64 does not have, for numbers and
    weights above 2^300, and for weights below 2^-300 other than 0.

    >>> values = Values([[1, 2], [3, 4], [5, 6]])
    >>> len(values), values.num_features
    (3, 2)
    """

    def __init__(self, numbers: ArrayLike, weights: ArrayLike | None = None) -> None:
        array = _array(numbers)
        if array.ndim > 2:
            raise DataError(f"an example has an array of shape {array.shape[1:]}; a query takes one number or a row")
        self.texts: tuple[str, ...] | None = None
        if array.dtype.kind in "US" or any(isinstance(item, str) for item in array.flat if array.dtype.kind == "O"):
            self.texts = _texts(array)
            array = np.zeros(len(array))
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        self.numbers: NDArray[np.floating] = frozen(_floats(array, "number"))
        self.weights: Vector | None = None
        if weights is not None:
            self.weights = frozen(_floats(_array(weights), "weight"))
            if self.weights.shape != self.numbers.shape[:1]:
                raise DataError(
                    f"there are {self.weights.size} weights for {len(self)} examples: one for each is meant"
                )
            wrong = (self.weights < 1 / LARGEST) & (self.weights != 0)
            if wrong.any():
                found = self.weights[np.argmax(wrong)]
                raise DataError(
                    f"the weight in row {_first(wrong)} is {found:g}: 0 or {1 / LARGEST:g} and more are meant"
                )

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def num_features(self) -> int:
        """The number of numbers, or texts, that each example has."""
        return 1 if self.numbers.ndim == 1 else self.numbers.shape[1]

    def checked(self, asked: str, num_features: int = 1, *, takes_weights: bool = False) -> NDArray[np.floating]:
        """The numbers [N, F], for a query that is called `asked`.

        Raises DataError when these are texts, have another F, or have weights that the query does not take.
        """
        if self.texts:
            raise DataError(
                f"{asked} takes numbers, and row 1 is the text {self.texts[0]!r}; top and classes count texts"
            )
        if not takes_weights:
            self._check_no_weights(asked)
        if not len(self):
            return np.zeros((0, num_features))
        if self.num_features != num_features:
            raise DataError(f"an example has {self.num_features} numbers, and {asked} is asked of {num_features}")
        return self.numbers.reshape(len(self), num_features)

    def check_single(self, asked: str) -> None:
        """Raise DataError unless each example is one number or text, and has no weight."""
        self._check_no_weights(asked)
        if self.num_features != 1 and len(self):
            raise DataError(f"an example has {self.num_features} numbers, and {asked} is asked of one")

    def _check_no_weights(self, asked: str) -> None:
        if self.weights is not None:
            raise DataError(
                f"{asked} takes no weights: leave them out, or ask for what they change (mean, sum, variance)"
            )

    @cached_property
    def items(self) -> Mapping[str, int]:
        """The number of times that each text is there; a number is its shortest text, whole ones without a point.

        >>> Values([7, 7, 0.5]).items
        {'0.5': 1, '7': 2}
        """
        if self.texts is not None:
            found, counts = np.unique(np.array(self.texts, object), return_counts=True)
            names = found.tolist()
        else:
            found, counts = np.unique(self.numbers, return_counts=True)
            names = [str(int(number)) if number.is_integer() else repr(number) for number in found.tolist()]
        return dict(zip(names, counts.tolist(), strict=True))

    @cached_property
    def hashed(self) -> "Hashed":
        """The `items` with a hash of 64 bits each (BLAKE2b), in the order of hashes."""
        hashes = [int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") for text in self.items]
        counts, texts = np.array(list(self.items.values()), np.int64), tuple(self.items)
        array = np.array(hashes, np.uint64)
        order = np.argsort(array, kind="stable")
        return Hashed(array[order], counts[order], tuple(texts[place] for place in order.tolist()))


class Hashed(NamedTuple):
    """Different texts, each with its hash and the number of times that it is there."""

    hashes: NDArray[np.uint64]
    counts: NDArray[np.int64]
    texts: tuple[str, ...]


def _array(given: ArrayLike) -> NDArray[Any]:
    if isinstance(given, np.ma.MaskedArray) and np.ma.getmaskarray(given).any():
        row = _first(np.ma.getmaskarray(given))
        raise DataError(f"row {row} is masked: leave such rows out, or say what stands in their place")
    try:
        array = np.atleast_1d(np.asarray(given))
    except ValueError:
        raise DataError("rows differ in length: each example has the same number of numbers") from None
    # NumPy would make texts of the numbers among texts, and leave out zero bytes at their ends.
    return np.asarray(given, object) if array.dtype.kind == "U" and isinstance(given, list | tuple) else array


def _texts(array: NDArray[Any]) -> tuple[str, ...]:
    if array.ndim > 1:
        raise DataError("an example has several texts: a query takes one for each")
    for row, text in enumerate(array.tolist(), 1):
        if not isinstance(text, str):
            raise DataError(f"row {row} is {text!r}, which is no text like others")
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise DataError(f"row {row} is {text!r}, in which there is half a character: read it in its encoding")
    return tuple(array.tolist())


def _floats(array: NDArray[Any], what: str) -> NDArray[np.floating]:
    if array.dtype.kind == "O":
        for row, items in enumerate(array.reshape(len(array), -1).tolist(), 1):
            for item in items:
                if not isinstance(item, Real) or (isinstance(item, int) and abs(item) > 2**53):
                    raise DataError(
                        f"the {what} in row {row} is {item!r}: real numbers, or integers up to 2^53, are meant"
                    )
    elif array.dtype.kind not in "biuf":
        raise DataError(f"a {what} is of type {array.dtype}: real numbers are meant")
    numbers = np.array(array, np.float64) + 0.0  # no -0.0, which would be another text than 0
    wrong = ~(np.abs(numbers) <= LARGEST)
    if wrong.any():
        row = _first(wrong)
        found = numbers[row - 1].ravel()[np.argmax(wrong[row - 1])]
        raise DataError(
            f"the {what} in row {row} is {found:g}: finite ones up to {LARGEST:g} are meant; leave such rows out, or "
            "say what stands in their place"
        )
    if array.dtype.kind in "iu" and ((array > 2**53) | (array < -(2**53))).any():  # of the integers, not yet rounded
        raise DataError(f"a {what} is an integer above 2^53, which float64 would round: give it as text, or scale it")
    return numbers


def _first(wrong: NDArray[np.bool_]) -> int:
    """The first row with something wrong, counted from 1."""
    return int(np.argmax(wrong.reshape(len(wrong), -1).any(axis=1))) + 1
