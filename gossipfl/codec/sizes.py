"""The size of a message in bytes, by arithmetic: virtual time counts real bytes without encoding anything.

A body has 8 bytes of length, a header of 512 + 160 bytes for each array, and the arrays; see `messages`.
"""

from gossipfl.messages import Message

MESSAGE_OVERHEAD = 1_500
"""Bytes that a message costs beside its body: HTTP headers of request and answer, signature and certificate, TLS
records, and the headers of TCP and IP.

Measured on the wire with mutual TLS and bodies of a few kB: 1,410 to 1,540 (without TLS: 570 to 700). Larger bodies
take up to 4 % of their size on top of it, which is not counted.
"""

LARGEST_PAYLOAD = 10**12 - 1
"""Bytes of all arrays together: what keeps sizes and offsets in the header within 12 digits."""

MAX_ARRAYS_PER_VECTOR = 4

LENGTH_BYTES = 8
_HEADER_BYTES = 512
_HEADER_BYTES_PER_ARRAY = 160


def header_size(num_arrays: int) -> int:
    """Number of bytes of the header of a message with so many arrays."""
    return _HEADER_BYTES + _HEADER_BYTES_PER_ARRAY * num_arrays


def encoded_size(message: Message) -> int:
    """Exact number of bytes of `encode(message)`, by arithmetic: 8 + 512 + 160 a + payload, for a arrays."""
    size = LENGTH_BYTES + _HEADER_BYTES
    for encoded in message.vectors.values():
        for array in encoded.arrays.values():
            size += _HEADER_BYTES_PER_ARRAY + array.nbytes
    return size


def largest_size(payload: int, num_arrays: int) -> int:
    """Number of bytes of a message with `payload` bytes in at most `num_arrays` arrays."""
    return LENGTH_BYTES + header_size(num_arrays) + payload
