"""The exam that every compressor passes: adding one is adding a row to COMPRESSORS."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gossipfl.codec.messages import decode, encode
from gossipfl.compression import ENCODINGS, ArrayHeader, Bfloat16, Dense, decompress, dense
from gossipfl.errors import LocalProtocolError, SchemaMismatchError
from gossipfl.messages import Encoded, Kind, Message, VectorSchema

COMPRESSORS = [
    # compressor, delta of its contract, dtypes of its vectors
    pytest.param(Dense(), 1.0, ["float32", "float64"], id="dense"),
    pytest.param(Bfloat16(), 1 - 2.0**-16, ["float32"], id="bfloat16"),
]

largest = float(np.finfo(np.float32).max)


@st.composite
def vectors(draw, dtypes, bound=1e6):
    dtype = draw(st.sampled_from(dtypes))
    elements = st.floats(-bound, bound, width=np.dtype(dtype).itemsize * 8, allow_subnormal=False)
    return draw(arrays(dtype, st.integers(0, 20), elements=elements))


@pytest.mark.parametrize(("compressor", "delta", "dtypes"), COMPRESSORS)
class TestExam:
    @settings(max_examples=40)
    @given(data=st.data(), bound=st.sampled_from([1e6, largest]))
    def test_what_is_lost_is_bounded(self, compressor, delta, dtypes, data, bound):
        vector = data.draw(vectors(dtypes, bound))
        lost = compressor.decompress(compressor.compress(vector)).astype(np.float64) - vector
        assert lost @ lost <= (1 - delta) * (vector.astype(np.float64) @ vector.astype(np.float64)) * (1 + 1e-6)

    @settings(max_examples=40)
    @given(data=st.data())
    def test_size_and_dtype_are_kept(self, compressor, delta, dtypes, data):
        vector = data.draw(vectors(dtypes))
        encoded = compressor.compress(vector)
        result = decompress(encoded)
        assert encoded.encoding == compressor.encoding
        assert encoded.size == vector.size
        assert (result.shape, result.dtype) == (vector.shape, vector.dtype)
        assert not result.flags.writeable
        np.testing.assert_array_equal(result, compressor.decompress(encoded))

    @settings(max_examples=40)
    @given(data=st.data())
    def test_the_wire_changes_nothing(self, compressor, delta, dtypes, data):
        vector = data.draw(vectors(dtypes))
        encoded = compressor.compress(vector)
        body = encode(Message("a", "b", Kind.MODEL, vectors={"weights": encoded}))
        received = decode(body, {"weights": VectorSchema(vector.size, str(vector.dtype))}).vectors["weights"]
        assert received.num_bytes == encoded.num_bytes
        np.testing.assert_array_equal(decompress(received), decompress(encoded))

    def test_its_encoding_is_known_and_tells_another_vector_from_its_own(self, compressor, delta, dtypes):
        encoded = compressor.compress(np.ones(8, np.float32))
        headers = {name: ArrayHeader(str(array.dtype), array.size) for name, array in encoded.arrays.items()}
        violation = ENCODINGS[compressor.encoding].violation
        assert violation(headers, 8, "float32") is None
        assert violation(headers, 9, "float32")
        assert violation(headers, 8, "float64")
        assert ENCODINGS[compressor.encoding].is_finite(encoded.arrays)
        assert violation({}, 8, "float32")
        assert violation(headers | {"more": ArrayHeader("float32", 1)}, 8, "float32")

    def test_it_is_a_plain_value(self, compressor, delta, dtypes):
        assert pickle.loads(pickle.dumps(compressor)) == compressor
        assert hash(compressor) == hash(pickle.loads(pickle.dumps(compressor)))


def test_dense_shares_a_read_only_vector():
    vector = np.ones(3, np.float32)
    vector.setflags(write=False)
    assert dense(vector).arrays["values"] is vector
    assert decompress(dense(vector)) is vector


def test_dense_freezes_a_writeable_vector():
    vector = np.ones(3, np.float32)
    assert decompress(dense(vector)) is vector
    assert not vector.flags.writeable


def test_dense_copies_a_writeable_view():
    whole = np.ones(6, np.float32)
    encoded = dense(whole[:3])
    whole[:] = 2
    np.testing.assert_array_equal(decompress(encoded), np.ones(3))


@pytest.mark.parametrize("vector", [np.zeros((2, 2), np.float32), np.zeros(2, np.float16), np.zeros(2, np.int32)])
def test_dense_refuses_what_is_not_a_vector_of_floats(vector):
    with pytest.raises(SchemaMismatchError, match="one-dimensional and float32 or float64"):
        dense(vector)


@pytest.mark.parametrize(
    "encoded",
    [
        Encoded("zip", {}, 0),
        Encoded("dense", {}, 0),
        Encoded("dense", {"values": np.zeros(2, np.float32)}, 3),
        Encoded("dense", {"values": np.zeros(2, np.int32)}, 2),
        Encoded("bfloat16", {}, 0),
        Encoded("bfloat16", {"values": np.zeros(2, np.uint16)}, 3),
        Encoded("bfloat16", {"values": np.zeros(2, np.int16)}, 2),
    ],
)
def test_what_cannot_be_decompressed_is_refused(encoded):
    with pytest.raises(LocalProtocolError):
        decompress(encoded)
