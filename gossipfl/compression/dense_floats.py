"""No compression: the vector itself is the one array on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gossipfl.compression.compressor import ArrayHeader, Encoding
from gossipfl.errors import LocalProtocolError, SchemaMismatchError
from gossipfl.messages import Encoded
from gossipfl.weights import Vector, frozen, is_finite

_FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


def dense(vector: Vector) -> Encoded:
    """The vector as it is, without a copy: C(x) = x, delta = 1, 4 d bytes for float32 and 8 d for float64.

    What is sent is shared with its receivers, so a vector that is still writeable is made read-only first.
    Raises SchemaMismatchError unless it is one-dimensional and float32 or float64.
    """
    if vector.ndim != 1 or vector.dtype not in _FLOATS:
        raise SchemaMismatchError(
            f"a dense vector is one-dimensional and float32 or float64, got shape {vector.shape} and {vector.dtype}"
        )
    if vector.flags.writeable:
        vector = frozen(vector)
    return Encoded("dense", {"values": vector}, vector.size)


def encoded(vectors: Mapping[str, Vector]) -> dict[str, Encoded]:
    """The vectors, encoded for a message; no copy is made."""
    return {name: dense(vector) for name, vector in vectors.items()}


@dataclass(frozen=True, slots=True)
class Dense:
    """The lossless compressor: C(x) = x, delta = 1; both ways share memory with the vector."""

    encoding: ClassVar[str] = "dense"

    def compress(self, vector: Vector) -> Encoded:
        return dense(vector)

    def decompress(self, encoded: Encoded) -> Vector:
        return _values(encoded)


def _values(encoded: Encoded) -> Vector:
    values = encoded.arrays.get("values")
    if values is None or values.size != encoded.size or values.ndim != 1 or values.dtype not in _FLOATS:
        arrays = ", ".join(f"{name}: {array.dtype}{array.shape}" for name, array in encoded.arrays.items()) or "none"
        raise LocalProtocolError(
            f"a dense vector of {encoded.size} elements holds one float array 'values' of that size, got {arrays}"
        )
    return values


def _violation(arrays: Mapping[str, ArrayHeader], size: int, dtype: str) -> str | None:
    if set(arrays) != {"values"}:
        return f"a dense vector has one array 'values', got {sorted(arrays)}"
    values = arrays["values"]
    if values.dtype != dtype:
        return f"'values' is {values.dtype}, expected {dtype}"
    if values.size != size:
        return f"'values' has {values.size} elements, expected {size}"
    return None


def _is_finite(arrays: Mapping[str, NDArray[Any]]) -> bool:
    return is_finite(arrays["values"])


DENSE_ENCODING = Encoding(decompress=_values, violation=_violation, is_finite=_is_finite)
