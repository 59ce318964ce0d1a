"""The exam that every aggregator passes, as a scenario makes it by default.

An aggregator sits it as soon as it is named in `gossipfl.aggregators.AGGREGATORS`. A row of `OTHERS` adds one with
parameters; `DO_NOT_MOVE` and `DO_NOT_STAY_BETWEEN` excuse those that promise less.
"""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.aggregators import AGGREGATORS, Aggregator, Context, Contribution, Mean, Median, weighted_mean
from gossipfl.errors import LocalProtocolError, SchemaMismatchError
from gossipfl.weights import as_integers

OTHERS: dict[str, Aggregator] = {}
DO_NOT_MOVE: set[str] = set()
"""Aggregators that do not move with their inputs, as those that look at the size of a model."""
DO_NOT_STAY_BETWEEN: set[str] = set()
"""Aggregators whose result may lie outside the range of their inputs, as those that remember where they were."""

ROWS = {**{name: made() for name, made in AGGREGATORS.items()}, **OTHERS}
CONTEXT = Context(step=3, num_steps=10)
SIZES = {"weights": 40, "statistics": 3, "optimizer": 5}


@st.composite
def contributions(draw, dtype=None, lacking=False):
    """What up to eight peers bring to a step, and which of them is one's own; with `lacking`, others may be without an
    optimizer."""
    dtype = np.dtype(draw(st.sampled_from([np.float32, np.float64])) if dtype is None else dtype)
    num_peers = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = rng.dirichlet(np.full(num_peers, draw(st.sampled_from([0.1, 10]))))
    mine = draw(st.integers(0, num_peers - 1))
    without = draw(st.sets(st.integers(0, num_peers - 1))) - {mine} if lacking else set()
    names = draw(st.sets(st.sampled_from(["statistics", "optimizer"])))
    received = [
        Contribution(
            str(i),
            {
                name: rng.uniform(-100, 100, size).astype(dtype)
                for name, size in SIZES.items()
                if name == "weights" or (name in names and not (i in without and name == "optimizer"))
            },
            float(weight),
            int(rng.integers(1, 1000)),
        )
        for i, weight in enumerate(weights)
    ]
    return received, mine


def moved(received, change):
    return [
        contribution._replace(vectors={name: change(vector) for name, vector in contribution.vectors.items()})
        for contribution in received
    ]


def made(aggregate, received, mine, memory=None):
    return aggregate(received[mine], received, memory or {}, CONTEXT)[0]


