"""Arrays as a source has them become arrays as a model takes them, and nothing is rescaled, cut or cast in silence.

Floats become float32, which is what `fit` makes of them; integers and booleans keep their dtype and values. Bytes that
are images stay bytes, a quarter of the memory, and a model gets them divided by 255.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.checks import pieces
from gossipfl.data.examples import Tree, as_array, has_one_number, is_mapped, mapped, named
from gossipfl.errors import DataError

MAX_FEATURE_BYTES = 8 * 2**30
"""Largest array that a source may ask for: bounds what a forged header can allocate."""

MAX_EXACT_FLOAT = 2**24
"""Beyond it float32 does not have all integers: numbers that name something would collapse."""


def as_inputs(tree: Tree, what: str) -> Any:
    """The inputs of a model: numbers, as this module says; images of bytes [N, H, W] get a channel axis.

    `what` begins the message of the DataError that is raised for strings, objects and sizes above `MAX_FEATURE_BYTES`.
    """

    def as_input(place: str, array: NDArray[Any]) -> NDArray[Any]:
        numbers = as_numbers(array, place)
        return numbers[..., np.newaxis] if numbers.dtype == np.uint8 and numbers.ndim == 3 else numbers

    return named(as_input, tree, what)


def as_targets(tree: Tree, what: str) -> Any:
    """The targets of a model: a single array of integers [N] or [N, 1] are labels, int32 [N]; others are numbers."""
    if not isinstance(tree, tuple | dict) and tree.dtype.kind in "biu" and has_one_number(tree):
        return as_labels(tree, what)
    return named(lambda place, array: as_numbers(array, place), tree, what)


def as_numbers(array: NDArray[Any], what: str) -> NDArray[Any]:
    """Floats as float32; integers and booleans as they are. Raises DataError for anything else."""
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{what} must be numbers, got dtype {array.dtype}: encode them first"
            + (", for example each string by its number" if array.dtype.kind in "US" else "")
        )
    stays = array.dtype.isnative and (array.dtype.kind != "f" or array.dtype == np.float32)
    if not (stays and is_mapped(array)):  # what is mapped from a file need not fit into memory
        check_size(array.shape, what, 4 if array.dtype.kind == "f" else array.dtype.itemsize)
    if array.dtype.kind == "f":
        return _as_float32(array, what)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def as_labels(value: Any, what: str) -> NDArray[np.int32]:
    """Int32 labels [N] from integers or booleans [N] or [N, 1]; raises DataError for anything else."""
    array = as_array(value, what)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{what} must have shape [examples], got {array.shape}: use argmax on one-hot labels")
    if array.dtype.kind not in "biu":
        raise DataError(f"{what} must be integer class numbers, got dtype {array.dtype}")
    if array.size and (int(array.min()) < 0 or int(array.max()) >= 2**31 - 1):
        raise DataError(
            f"{what} must be class numbers from 0, got values from {array.min()} to {array.max()}; -1 usually marks "
            "examples without a label: drop them; or give floats, if they are quantities"
        )
    return array.astype(np.int32, copy=False)


def is_image(array: NDArray[Any]) -> bool:
    """True for an input of bytes [N, H, W, C], which a model gets as float32(x) / 255."""
    return array.dtype == np.uint8 and array.ndim == 4


def model_inputs(tree: Tree) -> Any:
    """The inputs as a model gets them: images of bytes as float32(x) / 255, and all else as it is."""

    def as_float(array: NDArray[Any]) -> NDArray[Any]:
        if not is_image(array):
            return array
        floats = array.astype(np.float32)
        floats /= np.float32(255)  # in place: this may be the largest array that there is
        return floats

    return mapped(as_float, tree)


def check_size(shape: tuple[int, ...], what: str, itemsize: int = 4) -> None:
    """Raise DataError when an array of this shape, of float32 or another `itemsize`, would exceed
    `MAX_FEATURE_BYTES`."""
    num_bytes = itemsize * math.prod(int(size) for size in shape)
    if num_bytes > MAX_FEATURE_BYTES:
        raise DataError(
            f"{what} of shape {tuple(shape)} would take {num_bytes / 2**30:.1f} GiB, more than "
            f"{MAX_FEATURE_BYTES / 2**30:.0f} GiB: use a smaller data set, or a part of it"
        )


def _as_float32(array: NDArray[Any], what: str) -> NDArray[Any]:
    if array.dtype == np.float32 and array.dtype.isnative:
        return array
    with np.errstate(over="ignore"):  # beyond float32 they become infinite, which a data set refuses by name
        floats = array.astype(np.float32)
    if array.dtype.itemsize > 4:
        for given, made in zip(pieces(array), pieces(floats, array.itemsize), strict=True):
            _check_whole(given, made, what)
    return floats


def _check_whole(array: NDArray[Any], floats: NDArray[np.float32], what: str) -> None:
    """Raise DataError for whole numbers that have collapsed: they may name something; above 2^53 every float is
    whole."""
    collapsed = (floats != array) & (np.abs(array) > MAX_EXACT_FLOAT) & (np.abs(array) < 2**53)
    collapsed &= array == np.floor(array)
    if collapsed.any():
        raise DataError(
            f"{what} has whole numbers that float32 does not have, such as {array[collapsed][0]:.0f}: give numbers "
            "that name something as integers, and quantities in a larger unit"
        )
