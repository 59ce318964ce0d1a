"""Statistics that are averaged as moments are those of all inputs together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gossipfl.errors import ConfigurationError
from gossipfl.mixing import Pooling
from gossipfl.weights import Segment, WeightsSchema, frozen

TWO = Pooling(((0, 2, 2),))

inputs = arrays(np.float64, st.tuples(st.integers(2, 9), st.just(2)), elements=st.floats(-100, 100))


def statistics_of(rows) -> np.ndarray:
    return frozen(np.concatenate([rows.mean(axis=0), rows.var(axis=0)]))


def schema(*names, shape=(3,)) -> WeightsSchema:
    return WeightsSchema(tuple(Segment(name, shape, "float32") for name in names))


@given(st.lists(inputs, min_size=1, max_size=5))
def test_the_mean_of_moments_is_that_of_all_inputs_together(shards):
    sizes = np.array([len(rows) for rows in shards])
    moments = [TWO.moments(statistics_of(rows)) for rows in shards]
    pooled = TWO.statistics(np.average(moments, axis=0, weights=sizes))
    np.testing.assert_allclose(pooled, statistics_of(np.concatenate(shards)), atol=1e-9)


@given(
    arrays(np.float32, 4, elements=st.floats(-1e3, 1e3, width=32)),
    st.lists(st.floats(-1, 1), min_size=4, max_size=4),
)
def test_no_variance_is_below_zero_and_what_was_not_averaged_comes_back(moments, relative):
    statistics = TWO.statistics(moments)
    assert (statistics[2:] >= 0).all()
    assert statistics.dtype == np.float32
    assert not statistics.flags.writeable
    back = TWO.statistics(TWO.moments(statistics))
    np.testing.assert_array_equal(back[:2], statistics[:2])
    np.testing.assert_allclose(
        back[2:], statistics[2:], atol=1e-9 + 2.0**-22 * (statistics[:2] ** 2 + 1).max(), rtol=1e-6
    )


def test_without_pairs_nothing_is_touched():
    vector = frozen(np.arange(3.0))
    assert Pooling().moments(vector) is vector
    assert Pooling().statistics(vector) is vector


def test_pairs_are_the_means_and_variances_of_one_layer():
    names = ["scale/count", "bn/moving_mean", "bn/moving_variance", "other/moving_variance"]
    assert Pooling.of(schema(*names)) == Pooling(((3, 6, 3),))
    two = schema("a/moving_mean", "a/moving_variance", "b/moving_mean", "b/moving_variance", shape=())
    assert Pooling.of(two) == Pooling(((0, 1, 1), (2, 3, 1)))


@pytest.mark.parametrize("names", [[], ["a/moving_mean"], ["a/moving_mean", "b/moving_variance"], ["a/n", "a/m"]])
def test_a_model_without_pairs_is_refused(names):
    with pytest.raises(ConfigurationError, match=r'"pooled" needs a layer with a moving_mean .* leave it out'):
        Pooling.of(schema(*names))
