"""PSNR and SSIM: known values, and what an attack makes of them."""

import numpy as np
import pytest

from gossipfl.attacks.likeness import LARGEST_PSNR, psnr, ssim

IMAGE = np.random.default_rng(0).random((8, 8))


def test_psnr_has_its_closed_form() -> None:
    assert psnr(IMAGE, IMAGE + 0.01, 1.0) == pytest.approx(40)
    assert psnr(255 * IMAGE, 255 * IMAGE + 2.55, 255.0) == pytest.approx(40)
    assert psnr(IMAGE, IMAGE, 1.0) == LARGEST_PSNR


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (28, 28, 1), (5, 4, 3)])
def test_ssim_is_one_of_equal_images_and_less_of_others(shape) -> None:
    rng = np.random.default_rng(1)
    image, other = rng.random(shape), rng.random(shape)
    assert ssim(image, image, 1.0) == pytest.approx(1)
    assert ssim(image, image + 0.05 * other, 1.0) < 1
    assert abs(ssim(image, other, 1.0)) < 0.4
    assert ssim(image, other, 1.0) == pytest.approx(ssim(other, image, 1.0))


def test_ssim_is_the_formula_where_one_window_has_all() -> None:
    """A constant image beside one that is as bright: mean and variance are those of the whole, everywhere."""
    x, y = np.full((8, 8), 0.5), np.full((8, 8), 0.25)
    expected = (2 * 0.5 * 0.25 + 1e-4) / (0.5**2 + 0.25**2 + 1e-4)
    assert ssim(x, y, 1.0) == pytest.approx(expected)


def test_what_is_no_image_has_no_ssim() -> None:
    assert np.isnan(ssim(IMAGE[0], IMAGE[0], 1.0))
