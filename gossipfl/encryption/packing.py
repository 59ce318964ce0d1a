"""Vectors become integers for an additive cryptosystem, and its ciphertexts one vector of bytes on the wire.

With the fraction bits b, client i encrypts the integers w_i round(x_i 2^b), and the decrypted sum, an integer up to the
small error of the cryptosystem, is rounded to it. So the sum is exact, the mean is off by 2^-b / 2 at most, a run has
the same bits whatever randomness the ciphertexts have, and no error remains in what was decrypted: it is from such
errors that keys of approximate cryptosystems are recovered (Li and Micciancio, 2021).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.messages import Encoded
from gossipfl.weights import Vector, frozen

EXACT_BITS = 46
"""Sums below 2^46 are decrypted with an error below 1/8: the transform of CKKS calculates in float64 (53 bits)."""

MOST_ERROR = 0.25
"""Numbers farther from integers than this were encrypted with another key, or wrapped around."""

_BLOCK = 2**14
"""Ciphertexts are padded to a multiple, because compressed ones differ by some bytes from run to run."""
_LENGTH = 4


@dataclass(frozen=True, slots=True)
class Packing:
    """The form of the vectors of `sizes`, by name, in ciphertexts of `num_slots` integers and `largest` bytes; sums
    have `sum_bits` at most."""

    sizes: Mapping[str, int]
    num_slots: int
    largest: int
    fraction_bits: int
    range: float
    sum_bits: int = EXACT_BITS

    @property
    def num_ciphertexts(self) -> int:
        return -(-sum(self.sizes.values()) // self.num_slots)

    @property
    def num_bytes(self) -> int:
        """Bytes of all ciphertexts of a message, at most."""
        return self.num_ciphertexts * _padded(self.largest)

    @property
    def largest_total(self) -> int:
        """The largest sum of weights of which a mean is exact."""
        return int(2 ** (self.sum_bits - self.fraction_bits) / self.range)

    def check_total(self, total: int) -> None:
        """Raises ConfigurationError where a sum with so large weights may not be exact."""
        if total > self.largest_total:
            raise ConfigurationError(
                f"privacy.encryption: weights of {total} in all, of numbers up to range = {self.range:g} with "
                f"fraction_bits = {self.fraction_bits}, may leave the {self.sum_bits} bits of an exact sum, which "
                f"allow {self.largest_total}: take a smaller range, fewer fraction_bits, or weighting = 'uniform'"
            )

    def integers(self, vectors: Mapping[str, Vector], weight: int) -> list[NDArray[np.float64]]:
        """The integers of each ciphertext. Raises ValueError, as the end of a sentence, for numbers beyond the
        range."""
        numbers = np.zeros(self.num_ciphertexts * self.num_slots)
        start = 0
        for name, size in self.sizes.items():
            vector = vectors[name]
            largest = float(np.abs(vector).max(initial=0))
            if not largest <= self.range:
                raise ValueError(
                    f"{name} of magnitude {largest:g}, and privacy.encryption.range is {self.range:g}: raise it, or "
                    "lower the learning rate"
                )
            numbers[start : start + size] = vector
            start += size
        return list((np.rint(numbers * 2.0**self.fraction_bits) * weight).reshape(-1, self.num_slots))

    def mean(self, sums: Sequence[NDArray[np.float64]], total: int, dtype: np.dtype[np.floating]) -> dict[str, Vector]:
        """The vectors of decrypted sums. Raises RemoteProtocolError for numbers that are not integers."""
        numbers = np.concatenate(sums)
        integers = np.rint(numbers)
        error = float(np.abs(numbers - integers).max(initial=0))
        largest = float(np.abs(integers).max(initial=0))
        if not (error <= MOST_ERROR and largest <= 2**self.sum_bits):
            raise RemoteProtocolError(
                "a sum cannot be decrypted: clients have several keys, or one of them has sent something else"
            )
        values = integers / (2.0**self.fraction_bits * total)
        vectors, start = {}, 0
        for name, size in self.sizes.items():
            vectors[name] = frozen(values[start : start + size].astype(dtype))
            start += size
        return vectors

    def joined(self, ciphertexts: Sequence[bytes]) -> Encoded:
        """The ciphertexts of a message as one vector of bytes: each with its length, in 4 bytes, before it, and zeros
        up to a multiple of 16 KiB."""
        parts = []
        for ciphertext in ciphertexts:
            content = len(ciphertext).to_bytes(_LENGTH, "little") + ciphertext
            parts.append(content.ljust(_padded(len(ciphertext)), b"\0"))
        return Encoded("bytes", {"values": np.frombuffer(b"".join(parts), np.uint8)}, self.num_bytes)

    def parted(self, encoded: Encoded, sender: str) -> list[bytes]:
        """The ciphertexts of a message, bounded but not looked into. Raises RemoteProtocolError."""
        content, ciphertexts, start = encoded.arrays["values"].tobytes(), [], 0
        for _ in range(self.num_ciphertexts):
            size = int.from_bytes(content[start : start + _LENGTH], "little")
            end = start + _padded(size)
            if not 0 < size <= self.largest or end > len(content):
                raise RemoteProtocolError(
                    f"a ciphertext from peer {sender} claims {size} bytes, expected 1 to {self.largest}"
                )
            ciphertexts.append(content[start + _LENGTH : start + _LENGTH + size])
            start = end
        if start != len(content):
            raise RemoteProtocolError(
                f"the {self.num_ciphertexts} ciphertexts from peer {sender} have {start} bytes, got {len(content)}"
            )
        return ciphertexts


def _padded(size: int) -> int:
    return -(-(size + _LENGTH) // _BLOCK) * _BLOCK
