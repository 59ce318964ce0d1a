"""A vector of float64 of which only the beginning travels, because the rest is zeros.

For peers without a model, whose messages differ in size: each declares the largest one as the size of its vectors.
"""

from collections.abc import Mapping

import numpy as np

from gossipfl.compression.compressor import ArrayHeader, Encoding
from gossipfl.compression.dense_floats import DENSE_ENCODING
from gossipfl.messages import Encoded
from gossipfl.weights import Vector, frozen


def beginning(vector: Vector, size: int) -> Encoded:
    """The `vector` and, behind it, as many zeros as make `size` elements; these need no bytes.

    >>> import numpy as np
    >>> begun = beginning(np.array([1.5, 2.5]), size=1000)
    >>> begun.size, begun.num_bytes
    (1000, 16)
    """
    assert vector.dtype == np.float64
    assert vector.shape <= (size,)
    return Encoded("beginning", {"values": frozen(vector)}, size)


def _whole(encoded: Encoded) -> Vector:
    values = encoded.arrays["values"]
    return frozen(np.concatenate([values, np.zeros(encoded.size - values.size)]))


def _violation(arrays: Mapping[str, ArrayHeader], size: int, dtype: str) -> str | None:
    if dtype != "float64":
        return f"a beginning is one of a vector of float64, expected {dtype}"
    if set(arrays) != {"values"} or arrays["values"].dtype != dtype or arrays["values"].size > size:
        return f"a beginning of {size} elements is one float64 array 'values' of that size at most, got {dict(arrays)}"
    return None


BEGINNING_ENCODING = Encoding(decompress=_whole, violation=_violation, is_finite=DENSE_ENCODING.is_finite)
