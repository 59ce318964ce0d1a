"""The contracts of compressors, and of encodings, which a receiver has to read safely."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from gossipfl.messages import Encoded
from gossipfl.weights import Vector


class Compressor(Protocol):
    """Turns a vector of d elements into an `Encoded` and back, losing a bounded part of it.

    Contract, for some 0 < delta <= 1 and every x: E||C(x) - x||^2 <= (1 - delta) ||x||^2 with C(x) the decompressed
    vector (Stich et al., 2018); a lossless compressor has delta = 1. C(x) has the size and dtype of x and is
    read-only. A compressor is a frozen dataclass; `encoding` is the name that its `Encoded` vectors carry, and reading
    them back needs none of its parameters.
    """

    @property
    def encoding(self) -> str: ...

    def compress(self, vector: Vector) -> Encoded: ...

    def decompress(self, encoded: Encoded) -> Vector: ...


class ArrayHeader(NamedTuple):
    """A message's own word on one of its arrays, before that is read: NumPy dtype name and number of elements."""

    dtype: str
    size: int


@dataclass(frozen=True, slots=True)
class Encoding:
    """The receiver's side of an encoding.

    `decompress` gives the vector back. `violation(arrays, size, dtype)` says what is wrong with arrays that claim to
    hold a vector of `size` elements of `dtype`, or None when they can: it is asked before any array is read.
    `is_finite` says of arrays without a violation that no element of their vector is NaN or infinite.
    """

    decompress: Callable[[Encoded], Vector]
    violation: Callable[[Mapping[str, ArrayHeader], int, str], str | None]
    is_finite: Callable[[Mapping[str, NDArray[Any]]], bool]
