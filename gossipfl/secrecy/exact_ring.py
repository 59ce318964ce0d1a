"""Numbers of float64 as integers modulo 2^2112, whose sums are exact, and hide under masks.

The integer of a number x is x 2^1074, for no float64 is finer than that; of numbers up to 2^1000, sums of 2^32 terms
stay below 2^2106. So nothing is rounded, nothing wraps, and no range has to be known before.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError

WORDS = 66
"""Words of 32 bits of a number, the lowest first."""
NUMBER_BYTES = 4 * WORDS
LARGEST = 2.0**1000

_BITS = 32 * WORDS
_FINEST = 1074

Numbers = NDArray[np.uint32]
"""Numbers as words: [N, WORDS]."""


def whole(number: float) -> int:
    """The integer of a number. Raises ConfigurationError for one beyond 2^1000, or not finite.

    >>> whole(2.0**-1074), number_of(whole(0.1) + whole(0.2)) == (0.30000000000000004, -2.7755575615628914e-17)
    (1, True)
    """
    if not abs(number) <= LARGEST:
        raise ConfigurationError(f"a term of a secure sum is up to 2^1000 in size, got {number:g}: scale the values")
    numerator, denominator = number.as_integer_ratio()
    return numerator << (_FINEST + 1 - denominator.bit_length())


def number_of(integer: int) -> tuple[float, float]:
    """The number of an integer, up to 2^1000 in size, rounded once; and what rounding lost, rounded again."""
    high = integer / 2**_FINEST
    return high, (integer - whole(high)) / 2**_FINEST


def encoded(integers: Sequence[int]) -> Numbers:
    """Integers, modulo 2^2112."""
    words = b"".join((one % 2**_BITS).to_bytes(NUMBER_BYTES, "little") for one in integers)
    return np.frombuffer(words, "<u4").reshape(-1, WORDS)


def decoded(numbers: Numbers) -> list[int]:
    """The integers from -2^2111 on."""
    words = numbers.astype("<u4").tobytes()
    found = (int.from_bytes(words[k : k + NUMBER_BYTES], "little") for k in range(0, len(words), NUMBER_BYTES))
    return [one - 2**_BITS if one >= 2 ** (_BITS - 1) else one for one in found]


def total(terms: Iterable[tuple[int, Numbers]]) -> Numbers:
    """The sum of terms with their signs, +1 or -1, at least one and fewer than 2^31, modulo 2^2112.

    >>> decoded(total([(1, encoded([2**70])), (-1, encoded([2**71 + 1]))])) == [-(2**70) - 1]
    True
    """
    words: NDArray[np.int64] | None = None
    for sign, numbers in terms:
        added = sign * numbers.astype(np.int64)
        words = added if words is None else words + added
    assert words is not None
    for word in range(WORDS - 1):
        words[:, word + 1] += words[:, word] >> 32  # rounds down, also what is below 0
    return (words & 0xFFFF_FFFF).astype(np.uint32)
