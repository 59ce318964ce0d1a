"""Examples as `fit` takes them: arrays, tuples or dicts of arrays for inputs and targets, with a row per example."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import DataError

Tree: TypeAlias = NDArray[Any] | tuple["Tree", ...] | dict[str, "Tree"]
"""An array, or a structure of them; a list of arrays becomes a tuple."""


MAX_COPIED_BYTES = 8 * 2**30
"""Largest copy of an array that is mapped from a file."""


@dataclass(frozen=True, eq=False)
class Examples:
    """N examples as `fit` takes them; every array has N rows.

    `x` and `y` are what the model gets and what it is to give; without `y` the model has a loss of its own. `weight`
    are sample weights [N], or a structure of them as the model's outputs have one. `columns` [N] are what else is known
    of each example, such as a user or a region: partitions may go by them, no model sees them. `asked` [N] are columns
    that somebody asks about: they are no part of what is trained on, and its digest does not know them.

    The arrays are kept as read-only views. Raises DataError when something is not an array, or rows differ in number.

    >>> examples = Examples({"age": np.array([31, 64]), "image": np.zeros((2, 8, 8))}, np.array([0, 1]))
    >>> len(examples), examples.take(np.array([1])).x["age"].tolist()
    (2, [64])
    """

    x: Tree
    y: Tree | None = None
    weight: Tree | None = None
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    asked: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", as_tree(self.x, "x"))
        for name in ("y", "weight"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, as_tree(getattr(self, name), name))
        for name in ("columns", "asked"):
            given: Mapping[str, NDArray[Any]] = getattr(self, name)
            columns = {column: read_only(as_array(values, f"column {column!r}")) for column, values in given.items()}
            object.__setattr__(self, name, columns)
        for name in ("x", "y", "weight"):
            if getattr(self, name) is not None and not list(leaves(getattr(self, name), name)):
                raise DataError(f"{name} has no array at all")
        lengths = {what: len(array) for what, array in self.leaves()}
        lengths |= {f"column {name!r}": len(values) for name, values in self.asked.items()}
        for what, length in lengths.items():
            if length != len(self):
                first = next(iter(lengths))
                raise DataError(
                    f"{first} has {len(self)} rows, but {what} has {length}: every array has one per example"
                )

    def __len__(self) -> int:
        return len(next(array for _, array in leaves(self.x, "x")))

    def leaves(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """All arrays with their names: `x`, `y['age']`, `weight`, `column 'user'`."""
        yield from leaves(self.x, "x")
        for name, tree in (("y", self.y), ("weight", self.weight)):
            if tree is not None:
                yield from leaves(tree, name)
        for name, values in self.columns.items():
            yield f"column {name!r}", values

    def take(self, rows: NDArray[np.integer[Any]] | slice) -> "Examples":
        """The examples in these rows, in their order."""

        def taken(array: NDArray[Any]) -> NDArray[Any]:
            if not isinstance(rows, slice):
                _check_copy(array, len(rows))
            return array[rows]

        return Examples(
            mapped(taken, self.x),
            None if self.y is None else mapped(taken, self.y),
            None if self.weight is None else mapped(taken, self.weight),
            {name: taken(values) for name, values in self.columns.items()},
            {name: taken(values) for name, values in self.asked.items()},
        )


def leaves(tree: Tree, name: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays of a tree, each with its place: `x`, `x[0]`, `x['image']`.

    >>> [place for place, _ in leaves({"a": np.zeros(1), "b": (np.zeros(1), np.zeros(1))}, "x")]
    ["x['a']", "x['b'][0]", "x['b'][1]"]
    """
    if isinstance(tree, dict):
        for key, part in tree.items():
            yield from leaves(part, f"{name}[{key!r}]")
    elif isinstance(tree, tuple):
        for position, part in enumerate(tree):
            yield from leaves(part, f"{name}[{position}]")
    else:
        yield name, tree


def mapped(function: Callable[[NDArray[Any]], Any], tree: Tree) -> Any:
    """The tree with the results of a function in place of its arrays."""
    if isinstance(tree, dict):
        return {key: mapped(function, part) for key, part in tree.items()}
    if isinstance(tree, tuple):
        return tuple(mapped(function, part) for part in tree)
    return function(tree)


def named(function: Callable[[str, NDArray[Any]], Any], tree: Tree, name: str) -> Any:
    """The same with the place of each array, as `leaves` tells it, as first argument."""
    places = leaves(tree, name)
    return mapped(lambda array: function(next(places)[0], array), tree)


def as_tree(value: Any, what: str) -> Tree:
    """The tree of arrays that a user gave, with read-only views of them.

    Tuples and dicts are structures, and so is a list of arrays, as for `fit`; a list of anything else is one array.
    Raises DataError for what is no array: ragged lists, objects, masked values, keys that are no strings.
    """
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise DataError(f"{what} is a dict with the keys {list(value)[:5]}: the names of inputs are strings")
        return {key: as_tree(part, f"{what}[{key!r}]") for key, part in value.items()}
    if isinstance(value, tuple) or (isinstance(value, list) and value and all(map(_is_array, value))):
        return tuple(as_tree(part, f"{what}[{position}]") for position, part in enumerate(value))
    return read_only(as_array(value, what))


def as_array(value: Any, what: str) -> NDArray[Any]:
    """The array that a value is, of at least one dimension. Raises DataError when it is none."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(
            f"{what} has {np.ma.getmaskarray(value).sum()} masked values: fill them in, or drop their examples"
        )
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:  # nested lists of unequal lengths, for one
        raise DataError(f"{what} is not one array: {error}") from error
    if array.dtype == object and (isinstance(value, Sequence) or _is_array(value)) and _are_strings(array):
        array = array.astype(str)
    if array.dtype == object:
        kind = type(value if array.ndim == 0 else next(iter(array.flat), value)).__name__
        raise DataError(f"{what} must be an array of numbers, got objects ({kind}): make all of one type and length")
    if array.ndim == 0:
        raise DataError(f"{what} must be an array with a row per example, got the single value {array!r}"[:300])
    return array


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A contiguous view that cannot be written through; the caller's own array stays as it is."""
    if not array.flags.c_contiguous:
        _check_copy(array, len(array))
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def has_one_number(array: NDArray[Any]) -> bool:
    """True for an array [N] or [N, 1]."""
    return array.shape[1:] in {(), (1,)}


def is_mapped(array: NDArray[Any]) -> bool:
    """True for an array whose values are read from a file when they are used."""
    base: Any = array
    while base is not None and not isinstance(base, np.memmap):
        base = getattr(base, "base", None)
    return base is not None


def _check_copy(array: NDArray[Any], num_rows: int) -> None:
    """Raise DataError before a mapped array fills the memory."""
    num_bytes = array.nbytes // max(1, len(array)) * num_rows
    if num_bytes > MAX_COPIED_BYTES and is_mapped(array):
        raise DataError(
            f"an array of shape {array.shape} in a file would be copied to memory, {num_bytes / 2**30:.0f} GiB of it: "
            "give the parts in files of their own (x_train.npy, x_test.npy, ...), in C order, and take all examples"
        )


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and not isinstance(value, np.generic)  # a list of numbers is one array


def _are_strings(array: NDArray[Any]) -> bool:
    return array.size > 0 and all(isinstance(value, str) for value in array.flat)
