"""The magnitudes that vectors of others may have, next to one's own.

    rms(theirs) <= bound * max(rms(own), 1),    rms(v) = sqrt(sum_k v_k^2 / size)

is what is taken in; 1, because models may start at zero. It keeps one lawful message of finite giants from ending in
NaN wherever it is averaged. Robust rules, which look at directions too, this is not.
"""

import sys
from typing import Literal, TypeAlias

import numpy as np
from scipy.linalg.blas import ddot, sdot

from gossipfl.compression import decompress
from gossipfl.errors import ConfigurationError
from gossipfl.messages import Encoded
from gossipfl.weights import Vector

Bound: TypeAlias = float | Literal[False]
"""A multiple, or no bound at all."""

# OpenBLAS spreads more than 10,000 elements over threads, and the last bits come to depend on the number of cores.
_BLOCK = 8192
_DOT = {np.dtype(np.float32): sdot, np.dtype(np.float64): ddot}


def check_bound(name: str, bound: Bound) -> None:
    """Raises ConfigurationError for a bound that is no multiple of what it is compared with."""
    if bound is not False and not 1 <= bound < float("inf"):
        raise ConfigurationError(f"{name} must be at least 1 (or false, for none), got {bound}")


def sum_of_squares(vector: Vector) -> float:
    """The same bits on any number of cores; infinity where it overflows in the dtype of the vector."""
    dot, size = _DOT[vector.dtype], vector.size
    if size <= _BLOCK:
        return float(dot(vector, vector)) if size else 0.0
    # x, y, n, offx, incx, offy, incy: by position, because reading keywords takes longer than a small sum.
    return sum(
        float(dot(vector, vector, min(_BLOCK, size - start), start, 1, start, 1)) for start in range(0, size, _BLOCK)
    )


def sum_of_squares_sent(encoded: Encoded) -> float:
    """The sum of squares of a message's vector, computed once for all its receivers."""
    known: float | None = encoded.known.get("sum_of_squares")
    if known is None:
        known = encoded.known["sum_of_squares"] = sum_of_squares(decompress(encoded))
    return known


def limit(own: Vector | None, size: int, bound: float) -> float:
    """The largest sum of squares of `size` elements that is taken in: finite, so that what overflows is beyond it.

    Who has nothing of `own` compares with 1.
    """
    squares = 0.0 if own is None else sum_of_squares(own)
    return min(bound * bound * max(squares, float(size)), sys.float_info.max)
