"""Weights leave in half the bytes: as bfloat16, the upper half of a float32."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gossipfl.compression.compressor import ArrayHeader, Encoding
from gossipfl.compression.dense_floats import DENSE_ENCODING
from gossipfl.compression.outgoing import Memory
from gossipfl.errors import LocalProtocolError, SchemaMismatchError
from gossipfl.messages import Encoded
from gossipfl.randomness import Randomness
from gossipfl.weights import Vector, frozen

_BLOCK = 2**16  # elements, whose temporaries stay in the cache
_INFINITY = 0x7F80  # without its sign; what is larger is NaN


@dataclass(frozen=True, slots=True)
class Bfloat16:
    """Weights leave as bfloat16, in 2 d bytes: 8 bits of precision in place of 24 (Kalamkar et al., 2019).

        C(x) = the nearest bfloat16 of each element; of two, the one whose last bit is 0

    so that |C(x) - x| <= 2^-8 |x| for every normal number, and delta = 1 - 2^-16. What would round to infinity becomes
    the largest finite bfloat16. What rounding takes away is kept by the peer, as with every stage. Other vectors leave
    as they are: statistics and optimizer states hold variances and counters, which must be neither below 0 nor
    rounded. So do weights in float64, of which models have none.
    """

    encoding: ClassVar[str] = "bfloat16"
    encodes: ClassVar[bool] = True

    def compress(self, vector: Vector) -> Encoded:
        """Raises SchemaMismatchError unless the vector is one-dimensional and float32."""
        if vector.ndim != 1 or vector.dtype != np.float32:
            raise SchemaMismatchError(
                f"bfloat16 is made of a vector of float32, got shape {vector.shape} and {vector.dtype}"
            )
        bits, halves = np.ascontiguousarray(vector).view(np.uint32), np.empty(vector.size, np.uint16)
        for block in _blocks(vector.size):
            halves[block] = _rounded(bits[block])
        halves.setflags(write=False)
        return Encoded(self.encoding, {"values": halves}, vector.size)

    def decompress(self, encoded: Encoded) -> Vector:
        return _floats(encoded)

    def first(self, vectors: Mapping[str, Vector]) -> Memory:
        return {}

    def apply(
        self, leaving: Mapping[str, Encoded], memory: Memory, randomness: Randomness
    ) -> tuple[Mapping[str, Encoded], Memory]:
        weights = DENSE_ENCODING.decompress(leaving["weights"])
        return (leaving if weights.dtype != np.float32 else {**leaving, "weights": self.compress(weights)}), memory


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, size, _BLOCK))


def _rounded(bits: NDArray[np.uint32]) -> NDArray[np.integer[Any]]:
    """The upper halves, rounded to nearest, ties to even; NaN and infinity stay what they are."""
    upper = bits >> 16
    rounded = (bits + (0x7FFF + (upper & 1))) >> 16
    magnitudes = upper & 0x7FFF
    if (magnitudes >= _INFINITY - 1).any():
        rounded -= (rounded & 0x7FFF) == _INFINITY
        rounded = np.where(magnitudes >= _INFINITY, upper | ((bits & 0xFFFF) != 0), rounded)
    return rounded


def _floats(encoded: Encoded) -> Vector:
    halves = encoded.arrays.get("values")
    if halves is None or halves.shape != (encoded.size,) or halves.dtype != np.uint16:
        arrays = ", ".join(f"{name}: {array.dtype}{array.shape}" for name, array in encoded.arrays.items()) or "none"
        raise LocalProtocolError(
            f"bfloat16 of {encoded.size} elements is one uint16 array 'values' of that size, got {arrays}"
        )
    vector = np.empty(encoded.size, np.float32)
    np.left_shift(halves, 16, out=vector.view(np.uint32), dtype=np.uint32)
    return frozen(vector)


def _is_finite(arrays: Mapping[str, NDArray[Any]]) -> bool:
    halves = arrays["values"]
    return not any(((halves[block] & 0x7FFF) >= _INFINITY).any() for block in _blocks(halves.size))


def _violation(arrays: Mapping[str, ArrayHeader], size: int, dtype: str) -> str | None:
    if dtype != "float32":
        return f"bfloat16 stands for float32, expected {dtype}"
    if arrays != {"values": ("uint16", size)}:
        return f"bfloat16 of {size} elements has one uint16 array 'values' of that size, got {dict(arrays)}"
    return None


BFLOAT16_ENCODING = Encoding(decompress=_floats, violation=_violation, is_finite=_is_finite)
