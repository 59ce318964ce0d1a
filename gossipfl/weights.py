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


def frozen(array: NDArray[np.floating]) -> Vector:
    """The same array, made read-only; a view is copied first, so that nobody can write through its base."""
    if array.base is not None and array.flags.writeable:
        array = array.copy()
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True)
class ModelVectors:
    """What a model knows: its trainable `weights` (d floats) and its `statistics` (s floats, BatchNorm means and
    variances; empty for most models)."""

    weights: Vector
    statistics: Vector


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
