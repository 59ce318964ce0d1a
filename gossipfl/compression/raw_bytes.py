"""Bytes that mean something to the two ends only, such as ciphertexts: no vector, and never one by mistake."""

from collections.abc import Mapping
from typing import NoReturn

from gossipfl.compression.compressor import ArrayHeader, Encoding
from gossipfl.errors import LocalProtocolError
from gossipfl.messages import Encoded


def _no_vector(encoded: Encoded) -> NoReturn:
    raise LocalProtocolError(f"{encoded.size} bytes that travel as bytes are no vector of numbers")


def _violation(arrays: Mapping[str, ArrayHeader], size: int, dtype: str) -> str | None:
    if dtype != "uint8":
        return f"bytes stand for nothing else, expected {dtype}"
    if set(arrays) != {"values"} or arrays["values"].dtype != "uint8" or arrays["values"].size > size:
        return f"bytes are one uint8 array 'values' of {size} elements at most, got {dict(arrays)}"
    return None


BYTES_ENCODING = Encoding(decompress=_no_vector, violation=_violation, is_finite=lambda arrays: True)
