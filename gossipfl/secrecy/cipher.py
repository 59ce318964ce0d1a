"""The cryptography that a secure sum needs, and who can check whom; an engine gives it."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gossipfl.weights import PeerId


class Cipher(Protocol):
    """The keys of one peer, and what is done with keys. Secrets and keys are bytes; a key is used for one purpose.

    What comes from others and is wrong raises RemoteProtocolError.
    """

    @property
    def credential(self) -> bytes:
        """The means by which others check its signatures: its certificate, or nothing where all know all keys."""
        ...

    def secret(self, *name: str | int) -> bytes:
        """32 secret bytes for one purpose."""
        ...

    def public(self, private: bytes) -> bytes:
        """The public X25519 key, 32 bytes, of a private one, which is any 32 bytes."""
        ...

    def agree(self, private: bytes, public: bytes, purpose: bytes) -> bytes:
        """32 bytes that only the two have who hold one of the private keys: HKDF-SHA256 of the X25519 agreement."""
        ...

    def derive(self, key: bytes, purpose: bytes) -> bytes:
        """32 bytes for one purpose of those who hold a key: HKDF-SHA256, expanded."""
        ...

    def stream(self, key: bytes, size: int) -> bytes:
        """The first bytes of the ChaCha20 key stream of a key that is used for nothing else."""
        ...

    def add_mask(self, key: bytes, total: NDArray[np.uint32], sign: int) -> None:
        """Add the key stream to a sum in place, as numbers of 32 bits, modulo 2^32; with `sign` -1, subtract it."""
        ...

    def seal(self, key: bytes, text: bytes, context: bytes) -> bytes:
        """The text, encrypted and authenticated together with its context (ChaCha20-Poly1305), by a key that is used
        for nothing else."""
        ...

    def open(self, key: bytes, sealed: bytes, context: bytes) -> bytes:
        """The text of what was sealed by the same key, with the same context."""
        ...

    def sign(self, text: bytes) -> bytes:
        """The peer's Ed25519 signature, 64 bytes."""
        ...

    def check(self, peer_id: PeerId, text: bytes, signature: bytes, credential: bytes) -> None:
        """Raises RemoteProtocolError unless the signature of a text is that of this peer, of the same run."""
        ...
