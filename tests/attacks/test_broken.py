"""Defences that are broken on purpose are broken by the audit; whole ones are not."""

import numpy as np
import pytest

from gossipfl.attacks.broken import difference_under_one_mask, without_known_noise

SIZE = 2000


def test_noise_of_a_known_seed_is_taken_off_and_that_of_another_is_not() -> None:
    rng = np.random.default_rng(0)
    update = 0.01 * rng.normal(size=SIZE)
    draws = [np.random.default_rng(seed).normal(size=SIZE) for seed in range(200)]
    found = without_known_noise(update + draws[137], draws)
    assert found == pytest.approx(update, abs=1e-12)
    assert without_known_noise(update + rng.normal(size=SIZE), draws) is None


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_a_mask_that_is_used_twice_shows_the_difference_and_fresh_ones_show_nothing(
    dtype: type[np.unsignedinteger],
) -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, SIZE))
    encoded = [np.rint(x * 2**20).astype(np.int64).astype(dtype) for x in (first, second)]
    masks = rng.integers(np.iinfo(dtype).max, size=(2, SIZE), dtype=dtype, endpoint=True)
    reused = difference_under_one_mask(encoded[0] + masks[0], encoded[1] + masks[0], 20)
    assert reused == pytest.approx(first - second, abs=2**-20)
    assert difference_under_one_mask(encoded[0] + masks[0], encoded[1] + masks[1], 20) is None
