"""A peer's key of one gossip step, for all sums of it in which everybody takes part, and what it knows of others' keys.

No secret of such a sum is ever told, so one key serves for the sums of all neighbors: others' keys are checked, and
agreed with, once, however many sums they are in. The mask of a pair in one sum is derived from what they have agreed on
and the name of that sum.
"""

from gossipfl.secrecy.advert import Advert
from gossipfl.secrecy.cipher import Cipher
from gossipfl.secrecy.terms import SumId
from gossipfl.weights import PeerId


class StepKeys:
    """The key of `peer_id` in step `step` of a `run`; `private` is given where it goes on from a snapshot."""

    def __init__(self, peer_id: PeerId, run: str, step: int, cipher: Cipher, private: bytes = b"") -> None:
        self.peer_id = peer_id
        self.private = private or cipher.secret("mask", step)
        self._name = SumId(run, "", step)  # of no aggregator: all of them are told the same
        self._cipher = cipher
        self._own = b""
        self._checked: set[tuple[PeerId, bytes]] = set()
        self._agreed: dict[bytes, bytes] = {}

    def advert(self) -> bytes:
        """Its public key, with its signature."""
        if not self._own:
            self._own = Advert.made(self._name, self.peer_id, b"", self.private, b"", self._cipher).packed()
            self._checked.add((self.peer_id, self._own))
        return self._own

    def checked(self, name: PeerId, packed: bytes) -> Advert:
        """The advert of a peer. Raises RemoteProtocolError unless it is its, for this step, and can be agreed with."""
        advert = Advert.unpacked(packed)
        if (name, packed) not in self._checked:
            advert.check(self._name, name, self._cipher, shares=False)
            self._cipher.agree(bytes(32), advert.mask_key, b"")  # with some points nobody can
            self._checked.add((name, packed))
        return advert

    def mask_with(self, advert: Advert, purpose: bytes) -> bytes:
        """The key of the mask with the peer of a checked advert, for the purpose that names sum and pair."""
        public = advert.mask_key
        if public not in self._agreed:
            self._agreed[public] = self._cipher.agree(self.private, public, self._name.context("step"))
        return self._cipher.derive(self._agreed[public], purpose)

    def forget(self) -> None:
        """Have no secrets of this step any more."""
        self.private, self._agreed = b"", {}
