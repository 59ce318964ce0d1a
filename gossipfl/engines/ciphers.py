"""The cryptography of secure sums, by the package `cryptography`; who checks whom is given."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from numpy.typing import NDArray

from gossipfl.errors import RemoteProtocolError
from gossipfl.randomness import SecretRandomness, SeededSecrets
from gossipfl.weights import PeerId

PublicKeyOf = Callable[[PeerId, bytes], Ed25519PublicKey]
"""Gives the key of a peer by its name and credential. Raises RemoteProtocolError for who is none of the run."""

_ZEROS = memoryview(bytes(2**16))
_NONCE = bytes(12)  # each key is used once


@dataclass(frozen=True, eq=False)
class PeerCipher:
    """A `gossipfl.secrecy.cipher.Cipher` with the secrets, the signatures and the credential of one peer."""

    secrets: SecretRandomness = field(repr=False)
    sign: Callable[[bytes], bytes] = field(repr=False)
    public_key_of: PublicKeyOf = field(repr=False)
    credential: bytes = field(default=b"", repr=False)

    def secret(self, *name: str | int) -> bytes:
        return self.secrets.random_bytes(32, *name)

    def public(self, private: bytes) -> bytes:
        return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()

    def agree(self, private: bytes, public: bytes, purpose: bytes) -> bytes:
        try:
            agreed = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:  # a point that gives zero with every key
            raise RemoteProtocolError("a key of a secure sum is none that can be agreed with") from error
        return HKDF(SHA256(), 32, None, purpose).derive(agreed)

    def derive(self, key: bytes, purpose: bytes) -> bytes:
        return HKDFExpand(SHA256(), 32, purpose).derive(key)

    def stream(self, key: bytes, size: int) -> bytes:
        return Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor().update(bytes(size))

    def add_mask(self, key: bytes, total: NDArray[np.uint32], sign: int) -> None:
        encryptor = Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor()
        buffer = bytearray(len(_ZEROS))  # a piece at a time, which stays in the processor's cache: four times as fast
        mask = np.frombuffer(buffer, "<u4")
        add = np.add if sign > 0 else np.subtract
        for first in range(0, total.size, mask.size):
            piece = total[first : first + mask.size]
            encryptor.update_into(_ZEROS[: 4 * piece.size], memoryview(buffer)[: 4 * piece.size])
            add(piece, mask[: piece.size], out=piece)

    def seal(self, key: bytes, text: bytes, context: bytes) -> bytes:
        return ChaCha20Poly1305(key).encrypt(_NONCE, text, context)

    def open(self, key: bytes, sealed: bytes, context: bytes) -> bytes:
        try:
            return ChaCha20Poly1305(key).decrypt(_NONCE, sealed, context)
        except InvalidTag as error:
            raise RemoteProtocolError(
                "a sealed share cannot be opened: it was changed, or is for somebody else"
            ) from error

    def check(self, peer_id: PeerId, text: bytes, signature: bytes, credential: bytes) -> None:
        try:
            self.public_key_of(peer_id, credential).verify(signature, text)
        except InvalidSignature as error:
            raise RemoteProtocolError(f"a signature in a secure sum is not that of peer {peer_id}") from error


def cipher_of_seed(seed: int, peer_id: PeerId, secrets: SecretRandomness | None = None) -> PeerCipher:
    """A cipher for peers in one process, whose signatures protect nobody: everybody knows all keys, because they come
    from the seed. So do all other secrets, where none are given."""

    own = SeededSecrets(seed) if secrets is None else secrets
    sign = _key_of_seed(seed, peer_id)[0].sign
    return PeerCipher(own.of("cipher", peer_id), sign, lambda name, _: _key_of_seed(seed, name)[1])


@lru_cache(4096)
def _key_of_seed(seed: int, name: PeerId) -> tuple[Ed25519PrivateKey, Ed25519PublicKey]:
    key = Ed25519PrivateKey.from_private_bytes(SeededSecrets(seed).random_bytes(32, "signatures", name))
    return key, key.public_key()
