"""A peer's public keys for one secure sum, with its signature: they travel by way of a peer that would like others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from gossipfl.errors import RemoteProtocolError
from gossipfl.secrecy.cipher import Cipher
from gossipfl.secrecy.packing import pack, pack_by_peer, unpack
from gossipfl.secrecy.terms import SumId
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class Advert:
    """The key by which shares are sealed, that of pair masks, and a commitment to the seed of the own mask, which says
    later whether it was put together from true shares. Where nothing is shared there is the key of pair masks alone."""

    seal_key: bytes
    mask_key: bytes
    commitment: bytes
    credential: bytes
    signature: bytes = b""

    @classmethod
    def made(
        cls, sum_id: SumId, peer_id: PeerId, seal_key: bytes, mask_key: bytes, seed: bytes, cipher: Cipher
    ) -> "Advert":
        """The advert of a peer with these secrets."""
        sealing = (cipher.public(seal_key), commitment_to(sum_id, peer_id, seed)) if seal_key else (b"", b"")
        unsigned = cls(sealing[0], cipher.public(mask_key), sealing[1], cipher.credential)
        return replace(unsigned, signature=cipher.sign(unsigned._text(sum_id, peer_id)))

    def _text(self, sum_id: SumId, peer_id: PeerId) -> bytes:
        return sum_id.context("keys", peer_id.encode(), self.seal_key, self.mask_key, self.commitment)

    def check(self, sum_id: SumId, peer_id: PeerId, cipher: Cipher, *, shares: bool) -> None:
        """Raises RemoteProtocolError unless these are the keys of that peer for this sum, in which there are shares of
        secrets or none."""
        if bool(self.seal_key) is not shares:
            raise RemoteProtocolError(f"peer {peer_id} would{'' if self.seal_key else ' not'} share secrets of a sum")
        cipher.check(peer_id, self._text(sum_id, peer_id), self.signature, self.credential)

    def packed(self) -> bytes:
        """The advert as bytes."""
        return pack([self.seal_key, self.mask_key, self.commitment, self.credential, self.signature])

    @classmethod
    def unpacked(cls, packed: bytes) -> "Advert":
        """The advert of bytes. Raises RemoteProtocolError for bytes that are none."""
        advert = cls(*unpack(packed, 5))
        sizes = len(advert.seal_key), len(advert.mask_key), len(advert.commitment), len(advert.signature)
        if sizes not in ((32, 32, 32, 64), (0, 32, 0, 64)):
            raise RemoteProtocolError(f"keys have 32 bytes and signatures 64, got {sizes}")
        return advert


def commitment_to(sum_id: SumId, peer_id: PeerId, seed: bytes) -> bytes:
    """The commitment of a peer to the 32 random bytes of its seed."""
    return sha256(sum_id.context("seed", peer_id.encode(), seed)).digest()


def digest_of(roster: Mapping[PeerId, Advert]) -> bytes:
    """The digest of all peers' keys in a sum, in order."""
    return sha256(pack_by_peer({name: advert.packed() for name, advert in roster.items()})).digest()
