"""Checks of the parts of a data set: a wrong answer is worse than none."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.examples import Examples, Tree, leaves
from gossipfl.errors import DataError

PIECE_BYTES = 64 * 2**20
"""So much of an array is looked at once: those that are mapped from files may be larger than memory."""


def check_part(what: str, examples: Examples, num_classes: int | None) -> None:
    """Raise DataError, naming the array, for a part that is empty, not converted, not finite, or has unknown labels."""
    if len(examples) == 0:
        raise DataError(f"{what} is empty: it has no examples")
    for place, array in _numbers(examples):
        if array.size == 0:
            raise DataError(f"{what} {place} is empty, with shape {array.shape}")
        if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and array.dtype != np.float32):
            raise DataError(f"{what} {place} must be float32, integers or booleans, got {array.dtype}: use from_arrays")
        if array.dtype.kind == "f":
            _check_finite(f"{what} {place}", array)
    _check_weight(what, examples)
    y = examples.y
    if num_classes is not None and isinstance(y, np.ndarray) and y.dtype.kind in "iu" and y.ndim == 1:
        if y.dtype != np.int32:
            raise DataError(f"{what} y must be int32 labels, got {y.dtype}: use from_arrays")
        if y.min() < 0 or y.max() >= num_classes:
            raise DataError(f"{what} y: labels must be in [0, {num_classes}), got {y.min()} to {y.max()}")


def _check_weight(what: str, examples: Examples) -> None:
    """Raise DataError for sample weights that a single target cannot have."""
    y, weight = examples.y, examples.weight
    if weight is None or not isinstance(y, np.ndarray):
        return
    arrays = [array for _, array in leaves(weight, "weight")]
    of_one = arrays[0].shape[1:]
    if len(arrays) > 1 or (of_one != (1,) and of_one != y.shape[1:][: len(of_one)]):
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise DataError(
            f"{what} weight has the shape {shapes}, and y has {y.shape}: give a number for each example, or for each "
            "of its steps"
        )


def check_alike(name: str, train: Examples, part: str, other: Examples) -> None:
    """Raise DataError, naming the array, where a part differs from the training set in structure, shape, dtype or
    range."""
    for field in ("x", "y", "weight"):
        mine, theirs = _by_place(getattr(train, field), field), _by_place(getattr(other, field), field)
        if mine.keys() != theirs.keys() and not (field == "weight" and not (mine and theirs)):
            raise DataError(
                f"{name}: {field} must have one structure, got {', '.join(mine) or 'none'} in the training set and "
                f"{', '.join(theirs) or 'none'} in the {part} set"
            )
        for place in mine.keys() & theirs.keys():
            _check_alike(f"{name}: {place}", mine[place], part, theirs[place])


def pieces(array: NDArray[Any], itemsize: int | None = None) -> Iterator[NDArray[Any]]:
    """The rows of an array, some at a time: as many as of one with this `itemsize`."""
    num_bytes = array.size * (itemsize or array.itemsize)
    rows = max(1, PIECE_BYTES // max(1, num_bytes // max(1, len(array))))
    for first in range(0, len(array), rows):
        yield array[first : first + rows]


def _check_alike(what: str, mine: NDArray[Any], part: str, theirs: NDArray[Any]) -> None:
    for quality, of_mine, of_theirs in (
        ("dtype", mine.dtype, theirs.dtype),  # before shapes: images of bytes were given a channel axis
        ("shape", mine.shape[1:], theirs.shape[1:]),
    ):
        if of_mine != of_theirs:
            raise DataError(
                f"{what} must have one {quality}, got {of_mine} in the training set and {of_theirs} in the {part} set: "
                "prepare both alike"
            )
    for one, another, names in ((mine, theirs, ("training", part)), (theirs, mine, (part, "training"))):
        if _is_bytes(another) and _is_unit(one):
            raise DataError(
                f"{what} must have one range, got fractions in [0, 1] in the {names[0]} set and whole numbers up to "
                f"{another.max():g} in the {names[1]} set: it seems that one of them was divided by 255; prepare both "
                "alike"
            )


def _is_unit(array: NDArray[Any]) -> bool:
    """True for fractions: floats in [0, 1], some between."""
    if array.dtype.kind != "f" or float(array.min()) < 0 or float(array.max()) > 1:
        return False
    return not _is_whole(array)


def _is_bytes(array: NDArray[Any]) -> bool:
    """True for whole numbers as bytes have them, not all of them small."""
    return float(array.min()) >= 0 and 100 < float(array.max()) <= 255 and _is_whole(array)


def _is_whole(array: NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or all((piece == np.floor(piece)).all() for piece in pieces(array))


def _check_finite(what: str, array: NDArray[Any]) -> None:
    first, count, begin = None, 0, 0
    for piece in pieces(array):
        finite = np.isfinite(piece).reshape(len(piece), -1).all(axis=1)
        if not finite.all():
            first = begin + int(np.argmin(finite)) if first is None else first
            count += int(np.sum(~finite))
        begin += len(piece)
    if count:
        raise DataError(
            f"{what} must be finite: example {first} is the first of {count} with NaN or infinity; fill in or drop "
            "missing values"
        )


def _numbers(examples: Examples) -> Iterator[tuple[str, NDArray[Any]]]:
    for field in ("x", "y", "weight"):
        yield from _by_place(getattr(examples, field), field).items()


def _by_place(tree: Tree | None, name: str) -> dict[str, NDArray[Any]]:
    return {} if tree is None else dict(leaves(tree, name))
