import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError
from gossipfl.training.batches import Batches

shards = st.lists(st.integers(0, 10_000), min_size=1, max_size=40, unique=True).map(
    lambda rows: np.array(rows, np.int64)
)
batch_sizes = st.integers(1, 50)


def batches_of(shard, batch_size, shuffle=True, seed=0):
    return Batches({"a": shard, "b": np.arange(3)}, batch_size, shuffle, seed)


def rows(batches, first_step, num_steps):
    indices, sizes = batches.indices("a", first_step, num_steps)
    assert indices.shape == (sizes.sum(),)
    assert sizes.shape == (num_steps,)
    assert indices.dtype == sizes.dtype == np.int32
    return [batch.tolist() for batch in np.split(indices, np.cumsum(sizes)[:-1])]


@given(shards, batch_sizes, st.booleans(), st.integers(0, 3))
def test_an_epoch_shows_every_example_once(shard, batch_size, shuffle, epoch):
    batches = batches_of(shard, batch_size, shuffle)
    steps = batches.steps_per_epoch("a")
    batches_of_epoch = rows(batches, epoch * steps, steps)
    examples = [example for batch in batches_of_epoch for example in batch]
    assert sorted(examples) == sorted(shard.tolist())
    assert all(len(batch) == batch_size for batch in batches_of_epoch[:-1])
    if not shuffle:
        assert examples == shard.tolist()


@given(shards, batch_sizes, st.booleans(), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20))
def test_chunking_does_not_change_the_batches(shard, batch_size, shuffle, first, left, right):
    batches = batches_of(shard, batch_size, shuffle)
    assert rows(batches, first, left + right) == rows(batches, first, left) + rows(batches, first + left, right)


@given(shards, batch_sizes, st.integers(0, 50), st.integers(1, 50))
def test_num_examples_is_the_sum_of_the_batch_sizes(shard, batch_size, first, num_steps):
    batches = batches_of(shard, batch_size)
    assert batches.num_examples("a", first, num_steps) == int(batches.indices("a", first, num_steps)[1].sum())


def test_order_depends_on_seed_peer_and_epoch_only():
    shard = np.arange(100)
    batches = Batches({"a": shard, "b": shard}, 100, True, 0)
    again = Batches({"a": shard}, 100, True, 0)
    first = batches.indices("a", 0, 1)[0].tolist()
    assert first == again.indices("a", 0, 1)[0].tolist()
    others = [
        batches.indices("a", 1, 1),
        batches.indices("b", 0, 1),
        Batches({"a": shard}, 100, True, 1).indices("a", 0, 1),
    ]
    assert all(indices.tolist() != first for indices, _ in others)


@given(shards, shards, st.booleans())
def test_examples_are_in_order_when_each_follows_its_neighbor(first, second, shuffle):
    in_order = not shuffle and all(list(shard) == list(range(shard[0], shard[-1] + 1)) for shard in (first, second))
    assert Batches({"a": first, "b": second}, 5, shuffle, 0).in_order == in_order
    assert Batches({"a": np.arange(3, 9), "none": np.array([], np.int64)}, 5, False, 0).in_order


def test_a_batch_size_beyond_every_shard_costs_no_memory():
    batches = Batches({"a": np.arange(5), "b": np.arange(7)}, 10**9, False, 0)
    assert batches.indices("b", 0, 2)[1].tolist() == [7, 7]
    assert batches.steps_per_epoch("b") == 1
    assert batches.num_examples("a", 3, 2) == 10
    assert batches.num_positions == 7


@pytest.mark.parametrize(
    ("shard", "batch_size", "message"),
    [
        (np.arange(3), 0, "batch_size must be >= 1, got 0"),
        (np.arange(3.0), 1, "must be a 1-D integer array"),
        (np.zeros((2, 2), np.int64), 1, "must be a 1-D integer array"),
        (np.array([-1]), 1, "outside"),
        (np.array([2**31]), 1, "outside"),
    ],
)
def test_impossible_shards_are_refused(shard, batch_size, message):
    with pytest.raises(ConfigurationError, match=message):
        Batches({"a": shard}, batch_size, False, 0)


def test_impossible_steps_are_refused():
    batches = Batches({"hub": np.array([], np.int64), "a": np.arange(3)}, 2, False, 0)
    assert batches.steps_per_epoch("hub") == 0
    with pytest.raises(ConfigurationError, match="peer 'hub' holds no examples"):
        batches.indices("hub", 0, 1)
    with pytest.raises(ConfigurationError, match="peer 'c' has no shard"):
        batches.num_examples("c", 0, 1)
    with pytest.raises(ConfigurationError, match="num_steps=0"):
        batches.num_examples("a", 0, 0)
    with pytest.raises(ConfigurationError, match="first_step=-1"):
        batches.indices("a", -1, 1)
