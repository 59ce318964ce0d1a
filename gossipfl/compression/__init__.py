"""How a vector becomes the arrays that go on the wire, and back: one file per encoding."""

from gossipfl.compression.compressor import ArrayHeader, Compressor, Encoding
from gossipfl.compression.dense_floats import Dense, dense, encoded
from gossipfl.compression.encodings import ENCODINGS, decompress

__all__ = ["ENCODINGS", "ArrayHeader", "Compressor", "Dense", "Encoding", "decompress", "dense", "encoded"]
