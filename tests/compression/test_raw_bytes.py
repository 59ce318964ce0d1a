"""Bytes travel as bytes, only where a receiver expects them, and are never taken for a vector."""

import numpy as np
import pytest

from gossipfl.codec.messages import decode, encode
from gossipfl.compression import decompress, dense
from gossipfl.errors import LocalProtocolError, RemoteProtocolError
from gossipfl.messages import Encoded, Kind, Message, VectorSchema

BYTES = Encoded("bytes", {"values": np.arange(7, dtype=np.uint8)}, 10)
MESSAGE = Message("a", "b", Kind.UPDATE, vectors={"secret": BYTES})


def test_fewer_than_the_size_may_travel() -> None:
    read = decode(encode(MESSAGE), {"secret": VectorSchema(10, "uint8")})
    assert read.vectors["secret"].arrays["values"].tolist() == list(range(7))
    assert read.vectors["secret"].size == 10


@pytest.mark.parametrize("schema", [VectorSchema(6, "uint8"), VectorSchema(7), VectorSchema(7, "float64")])
def test_who_expects_fewer_or_numbers_refuses_them(schema: VectorSchema) -> None:
    with pytest.raises(RemoteProtocolError, match="bytes"):
        decode(encode(MESSAGE), {"secret": schema})


def test_numbers_are_refused_where_bytes_are_expected() -> None:
    message = MESSAGE._replace(vectors={"secret": dense(np.zeros(7, np.float32))})
    with pytest.raises(RemoteProtocolError, match="uint8"):
        decode(encode(message), {"secret": VectorSchema(7, "uint8")})


def test_they_are_no_vector() -> None:
    with pytest.raises(LocalProtocolError, match="no vector"):
        decompress(BYTES)
