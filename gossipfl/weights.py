"""Model weights as one read-only vector, and the schema that turns it back into arrays.

Why flat: a vector is published by one reference assignment, mixes with one call, is one buffer on the wire and is
validated in one pass; `Model.set_weights` is half-applying and takes NaN silently.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import SchemaMismatchError

PeerId: TypeAlias = str
Vector: TypeAlias = NDArray[np.floating]
"""A read-only 1-D float array: float32 for Keras models; the algorithms keep whatever float dtype they are given."""

Weights: TypeAlias = Vector

LARGEST_INTEGER = 2**24
"""Integer variables of a model are averaged as float32, which has every integer up to this one."""


def frozen(array: NDArray[np.floating]) -> Vector:
    """The same array, made read-only; a view is copied first, so that nobody can write through its base."""
    if array.base is not None and array.flags.writeable:
        array = array.copy()
    array.setflags(write=False)
    return array


NOTHING = frozen(np.zeros(0, np.float32))
"""The vector without elements."""


def is_finite(array: NDArray[np.floating]) -> bool:
    """True if no element is NaN or infinite, without another array of this length: the sum of many has one when one of
    them has, and takes a third of the time of looking at each; only a sum that overflows needs the second look."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum())) or bool(np.isfinite([array.min(), array.max()]).all())


def integer_range(dtype: str) -> tuple[float, float]:
    """The smallest and the largest integer that a variable of `dtype` takes from a vector."""
    if dtype == "bool":
        return 0.0, 1.0
    limits = np.iinfo(dtype)
    return float(max(limits.min, -LARGEST_INTEGER)), float(min(limits.max, LARGEST_INTEGER))


def as_integers(array: NDArray[np.floating], dtype: str) -> NDArray[np.generic]:
    """The nearest integers of `dtype`, halves to the even one: what a variable takes from an average."""
    return np.asarray(np.clip(np.rint(array), *integer_range(dtype)), dtype)


@dataclass(frozen=True, slots=True)
class ModelVectors:
    """The vectors of a model that training changes: its trainable `weights` (d floats), its `statistics` (s floats:
    what training changes without a gradient, BatchNorm means and variances or counters; empty for most models), and
    what of both is `local`: it never leaves its peer (a personal head; empty unless a scenario says so)."""

    weights: Vector
    statistics: Vector
    local: Vector = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True, slots=True)
class Segment:
    """One variable of a model: name (which does not count when segments are compared), shape and NumPy dtype name."""

    name: str = field(compare=False)
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class WeightsSchema:
    """The variables behind a flat vector, in order.

    Two models have equal schemas when their variables agree in position, shape and dtype; names are for people and do
    not count, because Keras gives other names to a second instance of the same model.
    """

    segments: tuple[Segment, ...]

    @cached_property
    def size(self) -> int:
        """Number of elements of the flat vector."""
        return sum(segment.size for segment in self.segments)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the variables, numbered where two of them have one name."""
        names = tuple(segment.name for segment in self.segments)
        if len(set(names)) < len(names):
            return tuple(f"{position}/{name}" for position, name in enumerate(names))
        return names

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over position, shape and dtype of every segment."""
        description = json.dumps([[list(segment.shape), segment.dtype] for segment in self.segments])
        return hashlib.sha256(description.encode()).hexdigest()

    @classmethod
    def of(cls, arrays: Iterable[NDArray[np.floating]], names: Sequence[str] | None = None) -> "WeightsSchema":
        """The schema of a list of arrays; names default to their positions."""
        arrays = list(arrays)
        names = [str(i) for i in range(len(arrays))] if names is None else names
        return cls(
            tuple(Segment(name, array.shape, str(array.dtype)) for name, array in zip(names, arrays, strict=True))
        )

    def flatten(self, arrays: Sequence[NDArray[np.floating]]) -> Vector:
        """One read-only float32 vector of all arrays in order.

        Raises SchemaMismatchError naming the first array that differs in shape.
        """
        if len(arrays) != len(self.segments):
            raise SchemaMismatchError(f"expected {len(self.segments)} arrays, got {len(arrays)}")
        for segment, array in zip(self.segments, arrays, strict=True):
            if array.shape != segment.shape:
                raise SchemaMismatchError(
                    f"array {segment.name!r} has shape {array.shape}, the model has {segment.shape}"
                )
        vector = np.concatenate(
            [np.asarray(array, np.float32).ravel() for array in arrays] or [np.empty(0, np.float32)]
        )
        return frozen(vector)

    def unflatten(self, vector: Vector) -> list[NDArray[np.floating]]:
        """Views on `vector`, one per segment, in order.

        Raises SchemaMismatchError when the vector has another length.
        """
        if vector.shape != (self.size,):
            raise SchemaMismatchError(f"the vector has shape {vector.shape}, the model has ({self.size},)")
        views = []
        start = 0
        for segment in self.segments:
            views.append(vector[start : start + segment.size].reshape(segment.shape))
            start += segment.size
        return views


@dataclass(frozen=True, eq=False, slots=True)
class Constants:
    """The variables of a model that training never changes, in Keras order: the same for all peers of a run.

    They keep their dtypes; those that NumPy itself does not have (bfloat16) are widened to float32.
    """

    names: tuple[str, ...] = ()
    arrays: tuple[NDArray[np.generic], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.arrays)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over shapes, dtypes and little-endian bytes; names are for people, and do not count."""
        digest = hashlib.sha256()
        for array in self.arrays:
            portable = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            digest.update(f"{portable.dtype.str} {array.shape}\n".encode())
            digest.update(portable.tobytes())
        return digest.hexdigest()

    def check_shapes(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Raise SchemaMismatchError unless these are constants of such shapes."""
        if len(shapes) != len(self.arrays):
            raise SchemaMismatchError(f"there are {len(self.arrays)} constants, the model has {len(shapes)}")
        for name, array, shape in zip(self.names, self.arrays, shapes, strict=True):
            if array.shape != shape:
                raise SchemaMismatchError(f"the constant {name!r} has shape {array.shape}, the model has {shape}")


@dataclass(frozen=True, slots=True)
class StoredModel:
    """All that makes a model of an architecture: what training changes, and what it does not."""

    vectors: ModelVectors
    constants: Constants = field(default_factory=Constants)
