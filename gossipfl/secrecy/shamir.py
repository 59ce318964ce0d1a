"""Shamir's secret sharing (1979) over the prime 2^521 - 1: any t of n shares give the secret, fewer say nothing."""

from collections.abc import Mapping, Sequence

PRIME = 2**521 - 1
SHARE_BYTES = 66


def shares_of(secret: int, coefficients: Sequence[int], points: Sequence[int], prime: int = PRIME) -> list[int]:
    """The values at the points of the polynomial secret + c_1 x + c_2 x^2 + ..., modulo the prime.

    With t - 1 random coefficients, t shares are needed. Points are different and not 0.

    >>> shares_of(1234, [166, 94], [1, 2, 3, 4, 5, 6], prime=1613)
    [1494, 329, 965, 176, 1188, 775]
    """
    values = []
    for point in points:
        value = 0
        for coefficient in reversed([secret, *coefficients]):
            value = (value * point + coefficient) % prime
        values.append(value)
    return values


def secret_of(shares: Mapping[int, int], prime: int = PRIME) -> int:
    """The value at 0 of the polynomial of least degree through the shares, by point.

    >>> secret_of({2: 329, 4: 176, 5: 1188}, prime=1613)
    1234
    """
    secret = 0
    for point, value in shares.items():
        above = below = 1
        for other in shares:
            if other != point:
                above = above * other % prime
                below = below * (other - point) % prime
        secret = (secret + value * above * pow(below, -1, prime)) % prime
    return secret
