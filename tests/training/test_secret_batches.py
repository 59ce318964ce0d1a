"""Poisson samples: each example in each step with one probability, by a secret."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.training.secret_batches import noise_seeds, secret_batches

SHARD = np.arange(1000, 1400)


@given(st.binary(min_size=32, max_size=32), st.floats(0.01, 1), st.integers(1, 20))
def test_batches_are_samples_of_the_shard(secret, rate, num_steps) -> None:
    indices, sizes = secret_batches(SHARD, rate, 0, num_steps, secret)
    assert (indices.dtype, sizes.dtype, sizes.shape) == (np.int32, np.int32, (num_steps,))
    assert sizes.sum() == indices.size
    for batch in np.split(indices, np.cumsum(sizes)[:-1]):
        assert len({*batch.tolist()}) == batch.size
        assert np.isin(batch, SHARD).all()


def test_each_example_is_drawn_as_often_as_the_rate_says_and_independently() -> None:
    rate, num_steps = 0.1, 2000
    indices, sizes = secret_batches(SHARD, rate, 0, num_steps, bytes(32))
    counts = np.bincount(indices - 1000, minlength=400)
    deviation = np.sqrt(num_steps * rate * (1 - rate))
    assert np.abs(counts - num_steps * rate).max() < 5 * deviation
    assert counts.std() == pytest.approx(deviation, rel=0.15)
    assert sizes.std() == pytest.approx(np.sqrt(400 * rate * (1 - rate)), rel=0.1)


def test_a_rate_of_one_takes_all_in_each_step() -> None:
    indices, sizes = secret_batches(SHARD, 1.0, 0, 3, b"")
    assert sizes.tolist() == [400] * 3
    assert indices.tolist() == [*SHARD] * 3


def test_another_secret_gives_others() -> None:
    one, other = (secret_batches(SHARD, 0.5, 0, 2, bytes([k]) * 32)[0].tolist() for k in (1, 2))
    assert one != other
    assert noise_seeds(0, 3, b"a").tolist() != noise_seeds(0, 3, b"b").tolist()


@given(st.floats(0.01, 1), st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6))
def test_parts_of_a_job_have_the_batches_and_the_noise_of_the_whole(rate, first_step, num_before, num_after) -> None:
    """Engines cut jobs: a part that began anew would have the noise of the part before it once more."""
    secret, middle = bytes(32), first_step + num_before
    indices, sizes = secret_batches(SHARD, rate, first_step, num_before + num_after, secret)
    parts = [secret_batches(SHARD, rate, *part, secret) for part in ((first_step, num_before), (middle, num_after))]
    assert np.array_equal(np.concatenate([part[0] for part in parts]), indices)
    assert np.array_equal(np.concatenate([part[1] for part in parts]), sizes)
    seeds = noise_seeds(first_step, num_before + num_after, secret)
    before, after = noise_seeds(first_step, num_before, secret), noise_seeds(middle, num_after, secret)
    assert np.array_equal([*before, *after], seeds)
    assert len({*map(tuple, seeds.tolist())}) == len(seeds)
