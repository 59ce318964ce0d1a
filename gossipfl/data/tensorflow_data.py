"""The examples of a finite `tf.data.Dataset`, batched or not."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.conversion import MAX_FEATURE_BYTES
from gossipfl.data.examples import Examples
from gossipfl.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf


def read_tensorflow_data(dataset: "tf.data.Dataset", what: str) -> tuple[Examples, str]:
    """All examples of a data set, in its order, and a note of what its elements were taken for.

    Elements are (x, y), (x, y, weight), (x,), or x alone, each a structure of tensors. They are batches when the first
    axis of every tensor is of unknown size, as `batch` makes it, and examples when these sizes differ.

    Raises DataError when it has no end, is empty, is ragged or sparse, or when batches cannot be told from examples.
    """
    import tensorflow as tf  # late: it takes seconds

    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"{what} has no end: use take(n), or leave repeat() out")
    specs = tf.nest.flatten(dataset.element_spec)
    if not all(isinstance(spec, tf.TensorSpec) and spec.shape.rank is not None for spec in specs):
        raise DataError(f"{what} has elements {dataset.element_spec}, expected tensors of a known number of dimensions")
    are_batches = _are_batches([tuple(spec.shape) for spec in specs], what)
    collected: list[list[NDArray[Any]]] = [[] for _ in specs]
    num_bytes = 0
    for element in dataset.as_numpy_iterator():
        for arrays, value in zip(collected, tf.nest.flatten(element), strict=True):
            arrays.append(np.asarray(value))
            num_bytes += arrays[-1].nbytes
        if num_bytes > MAX_FEATURE_BYTES:
            raise DataError(f"{what} has more than {MAX_FEATURE_BYTES / 2**30:.0f} GiB: use take(n), or files (npy:)")
    if not num_bytes:
        raise DataError(f"{what} is empty")
    try:
        joined = [np.concatenate(arrays) if are_batches else np.stack(arrays) for arrays in collected]
    except ValueError as error:
        raise DataError(f"{what}: examples differ in shape ({error}): pad or cut them to one") from error
    structure = tf.nest.pack_sequence_as(dataset.element_spec, [_strings(array) for array in joined])
    if isinstance(structure, tuple) and len(structure) > 3:
        raise DataError(f"{what} has elements of {len(structure)} parts, expected x, (x, y) or (x, y, weight)")
    examples = Examples(*structure) if isinstance(structure, tuple) else Examples(structure)
    kind = "batches" if are_batches else "examples"
    return examples, f"{what}: elements were taken for {kind}: {len(examples):,} examples in all"


def _are_batches(shapes: list[tuple[int | None, ...]], what: str) -> bool:
    firsts = {shape[0] if shape else -1 for shape in shapes}
    if firsts == {None}:
        return True
    if len(firsts) > 1 or firsts == {-1}:
        return False
    raise DataError(
        f"{what}: its elements may be batches of {firsts.pop()} or examples with so many rows: make batches of unknown "
        "size, with .batch(32), or after .unbatch() if they are batches already"
    )


def _strings(array: NDArray[Any]) -> NDArray[Any]:
    """Strings, which TensorFlow has as bytes objects, as those of NumPy."""
    return np.char.decode(array.astype(bytes), "utf-8") if array.dtype == object else array
