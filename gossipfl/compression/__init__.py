"""Vectors become the arrays that go on the wire, and come back: one file per encoding, and per stage on the way."""

from collections.abc import Mapping

from gossipfl.compression.bfloat16 import Bfloat16
from gossipfl.compression.clip import Clip
from gossipfl.compression.compressor import ArrayHeader, Compressor, Encoding
from gossipfl.compression.dense_floats import Dense, dense, encoded
from gossipfl.compression.encodings import ENCODINGS, decompress
from gossipfl.compression.leaving import Leaving
from gossipfl.compression.outgoing import Chain, Stage

__all__ = [
    "ENCODINGS",
    "STAGES",
    "ArrayHeader",
    "Bfloat16",
    "Chain",
    "Clip",
    "Compressor",
    "Dense",
    "Encoding",
    "Leaving",
    "Stage",
    "decompress",
    "dense",
    "encoded",
]

STAGES: Mapping[str, type[Stage]] = {"clip": Clip, "bfloat16": Bfloat16}
"""The stages of an outgoing chain by the names that scenarios use."""
