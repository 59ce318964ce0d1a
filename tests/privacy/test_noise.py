"""Noise is Gaussian, a multiple of its grid, and adds nothing to what is clipped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from gossipfl.privacy.noise import GRID_BITS, clipped, gaussian, noised


def test_it_is_standard_normal():
    drawn = gaussian(b"a secret of thirty-two bytes ...", 200_001)
    assert stats.kstest(drawn, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(drawn[:100_000], drawn[100_000:200_000])[0, 1]) < 0.012  # both halves of a pair
    assert drawn.size == 200_001


def test_each_secret_has_noise_of_its_own():
    assert (gaussian(b"a", 8) == gaussian(b"a", 8)).all()
    assert not (gaussian(b"a", 8) == gaussian(b"b", 8)).any()


@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_what_comes_out_is_a_multiple_of_the_grid_whatever_went_in(deviation, value):
    out = noised(np.array([value, -value, 0.0]), deviation, b"s")
    grid = deviation * 2.0**-GRID_BITS
    finest = 2.0 ** np.floor(np.log2(deviation)) * 2.0**-GRID_BITS
    assert finest <= grid
    assert (out / finest == np.rint(out / finest)).all()


def test_without_the_noise_nothing_is_larger_than_before():
    """Cut off towards 0: the same secret without a vector gives the noise alone."""
    vector = np.random.default_rng(0).normal(size=1000)
    kept = noised(vector, 0.01, b"s") - noised(np.zeros(1000), 0.01, b"s")
    assert (np.abs(kept) <= np.abs(vector)).all()
    assert np.abs(kept - vector).max() < 0.01 * 2.0**-GRID_BITS * 2


@given(arrays(np.float32, st.integers(1, 20), elements=st.floats(-1e6, 1e6, width=32)), st.floats(1e-3, 1e3))
def test_a_clip_is_never_exceeded_and_changes_nothing_below_it(vector, largest):
    out = clipped(vector, largest)
    assert np.linalg.norm(out) <= largest
    if np.linalg.norm(vector.astype(np.float64)) <= largest:
        assert (out == vector).all()


def test_the_least_deviation_is_kept():
    out = noised(np.zeros(100_000), 3.0, b"s")
    assert out.std() == pytest.approx(3.0, rel=0.01)
