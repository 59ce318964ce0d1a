"""How a vector becomes the arrays that go on the wire, and back: one file per encoding, and per link on the way."""

from collections.abc import Mapping

from gossipfl.compression.clip import Clip
from gossipfl.compression.compressor import ArrayHeader, Compressor, Encoding
from gossipfl.compression.dense_floats import Dense, dense, encoded
from gossipfl.compression.encodings import ENCODINGS, decompress
from gossipfl.compression.leaving import Leaving
from gossipfl.compression.outgoing import Chain, Link

__all__ = [
    "ENCODINGS",
    "LINKS",
    "ArrayHeader",
    "Chain",
    "Clip",
    "Compressor",
    "Dense",
    "Encoding",
    "Leaving",
    "Link",
    "decompress",
    "dense",
    "encoded",
]

LINKS: Mapping[str, type[Link]] = {"clip": Clip}
"""The links of an outgoing chain by the names that scenarios use."""
