"""Defences that are broken, and how it shows: noise that somebody can draw again, and masks that are used twice."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_CERTAIN = 6.0
"""Standard deviations: by chance once in a billion guesses."""


def without_known_noise(
    noisy: NDArray[np.floating], guesses: Iterable[NDArray[np.floating]]
) -> NDArray[np.float64] | None:
    """The vector without its noise, if one of the `guesses` is that noise; None if none of them is.

    The cosine of a vector with noise that is not in it is normal with variance 1 / d; with the noise that is in it, it
    is far above, unless the noise is lost in it. Guesses are what a known seed gives: that of a manifest, or each one
    of many small ones.
    """
    vector = noisy.astype(np.float64)
    for guess in guesses:
        noise = guess.astype(np.float64)
        size = float(np.linalg.norm(vector) * np.linalg.norm(noise))
        if size > 0 and float(vector @ noise) / size > _CERTAIN / np.sqrt(vector.size):
            return vector - noise
    return None


def difference_under_one_mask(
    first: NDArray[np.unsignedinteger], second: NDArray[np.unsignedinteger], fraction_bits: int
) -> NDArray[np.float64] | None:
    """x_1 - x_2 of two masked vectors of a ring Z_2^32 or Z_2^64, if they have the same mask; None if they do not.

    Under masks of their own the difference is uniform, and its distance from 0 is a quarter of the ring on average,
    with a standard deviation of 1 / (4 sqrt(3 d)) of the ring; under one mask it is that of two numbers.
    """
    bits = 8 * first.dtype.itemsize
    difference = (first - second).view(np.dtype(f"int{bits}")).astype(np.float64)
    mean = float(np.abs(difference).mean()) / 2.0**bits
    if mean > 0.25 - _CERTAIN / (4 * np.sqrt(3 * first.size)):
        return None
    return difference / 2.0**fraction_bits
