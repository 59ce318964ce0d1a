"""The exam that every aggregation rule passes: adding one is adding a row to AGGREGATORS."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.aggregators import Contribution, ExampleWeightedMean, MixingRow, UniformMean
from gossipfl.errors import LocalProtocolError, SchemaMismatchError

AGGREGATORS = [
    pytest.param(ExampleWeightedMean(), id="examples"),
    pytest.param(UniformMean(), id="uniform"),
    pytest.param(MixingRow(), id="mixing row"),
]


@st.composite
def contributions(draw, dtype=None):
    dtype = np.dtype(draw(st.sampled_from([np.float32, np.float64])) if dtype is None else dtype)
    num_peers, size = draw(st.integers(1, 8)), draw(st.integers(0, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    counts = rng.integers(0, draw(st.sampled_from([2, 1000])), num_peers)
    counts[0] += 1
    weights = rng.dirichlet(np.full(num_peers, draw(st.sampled_from([0.1, 10]))))
    return [
        Contribution(str(i), rng.uniform(-100, 100, size).astype(dtype), float(weight), int(count))
        for i, (weight, count) in enumerate(zip(weights, counts, strict=True))
    ]


def moved(received, change):
    return [contribution._replace(vector=change(contribution.vector)) for contribution in received]


def assert_close(left, right):
    tolerance = 1e-3 if left.dtype == np.float32 else 1e-11
    np.testing.assert_allclose(left, right, rtol=0, atol=tolerance)


@pytest.mark.parametrize("aggregate", AGGREGATORS)
class TestExam:
    @settings(max_examples=40)
    @given(received=contributions(), seed=st.integers(0, 100))
    def test_it_is_a_function_of_the_set(self, aggregate, received, seed):
        shuffled = [received[i] for i in np.random.default_rng(seed).permutation(len(received))]
        assert_close(aggregate(received), aggregate(shuffled))

    @settings(max_examples=40)
    @given(received=contributions(), shift=st.floats(-100, 100))
    def test_it_moves_with_its_inputs(self, aggregate, received, shift):
        assert_close(aggregate(moved(received, lambda vector: vector + shift)), aggregate(received) + shift)

    @settings(max_examples=40)
    @given(received=contributions(), scale=st.floats(-10, 10))
    def test_it_scales_with_its_inputs(self, aggregate, received, scale):
        assert_close(aggregate(moved(received, lambda vector: vector * scale)), aggregate(received) * scale)

    @settings(max_examples=40)
    @given(received=contributions())
    def test_equal_inputs_give_that_input(self, aggregate, received):
        vector = received[0].vector
        assert_close(aggregate(moved(received, lambda _: vector)), vector)

    @settings(max_examples=40)
    @given(received=contributions())
    def test_it_stays_between_its_inputs(self, aggregate, received):
        stack = np.stack([contribution.vector for contribution in received])
        result = aggregate(received)
        assert_close(result, np.clip(result, stack.min(axis=0), stack.max(axis=0)))

    @settings(max_examples=40)
    @given(received=contributions())
    def test_one_contribution_gives_itself(self, aggregate, received):
        alone = received[0]._replace(mixing_weight=1.0, num_examples=3)
        np.testing.assert_array_equal(aggregate([alone]), alone.vector)

    @settings(max_examples=40)
    @given(received=contributions())
    def test_the_result_is_read_only_and_the_inputs_are_left_alone(self, aggregate, received):
        for contribution in received:
            contribution.vector.setflags(write=False)
        before = [contribution.vector.copy() for contribution in received]
        result = aggregate(received)
        assert not result.flags.writeable
        assert (result.dtype, result.shape) == (before[0].dtype, before[0].shape)
        for contribution, vector in zip(received, before, strict=True):
            np.testing.assert_array_equal(contribution.vector, vector)

    def test_nothing_cannot_be_aggregated(self, aggregate):
        with pytest.raises(LocalProtocolError, match="nothing to aggregate"):
            aggregate([])

    @pytest.mark.parametrize("other", [np.zeros(4, np.float32), np.zeros(3, np.float64)])
    def test_the_first_vector_that_differs_is_named(self, aggregate, other):
        received = [
            Contribution(sender, vector, 0.5, 1)
            for sender, vector in {"own": np.zeros(3, np.float32), "guest": other}.items()
        ]
        with pytest.raises(SchemaMismatchError, match="the vector of 'guest' is"):
            aggregate(received)

    @pytest.mark.parametrize("vector", [np.zeros((2, 2), np.float32), np.zeros(2, np.float16), np.zeros(2, np.int64)])
    def test_only_vectors_of_floats_are_aggregated(self, aggregate, vector):
        with pytest.raises(SchemaMismatchError, match="float32 or float64, that of 'own' is"):
            aggregate([Contribution("own", vector, 1.0, 1)])

    def test_it_is_a_plain_value(self, aggregate):
        assert pickle.loads(pickle.dumps(aggregate)) == aggregate


@given(contributions(np.float64))
def test_the_means_agree_with_their_formulas(received):
    X = np.stack([contribution.vector for contribution in received])
    n = np.array([contribution.num_examples for contribution in received])
    w = np.array([contribution.mixing_weight for contribution in received])
    assert_close(ExampleWeightedMean()(received), n @ X / n.sum())
    assert_close(UniformMean()(received), X.mean(axis=0))
    assert_close(MixingRow()(received), w @ X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [8191, 8192, 8193, 20_000])
def test_large_vectors_are_summed_to_their_end(size, dtype):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (3, size)).astype(dtype)
    received = [Contribution(str(i), row, 0.0, i) for i, row in enumerate(X)]
    assert_close(ExampleWeightedMean()(received), (np.array([0, 1, 2]) @ X.astype(np.float64) / 3).astype(dtype))


def test_unaligned_and_strided_vectors_are_as_good_as_others():
    plain = np.arange(9000.0)
    unaligned = np.frombuffer(b"\0\0\0\0" + plain.tobytes(), np.float64, offset=4)
    strided = np.repeat(plain, 2)[::2]
    received = [Contribution(str(i), vector, 0.0, 1) for i, vector in enumerate((plain, unaligned, strided))]
    assert_close(UniformMean()(received), plain)


def with_numbers(*numbers):
    return [Contribution(str(i), np.ones(2), weight, count) for i, (weight, count) in enumerate(numbers)]


def test_examples_may_be_missing_at_some_peers_but_not_at_all():
    np.testing.assert_array_equal(ExampleWeightedMean()(with_numbers((0, 0), (0, 5))), np.ones(2))
    with pytest.raises(LocalProtocolError, match="one of them is > 0, got 0: 0, 1: 0"):
        ExampleWeightedMean()(with_numbers((0, 0), (0, 0)))
    with pytest.raises(LocalProtocolError, match="got 0: 9, 1: -1"):
        ExampleWeightedMean()(with_numbers((0, 9), (0, -1)))


@pytest.mark.parametrize("weight", [0.49, 0.51, float("nan"), float("inf")])
def test_a_mixing_row_sums_to_one(weight):
    with pytest.raises(LocalProtocolError, match="sum to 1, these to"):
        MixingRow()(with_numbers((0.5, 1), (weight, 1)))


def test_numpy_weights_do_not_change_the_dtype():
    received = [Contribution(str(i), np.ones(2, np.float32), np.float64(0.5), np.int64(3)) for i in range(2)]
    for aggregate in (ExampleWeightedMean(), UniformMean(), MixingRow()):
        assert aggregate(received).dtype == np.float32
