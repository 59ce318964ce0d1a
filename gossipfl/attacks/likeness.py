"""Two measures say how like an original is what was rebuilt of it: PSNR, and SSIM where it is an image."""

from math import log10, nan

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

LARGEST_PSNR = 200.0
"""The PSNR of what is equal, which would be infinite, and no number for a mean; floats of 32 bits come to 150 or so."""

WINDOW = 7
"""The side of the window over which SSIM compares; smaller images have a smaller one."""


def psnr(original: NDArray[np.floating], rebuilt: NDArray[np.floating], peak: float) -> float:
    """Peak signal-to-noise ratio in decibel, 10 log10(peak^2 / mean squared error), at most `LARGEST_PSNR`; `peak` is
    the range of values.

    >>> psnr(np.zeros(4), np.full(4, 0.1), 1.0)
    20.0
    """
    difference = np.asarray(original, np.float64) - np.asarray(rebuilt, np.float64)
    error = float(np.mean(difference * difference))
    smallest = peak * peak * 10 ** (-LARGEST_PSNR / 10)
    return round(10 * log10(peak * peak / max(error, smallest)), 10)


def ssim(original: NDArray[np.floating], rebuilt: NDArray[np.floating], peak: float) -> float:
    """Structural similarity of two images [height, width] or [height, width, channels], from -1 to 1, which equal ones
    have: the mean over all windows and channels (Wang et al., 2004; uniform windows). NaN for what is no image.

    >>> ssim(np.eye(8), np.eye(8), 1.0)
    1.0
    """
    x, y = np.asarray(original, np.float64), np.asarray(rebuilt, np.float64)
    if x.ndim not in (2, 3):
        return nan
    side = min(WINDOW, *x.shape[:2])
    window = (side, side) if x.ndim == 2 else (side, side, 1)
    mean_x, mean_y, square_x, square_y, product = (uniform_filter(a, window) for a in (x, y, x * x, y * y, x * y))
    variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
    covariance = product - mean_x * mean_y
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    likeness /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return float(likeness.mean())
