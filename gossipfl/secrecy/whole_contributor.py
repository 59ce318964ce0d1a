"""One peer's part in a secure sum in which everybody takes part, as who contributes a term.

Nobody's patience ends, so there is one sum, in which pair masks cancel (Bonawitz et al., 2017, without drop-outs): no
secret is shared, and none revealed. Its part is over with its term.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import LocalProtocolError, RemoteProtocolError
from gossipfl.secrecy.advert import Advert, digest_of
from gossipfl.secrecy.cipher import Cipher
from gossipfl.secrecy.contributor import mask_purpose
from gossipfl.secrecy.packing import unpack_by_peer
from gossipfl.secrecy.step_keys import StepKeys
from gossipfl.secrecy.terms import SumId
from gossipfl.snapshot import Snapshot
from gossipfl.weights import PeerId


class WholeContributor:
    """The state of one contribution to a sum of all `members`, in order, by the keys of the peer in that step."""

    def __init__(self, sum_id: SumId, members: Sequence[PeerId], keys: StepKeys, cipher: Cipher) -> None:
        self.peer_id, self.sum_id = keys.peer_id, sum_id
        self._members, self._keys, self._cipher = tuple(members), keys, cipher
        self._roster: dict[PeerId, Advert] = {}
        self.is_over = False

    @property
    def is_ready(self) -> bool:
        """True if its term can be masked: it knows the keys of all."""
        return bool(self._roster) and not self.is_over

    def advert(self) -> bytes:
        """Its public key, with its signature."""
        return self._keys.advert()

    def take_roster(self, packed: bytes) -> None:
        """The keys of all members; a second roster is nothing new.

        Raises RemoteProtocolError for a roster that leaves somebody out, or has others, or keys that nobody signed.
        """
        if self._roster or self.is_over:
            return
        adverts = unpack_by_peer(packed)
        if tuple(adverts) != self._members:
            raise RemoteProtocolError(f"the roster of a sum by {self.sum_id.aggregator} is not of all its neighbors")
        if adverts[self.peer_id] != self.advert():
            raise RemoteProtocolError("the roster of a sum has other keys for this peer than its own")
        self._roster = {name: self._keys.checked(name, advert) for name, advert in adverts.items()}

    def masked(self, term: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The term plus the pair masks, modulo 2^32; once."""
        if not self.is_ready:
            raise LocalProtocolError(f"peer {self.peer_id} cannot mask a term now, or has done so already")
        total = term.copy()
        digest, own = digest_of(self._roster), self._members.index(self.peer_id)
        for position, (name, advert) in enumerate(self._roster.items()):
            if name != self.peer_id:
                mask = self._keys.mask_with(advert, mask_purpose(self.sum_id, digest, self.peer_id, name))
                self._cipher.add_mask(mask, total, +1 if own < position else -1)
        self.forget()
        return total

    def forget(self) -> None:
        """Take no part in this sum any more."""
        self.is_over, self._roster = True, {}

    # Persistence

    def snapshot(self) -> Snapshot:
        roster = {name: advert.packed().hex() for name, advert in self._roster.items()}
        return {}, {"roster": roster, "is_over": self.is_over}

    def restore(self, snapshot: Snapshot) -> None:
        values = snapshot[1]
        self._roster = {name: Advert.unpacked(bytes.fromhex(text)) for name, text in values["roster"].items()}
        self.is_over = values["is_over"]
