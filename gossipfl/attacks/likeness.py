"""Two measures of how much an image that was rebuilt is like the original."""

import numpy as np
from numpy.typing import NDArray

LARGEST_PSNR = 200.0
"""Peak signal-to-noise ratio of what is equal, in decibel: a finite one, so that there is a mean over targets. float32
has 140 to 160."""

_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03


def psnr(original: NDArray[np.floating], rebuilt: NDArray[np.floating], peak: float) -> float:
    """The peak signal-to-noise ratio in decibel, 10 log10(peak^2 / mean squared error), at most `LARGEST_PSNR`.

    `peak` is the range of values, 1 for images in [0, 1].

    >>> round(psnr(np.zeros(4), np.full(4, 0.1), 1.0))
    20
    """
    error = float(np.mean(np.square(np.subtract(original, rebuilt, dtype=np.float64))))
    return LARGEST_PSNR if error <= peak**2 * 10 ** (-LARGEST_PSNR / 10) else float(10 * np.log10(peak**2 / error))


def ssim(original: NDArray[np.floating], rebuilt: NDArray[np.floating], peak: float) -> float:
    """The mean structural similarity of images [height, width] or [height, width, channels], in [-1, 1]; NaN for what
    is no image.

    The window is a Gaussian of 11 x 11 pixels with sigma 1.5 (Wang et al., 2004), less of it for smaller images.
    """
    if original.ndim not in (2, 3) or min(original.shape[:2]) < 2:
        return float("nan")
    rows, columns = map(_window_means, original.shape[:2])

    def local(images: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.einsum("ih,hwc,jw->ijc", rows, images, columns, optimize=True))

    x, y = (np.atleast_3d(image).astype(np.float64) for image in (original, rebuilt))
    mean_x, mean_y = local(x), local(y)
    variances = local(x * x) - mean_x**2 + local(y * y) - mean_y**2
    covariance = local(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))
    return float(likeness.mean())


def _window_means(size: int) -> NDArray[np.float64]:
    """A matrix [windows, size] that takes the weighted mean of each whole window along one side of an image."""
    width = min(_WINDOW, size - 1 + size % 2)
    window = np.exp(-0.5 * ((np.arange(width) - width // 2) / _SIGMA) ** 2)
    window /= window.sum()
    means = np.zeros((size - width + 1, size))
    for first, row in enumerate(means):
        row[first : first + width] = window
    return means
