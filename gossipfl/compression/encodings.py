"""The encodings that this version of gossipfl can read, by name."""

from collections.abc import Mapping

from gossipfl.compression.beginning import BEGINNING_ENCODING
from gossipfl.compression.bfloat16 import BFLOAT16_ENCODING
from gossipfl.compression.compressor import Encoding
from gossipfl.compression.dense_floats import DENSE_ENCODING
from gossipfl.compression.raw_bytes import BYTES_ENCODING
from gossipfl.errors import LocalProtocolError
from gossipfl.messages import Encoded
from gossipfl.weights import Vector

ENCODINGS: Mapping[str, Encoding] = {
    "dense": DENSE_ENCODING,
    "bfloat16": BFLOAT16_ENCODING,
    "beginning": BEGINNING_ENCODING,
    "bytes": BYTES_ENCODING,
}


def decompress(encoded: Encoded) -> Vector:
    """The vector behind `encoded`, read-only and read once; the name of its encoding says how.

    Raises LocalProtocolError for an unknown encoding: the codec lets none through from other peers.
    """
    vector: Vector | None = encoded.known.get("vector")
    if vector is not None:
        return vector
    encoding = ENCODINGS.get(encoded.encoding)
    if encoding is None:
        raise LocalProtocolError(f"unknown encoding {encoded.encoding!r}, known are {', '.join(sorted(ENCODINGS))}")
    vector = encoded.known["vector"] = encoding.decompress(encoded)
    return vector
