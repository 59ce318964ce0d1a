"""Gaussian noise that nobody can compute who does not have its secret.

Its bits are SHAKE-256 of 32 secret bytes, not those of a NumPy generator, whose numbers tell its state. Floating-point
Gaussians have another weakness: which numbers can come out depends on what they are added to, and tells it (Mironov,
2012). So what is protected is first cut off to multiples of a grid, and noise is
rounded to multiples of it: the sum is an integer times the grid, whatever it is of, and all that follows is computed
from that.
"""

import hashlib
from math import frexp, pi

import numpy as np
from numpy.typing import NDArray

GRID_BITS = 20
"""The grid is 2^-20 of the standard deviation, or a little finer."""


def gaussian(secret: bytes, size: int) -> NDArray[np.float64]:
    """`size` independent standard Gaussians of a secret, by Box and Muller's transform of 53 random bits each."""
    half = -(-size // 2)
    bits = np.frombuffer(hashlib.shake_256(secret).digest(16 * half), "<u8") >> np.uint64(11)
    uniform = (bits.astype(np.float64) + 0.5) * 2.0**-53  # above 0 and below 1
    radius = np.sqrt(-2 * np.log(uniform[:half]))
    angle = 2 * pi * uniform[half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:size]


def noised(vector: NDArray[np.floating], deviation: float, secret: bytes) -> NDArray[np.float64]:
    """A vector with Gaussian noise of a standard deviation above 0 added to each number: a multiple of the grid.

    The vector is cut off towards 0, so it is none the larger for it.
    """
    grid = 2.0 ** (frexp(deviation)[1] - 1 - GRID_BITS)
    whole = np.trunc(np.asarray(vector, np.float64) / grid)
    whole += np.rint(gaussian(secret, vector.size) * (deviation / grid))
    return whole * grid


def clipped(vector: NDArray[np.floating], largest_norm: float) -> NDArray[np.float64]:
    """A vector scaled down to a norm of at most `largest_norm`, in float64: x min(1, C / ||x||)."""
    exact = np.asarray(vector, np.float64)
    norm = float(np.linalg.norm(exact))
    if not norm > largest_norm:
        return exact
    scaled = exact * (largest_norm / norm)
    while float(np.linalg.norm(scaled)) > largest_norm:  # by rounding
        scaled *= 1 - 2.0**-52
    return scaled