def assert_close(left, right):
    assert left.keys() == right.keys()
    for name, vector in left.items():
        tolerance = 1e-3 if vector.dtype == np.float32 else 1e-11
        np.testing.assert_allclose(vector, right[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ROWS)
class TestExam:
    @settings(max_examples=40)
    @given(case=contributions(lacking=True), seed=st.integers(0, 100))
    def test_it_is_a_function_of_the_set(self, name, case, seed):
        (received, mine), order = case, np.random.default_rng(seed).permutation(len(case[0]))
        shuffled = [received[i] for i in order]
        assert_close(made(ROWS[name], received, mine), made(ROWS[name], shuffled, list(order).index(mine)))

    @settings(max_examples=40)
    @given(case=contributions(), shift=st.floats(-100, 100))
    def test_it_moves_with_its_inputs(self, name, case, shift):
        if name not in DO_NOT_MOVE:
            (received, mine), before = case, made(ROWS[name], *case)
            after = made(ROWS[name], moved(received, lambda vector: vector + shift), mine)
            assert_close(after, {key: vector + shift for key, vector in before.items()})

    @settings(max_examples=40)
    @given(case=contributions(), scale=st.floats(-10, 10))
    def test_it_scales_with_its_inputs(self, name, case, scale):
        (received, mine), before = case, made(ROWS[name], *case)
        after = made(ROWS[name], moved(received, lambda vector: vector * scale), mine)
        assert_close(after, {key: vector * scale for key, vector in before.items()})

    @settings(max_examples=40)
    @given(case=contributions(lacking=True))
    def test_it_stays_between_its_inputs(self, name, case):
        if name not in DO_NOT_STAY_BETWEEN:
            received, mine = case
            for key, vector in made(ROWS[name], received, mine).items():
                stack = np.stack([one.vectors[key] for one in received if key in one.vectors])
                assert_close({key: vector}, {key: np.clip(vector, stack.min(axis=0), stack.max(axis=0))})

    @settings(max_examples=40)
    @given(case=contributions())
    def test_equal_inputs_give_that_input(self, name, case):
        received, mine = case
        equal = [contribution._replace(vectors=received[0].vectors) for contribution in received]
        assert_close(made(ROWS[name], equal, mine), received[0].vectors)

    @settings(max_examples=40)
    @given(case=contributions())
    def test_ones_own_alone_gives_itself(self, name, case):
        received, mine = case
        alone = received[mine]._replace(mixing_weight=1.0)
        for key, vector in made(ROWS[name], [alone], 0).items():
            np.testing.assert_array_equal(vector, alone.vectors[key])

    @settings(max_examples=40)
    @given(case=contributions(lacking=True))
    def test_the_result_is_read_only_and_the_inputs_are_left_alone(self, name, case):
        received, mine = case
        before = moved(received, np.copy)
        for contribution in received:
            for vector in contribution.vectors.values():
                vector.setflags(write=False)
        result = made(ROWS[name], received, mine)
        own = received[mine].vectors
        assert result.keys() == own.keys()
        for key, vector in result.items():
            assert not vector.flags.writeable
            assert (vector.dtype, vector.shape) == (own[key].dtype, own[key].shape)
        for contribution, copy in zip(received, before, strict=True):
            for key, vector in contribution.vectors.items():
                np.testing.assert_array_equal(vector, copy.vectors[key])

    @settings(max_examples=40)
    @given(first=contributions(lacking=True), seed=st.integers(0, 100))
    def test_what_it_remembers_can_be_kept_and_read_again(self, name, first, seed):
        """A step that goes on from a snapshot is, in every bit, the one that goes on from memory."""
        received, mine = first
        _, memory = ROWS[name](received[mine], received, {}, CONTEXT)
        kept = {key: np.frombuffer(vector.tobytes(), vector.dtype) for key, vector in memory.items()}
        rng = np.random.default_rng(seed)
        later = moved(received, lambda vector: vector + rng.normal(size=vector.shape).astype(vector.dtype))
        one, other = (ROWS[name](later[mine], later, remembered, CONTEXT)[0] for remembered in (memory, kept))
        for key, vector in one.items():
            np.testing.assert_array_equal(vector, other[key])

    def test_nothing_cannot_be_aggregated(self, name):
        own = Contribution("own", {"weights": np.zeros(3)}, 1.0, 1)
        with pytest.raises(LocalProtocolError, match="nothing to aggregate"):
            ROWS[name](own, [], {}, CONTEXT)

    @pytest.mark.parametrize("other", [np.zeros(4, np.float32), np.zeros(3, np.float64)])
    def test_the_first_vector_that_differs_is_named(self, name, other):
        received = [
            Contribution(sender, {"weights": vector}, 0.5, 1)
            for sender, vector in {"own": np.zeros(3, np.float32), "guest": other}.items()
        ]
        with pytest.raises(SchemaMismatchError, match="the vector of 'guest' is"):
            made(ROWS[name], received, 0)

    @pytest.mark.parametrize("vector", [np.zeros((2, 2), np.float32), np.zeros(2, np.float16), np.zeros(2, np.int64)])
    def test_only_vectors_of_floats_are_aggregated(self, name, vector):
        with pytest.raises(SchemaMismatchError, match="float32 or float64, that of 'own' is"):
            made(ROWS[name], [Contribution("own", {"weights": vector}, 1.0, 1)], 0)

    def test_numpy_weights_do_not_change_the_dtype(self, name):
        vectors = {"weights": np.ones(2, np.float32)}
        received = [Contribution(str(i), vectors, np.float64(0.5), np.int64(3)) for i in range(2)]
        assert made(ROWS[name], received, 0)["weights"].dtype == np.float32

    def test_it_is_a_plain_value(self, name):
        assert pickle.loads(pickle.dumps(ROWS[name])) == ROWS[name]


# The mean


@given(contributions(np.float64))
def test_the_mean_is_that_of_the_mixing_row(case):
    received, mine = case
    w = np.array([contribution.mixing_weight for contribution in received])
    stacks = {name: np.stack([one.vectors[name] for one in received]) for name in received[0].vectors}
    assert_close(made(Mean(), received, mine), {name: w @ X for name, X in stacks.items()})


@given(contributions(np.float64, lacking=True))
def test_in_the_mean_ones_own_stands_in_for_what_others_lack(case):
    received, mine = case
    own = received[mine].vectors
    whole = [contribution._replace(vectors={**own, **contribution.vectors}) for contribution in received]
    assert_close(made(Mean(), received, mine), made(Mean(), whole, mine))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [8191, 8192, 8193, 20_000])
