"""Rounding to bfloat16, against that of the library that TensorFlow takes it from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.compression import ENCODINGS, Bfloat16, Chain, Clip, decompress, dense, encoded
from gossipfl.errors import ConfigurationError, SchemaMismatchError
from gossipfl.randomness import Randomness

SEEDED = Randomness.of_seed(0)


def rounded(values) -> np.ndarray:
    return Bfloat16().compress(np.array(values, np.uint32).view(np.float32)).arrays["values"]


def floats_of(halves) -> np.ndarray:
    return np.array(halves, np.uint32).__lshift__(16).view(np.float32)


def test_every_bfloat16_comes_back_and_what_is_not_finite_is_told():
    halves = np.arange(2**16, dtype=np.uint16)
    encoded = Bfloat16().compress(floats_of(halves))
    np.testing.assert_array_equal(encoded.arrays["values"], halves)
    assert decompress(encoded).tobytes() == floats_of(halves).tobytes()
    is_finite = ENCODINGS["bfloat16"].is_finite
    for half, value in zip(halves, floats_of(halves), strict=True):
        assert is_finite({"values": np.array([0, half], np.uint16)}) == np.isfinite(value)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50))
def test_rounding_is_that_of_ml_dtypes(bits):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.array(bits, np.uint32).view(np.float32)
    with np.errstate(invalid="ignore"):
        theirs = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    ours = decompress(Bfloat16().compress(values))
    overflows = np.isfinite(values) & np.isinf(theirs)
    np.testing.assert_array_equal(ours[~overflows], theirs[~overflows])
    np.testing.assert_array_equal(ours[overflows], np.copysign(floats_of(0x7F7F), values[overflows]))


@pytest.mark.parametrize(
    ("bits", "half"),
    [
        (0x3F808000, 0x3F80),  # halfway from 1, whose last bit is 0
        (0x3F818000, 0x3F82),
        (0x3F808001, 0x3F81),
        (0x80000000, 0x8000),  # -0
        (0x7F7FFFFF, 0x7F7F),  # the largest float32 stays finite
        (0xFF7FFFFF, 0xFF7F),
        (0x7F800000, 0x7F80),
        (0x7F800001, 0x7F81),  # NaN is never rounded to infinity,
        (0xFFFFFFFF, 0xFFFF),  # nor to zero
    ],
)
def test_rounding_by_hand(bits, half):
    assert rounded([bits]).tolist() == [half]


def test_long_vectors_are_rounded_like_short_ones():
    values = np.random.default_rng(0).integers(0, 2**31, 200_001, dtype=np.uint32)
    assert rounded(values)[-7:].tolist() == rounded(values[-7:]).tolist()


def test_only_weights_leave_as_bfloat16():
    vectors = {name: np.full(3, 1.001, np.float32) for name in ("weights", "statistics", "optimizer")}
    leaving, memory = Chain((Bfloat16(),)).apply(vectors, {}, SEEDED)
    assert {name: one.encoding for name, one in leaving.items()} == {
        "weights": "bfloat16",
        "statistics": "dense",
        "optimizer": "dense",
    }
    assert leaving["weights"].num_bytes == 6
    assert memory == {}


def test_float64_leaves_as_it_is():
    leaving = encoded({"weights": np.ones(3)})
    assert Bfloat16().apply(leaving, {}, SEEDED) == (leaving, {})
    with pytest.raises(SchemaMismatchError, match="a vector of float32, got shape"):
        Bfloat16().compress(np.ones(3))


def test_nothing_comes_behind_it():
    Chain((Clip(), Bfloat16()))
    with pytest.raises(ConfigurationError, match=r"Clip would undo Bfloat16, .*: let Bfloat16 be the last one"):
        Chain((Bfloat16(), Clip()))


def test_what_is_made_of_a_view_is_that_of_its_elements():
    every_second = np.arange(20, dtype=np.float32)[::2]
    np.testing.assert_array_equal(decompress(Bfloat16().compress(every_second)), decompress(dense(every_second.copy())))
