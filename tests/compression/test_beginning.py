"""Vectors of float64 of which only the beginning travels."""

import numpy as np
import pytest

from gossipfl.codec.messages import decode, encode
from gossipfl.compression import ENCODINGS, ArrayHeader, decompress, dense
from gossipfl.compression.beginning import beginning
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Encoded, Kind, Message, VectorSchema


@pytest.mark.parametrize("values", [[], [1.5, -0.0], [1.5, 2.5, 3.5]])
def test_the_rest_is_zeros_which_need_no_bytes(values):
    message = Message("a", "b", Kind.PUSH, vectors={"v": beginning(np.array(values, np.float64), 3)})
    received = decode(encode(message), {"v": VectorSchema(3, "float64")}).vectors["v"]
    assert received.num_bytes == 8 * len(values)
    whole = decompress(received)
    assert whole.tobytes() == np.array([*values, *[0.0] * (3 - len(values))]).tobytes()
    assert not whole.flags.writeable


def test_what_is_longer_or_of_another_type_is_refused():
    violation = ENCODINGS["beginning"].violation
    assert violation({"values": ArrayHeader("float64", 3)}, 3, "float64") is None
    assert violation({"values": ArrayHeader("float64", 4)}, 3, "float64")
    assert violation({"values": ArrayHeader("float32", 3)}, 3, "float64")
    assert violation({"values": ArrayHeader("float64", 3)}, 3, "float32")
    assert violation({"other": ArrayHeader("float64", 3)}, 3, "float64")
    body = encode(Message("a", "b", Kind.PUSH, vectors={"v": Encoded("beginning", dense(np.zeros(3)).arrays, 3)}))
    with pytest.raises(RemoteProtocolError, match="a beginning is one of a vector of float64"):
        decode(body, {"v": VectorSchema(3)})
