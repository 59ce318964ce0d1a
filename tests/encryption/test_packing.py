"""Sums of integers are exact, and what is no such sum is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.encryption.packing import Packing
from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.messages import Encoded

PACKING = Packing({"weights": 5, "statistics": 2}, num_slots=4, largest=100, fraction_bits=20, range=64.0)
FLOATS = st.floats(-64, 64, width=32)


def vectors(numbers):
    array = np.array(numbers, np.float32)
    return {"weights": array[:5], "statistics": array[5:]}


@given(st.lists(st.tuples(st.lists(FLOATS, min_size=7, max_size=7), st.integers(1, 1000)), min_size=1, max_size=5))
def test_the_mean_is_that_of_the_rounded_numbers(clients):
    sums, total = np.zeros((2, 4)), sum(weight for _, weight in clients)
    for numbers, weight in clients:
        sums += PACKING.integers(vectors(numbers), weight)
    noise = np.linspace(-0.2, 0.2, 8).reshape(2, 4)
    mean = PACKING.mean(list(sums + noise), total, np.dtype(np.float64))
    exact = sum(weight * np.array(numbers, np.float64) for numbers, weight in clients) / total
    assert np.abs(np.concatenate(list(mean.values())) - exact).max() <= 2.0**-21 + 1e-12
    again = PACKING.mean(list(sums), total, np.dtype(np.float64))
    assert all(np.array_equal(mean[name], again[name]) for name in mean), "no noise remains"


def test_a_number_beyond_the_range_is_no_wrong_sum():
    for large in (64.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="range is 64"):
            PACKING.integers(vectors([0, large, 0, 0, 0, 0, 0]), 1)


def test_what_is_no_sum_of_integers_is_refused():
    generator = np.random.default_rng(0)
    for wrong in (generator.random(4) * 1e6, np.full(4, 2.0**47), np.full(4, np.nan)):
        with pytest.raises(RemoteProtocolError, match="cannot be decrypted"):
            PACKING.mean([np.zeros(4), wrong], 3, np.dtype(np.float32))


def test_so_many_examples_that_a_sum_may_not_be_exact_are_refused():
    PACKING.check_total(2**20)
    with pytest.raises(ConfigurationError, match="allow 1048576"):
        PACKING.check_total(2**20 + 1)


def test_ciphertexts_travel_in_sizes_that_do_not_tell_them_apart():
    joined = [PACKING.joined([b"a" * size, b"b" * 90]) for size in (80, 95)]
    assert joined[0].num_bytes == joined[1].num_bytes <= PACKING.num_bytes
    assert PACKING.parted(joined[1], "1") == [b"a" * 95, b"b" * 90]


@given(st.binary(max_size=40_000))
def test_any_bytes_are_parted_or_refused(content):
    encoded = Encoded("bytes", {"values": np.frombuffer(content, np.uint8)}, PACKING.num_bytes)
    with pytest.raises(RemoteProtocolError):
        PACKING.parted(encoded, "1")


@pytest.mark.parametrize("size", [0, 101, 2**32 - 1])
def test_a_ciphertext_of_another_size_is_refused_before_it_is_looked_into(size):
    content = bytearray(PACKING.joined([b"a" * 90, b"b" * 90]).arrays["values"].tobytes())
    content[:4] = size.to_bytes(4, "little")
    encoded = Encoded("bytes", {"values": np.frombuffer(bytes(content), np.uint8)}, PACKING.num_bytes)
    with pytest.raises(RemoteProtocolError, match=f"claims {size} bytes"):
        PACKING.parted(encoded, "1")
