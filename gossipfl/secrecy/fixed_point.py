"""Numbers as integers modulo 2^32, whose sums are exact, and hide under masks.

A term w x with |x| <= range and weights that add up to at most 1 is the integer nearest to w x 2^b, with b so that no
sum can leave [-2^31, 2^31): half of the room is for the range, half for rounding. A sum of n terms is off by at most
n 2^-(b+1), and otherwise exact.
"""

from dataclasses import dataclass
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError
from gossipfl.weights import Vector, frozen

Ring = NDArray[np.uint32]

MOST_TERMS = 2**16
"""A sum has at most so many terms."""


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """The way from floats of a magnitude of at most `range` to integers and back; `bits` are after the point.

    Raises ConfigurationError for a range that leaves no bits after the point.
    """

    range: float

    def __post_init__(self) -> None:
        if not (0 < self.range < float("inf")) or self.bits < 1:
            raise ConfigurationError(
                f"the range of secure sums is above 0 and below 2^29, as they have 32 bits in all, got {self.range}"
            )

    @property
    def bits(self) -> int:
        return 30 - max(0, ceil(log2(self.range)))

    def encode(self, vector: Vector, weight: float) -> Ring | None:
        """A term `weight` times a vector; None where a number of the vector is beyond the range, or not finite."""
        if vector.size and not float(np.abs(vector).max()) <= self.range:
            return None
        scaled = np.multiply(vector, weight * 2.0**self.bits, dtype=np.float64)
        return np.rint(scaled, out=scaled).astype(np.int32).view(np.uint32)

    def decode(self, total: Ring, weight: float, dtype: np.dtype[np.floating]) -> Vector:
        """The mean that a sum of terms with weights that add up to `weight` stands for."""
        return frozen((total.view(np.int32) / (weight * 2.0**self.bits)).astype(dtype))

    def bound(self, num_terms: int, weight: float) -> float:
        """The largest error of a mean of so many terms, beyond that of its dtype."""
        return num_terms * 2.0 ** -(self.bits + 1) / weight