def test_large_vectors_are_summed_to_their_end(size, dtype):
    X = np.random.default_rng(0).uniform(-1, 1, (3, size)).astype(dtype)
    expected = (np.array([0, 0.25, 0.75]) @ X.astype(np.float64)).astype(dtype)
    assert_close({"sum": weighted_mean("abc", list(X), [0, 0.25, 0.75])}, {"sum": expected})


def test_unaligned_and_strided_vectors_are_as_good_as_others():
    plain = np.arange(9000.0)
    unaligned = np.frombuffer(b"\0\0\0\0" + plain.tobytes(), np.float64, offset=4)
    strided = np.repeat(plain, 2)[::2]
    assert_close({"sum": weighted_mean("abc", [plain, unaligned, strided], [0.25, 0.5, 0.25])}, {"sum": plain})


@pytest.mark.parametrize("weight", [0.49, 0.51, float("nan"), float("inf")])
def test_a_mixing_row_sums_to_one(weight):
    with pytest.raises(LocalProtocolError, match=r"sum to 1, these to .*: a: 0.5, b: "):
        weighted_mean("ab", [np.ones(2), np.ones(2)], [0.5, weight])


# The median


@given(contributions(lacking=True))
def test_the_median_is_that_of_each_coordinate(case):
    received, mine = case
    own = received[mine].vectors
    stacks = {name: np.stack([one.vectors.get(name, own[name]) for one in received]) for name in own}
    assert_close(made(Median(), received, mine), {name: np.median(X, axis=0) for name, X in stacks.items()})


@given(contributions(np.float32), st.sampled_from([-3e38, 3e38, 0.0]), st.integers(0, 2**32))
def test_fewer_than_half_cannot_take_a_median_where_no_honest_peer_is(case, lie, seed):
    received, mine = case
    num_liars = (len(received) - 1) // 2
    liars = np.random.default_rng(seed).permutation(len(received))[:num_liars]
    honest = [contribution for i, contribution in enumerate(received) if i not in liars]
    said = [
        moved([one], lambda vector: np.full_like(vector, lie))[0] if i in liars else one
        for i, one in enumerate(received)
    ]
    for name, vector in made(Median(), said, mine).items():
        stack = np.stack([contribution.vectors[name] for contribution in honest])
        assert ((vector >= stack.min(axis=0)) & (vector <= stack.max(axis=0))).all()


@pytest.mark.parametrize(("counts", "median"), [([3, 9, 250], 9), ([3, 4, 5, 9], 4), ([255, 255], 255)])
def test_counters_of_layers_have_a_median_that_is_a_counter(counts, median):
    received = [
        Contribution(str(i), {"statistics": np.array([count], np.float32)}, 0, 1) for i, count in enumerate(counts)
    ]
    assert as_integers(made(Median(), received, 0)["statistics"], "uint8") == median
