"""How alike two images are, by the two measures of the papers."""

import numpy as np
import pytest

from gossipfl.attacks.likeness import LARGEST_PSNR, psnr, ssim

IMAGE = np.random.default_rng(0).random((28, 28))


def test_what_is_equal_is_as_like_as_it_gets() -> None:
    assert psnr(IMAGE, IMAGE, 1.0) == LARGEST_PSNR
    assert ssim(IMAGE, IMAGE, 1.0) == pytest.approx(1.0)


def test_the_peak_is_the_range_of_values() -> None:
    assert psnr(255 * IMAGE, 255 * (IMAGE + 0.01), 255.0) == pytest.approx(40.0)


def test_ssim_is_that_of_a_plain_loop_over_windows() -> None:
    other = np.clip(IMAGE + 0.2 * np.random.default_rng(1).normal(size=IMAGE.shape), 0, 1)
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    values = []
    for i in range(5, 23):
        for j in range(5, 23):
            x, y = IMAGE[i - 5 : i + 6, j - 5 : j + 6], other[i - 5 : i + 6, j - 5 : j + 6]
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy, c = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum(), (window * (x - mx) * (y - my))
            values.append((2 * mx * my + 1e-4) * (2 * c.sum() + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    assert ssim(IMAGE, other, 1.0) == pytest.approx(np.mean(values))
    assert ssim(IMAGE[..., None], other[..., None], 1.0) == pytest.approx(np.mean(values))


def test_small_images_have_a_smaller_window_and_rows_of_numbers_have_none() -> None:
    assert ssim(IMAGE[:8, :8], IMAGE[:8, :8], 1.0) == pytest.approx(1.0)
    assert ssim(IMAGE[:8, :8], IMAGE[8:16, :8], 1.0) < 0.5
    assert np.isnan(ssim(IMAGE[0], IMAGE[0], 1.0))
