"""One peer's part in one secure sum, as who contributes a term (Bonawitz et al., 2017, "Practical secure aggregation").

Everything goes by way of the peer that adds up, which is curious. So keys are signed, shares sealed, and nothing is
revealed before t peers have signed one and the same list of who survived. For each other peer it reveals its share of
one of two secrets, never of both: of the mask of its own where that peer survived, else of the key of its pair masks.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import LocalProtocolError, RemoteProtocolError
from gossipfl.secrecy.advert import Advert, digest_of
from gossipfl.secrecy.cipher import Cipher
from gossipfl.secrecy.packing import pack, pack_by_peer, unpack, unpack_by_peer
from gossipfl.secrecy.shamir import PRIME, SHARE_BYTES, shares_of
from gossipfl.secrecy.terms import Rules, SumId
from gossipfl.snapshot import Snapshot
from gossipfl.weights import PeerId

_Shares = tuple[int, int]
"""One's shares of another's mask key, and of the seed of its own mask."""


class Contributor:
    """The state of one contribution, from the keys to what is revealed; `members` may be on the roster, in order."""

    def __init__(self, peer_id: PeerId, sum_id: SumId, members: Sequence[PeerId], rules: Rules, cipher: Cipher) -> None:
        self.peer_id, self.sum_id = peer_id, sum_id
        self._members, self._rules, self._cipher = tuple(members), rules, cipher
        name = sum_id.aggregator, sum_id.step
        self._seal_key, self._mask_key, self._seed = (
            cipher.secret(purpose, *name) for purpose in ("seal", "mask", "seed")
        )
        self._roster: dict[PeerId, Advert] = {}
        self._known_digest = b""
        self._own: _Shares = (0, 0)
        self._shares: dict[PeerId, _Shares] = {}
        self._signed = b""  # the list of survivors that it has signed: one, for ever
        self._survivors: tuple[PeerId, ...] = ()
        self.is_masked = False
        self.is_over = False

    @property
    def is_ready(self) -> bool:
        """True if its term can be masked: all have each other's shares."""
        return bool(self._shares) and not self.is_masked

    # What it says, phase by phase

    def advert(self) -> bytes:
        """Its public keys, with its signature."""
        return Advert.made(self.sum_id, self.peer_id, self._seal_key, self._mask_key, self._seed, self._cipher).packed()

    def take_roster(self, packed: bytes) -> bytes | None:
        """Sealed shares of its secrets for everybody on a roster; None where it has a roster already.

        Raises RemoteProtocolError for a roster of others than members, too few, or keys that nobody signed.
        """
        if self._roster:
            return None
        roster = {name: Advert.unpacked(advert) for name, advert in unpack_by_peer(packed).items()}
        if list(roster) != [name for name in self._members if name in roster]:
            raise RemoteProtocolError(f"the roster of a sum by {self.sum_id.aggregator} has others than its neighbors")
        if not self._rules.allows(len(roster)):
            raise RemoteProtocolError(f"{len(roster)} peers on a roster are too few for a secure sum")
        if roster.get(self.peer_id) != Advert.unpacked(self.advert()):
            raise RemoteProtocolError("the roster of a sum has other keys for this peer than its own")
        for name, advert in roster.items():
            if name != self.peer_id:
                advert.check(self.sum_id, name, self._cipher, shares=True)
        self._roster = roster
        return pack_by_peer(self._sealed_shares())

    def _sealed_shares(self) -> dict[PeerId, bytes]:
        points = range(1, len(self._roster) + 1)
        needed = self._rules.needed(len(self._roster))
        dealt = []
        for purpose, secret in (("key", self._mask_key), ("seed", self._seed)):
            drawn = self._cipher.stream(
                self._cipher.secret(f"shares of {purpose}", self.sum_id.aggregator, self.sum_id.step),
                (needed - 1) * 2 * SHARE_BYTES,
            )
            width = 2 * SHARE_BYTES  # twice the prime's, so that what is taken modulo it is uniform
            coefficients = [int.from_bytes(drawn[k : k + width], "little") % PRIME for k in range(0, len(drawn), width)]
            dealt.append(shares_of(int.from_bytes(secret, "little"), coefficients, points))
        sealed = {}
        for name, *pair in zip(self._roster, *dealt, strict=True):
            if name == self.peer_id:
                self._own = (pair[0], pair[1])
                continue
            text = b"".join(share.to_bytes(SHARE_BYTES, "little") for share in pair)
            sealed[name] = self._cipher.seal(self._pair_key(name, self.peer_id, name), text, self._digest())
        return sealed

    def _pair_key(self, other: PeerId, sender: PeerId, receiver: PeerId) -> bytes:
        purpose = self.sum_id.context("shares", self._digest(), sender.encode(), receiver.encode())
        return self._cipher.agree(self._seal_key, self._roster[other].seal_key, purpose)

    def _digest(self) -> bytes:
        """The digest of the roster, that of all peers' keys."""
        if not self._known_digest:
            self._known_digest = digest_of(self._roster)
        return self._known_digest

    def take_inbox(self, packed: bytes) -> None:
        """Open the shares that others have sealed for this peer; those who sent none take no part any more.

        Raises RemoteProtocolError for shares that are not of those on the roster, damaged, or too few.
        """
        if not self._roster or self._shares:
            return
        inbox = unpack_by_peer(packed)
        if not {*inbox} <= {*self._roster} - {self.peer_id}:
            raise RemoteProtocolError("the inbox of a sum has shares of others than those on its roster")
        if len(inbox) + 1 < self._rules.needed(len(self._roster)):
            raise RemoteProtocolError(f"{len(inbox) + 1} peers with shares are too few for a secure sum")
        shares = {}
        for name, sealed in inbox.items():
            text = self._cipher.open(self._pair_key(name, name, self.peer_id), sealed, self._digest())
            if len(text) != 2 * SHARE_BYTES:
                raise RemoteProtocolError(f"shares of peer {name} have {len(text)} bytes")
            shares[name] = (
                int.from_bytes(text[:SHARE_BYTES], "little"),
                int.from_bytes(text[SHARE_BYTES:], "little"),
            )
        shares[self.peer_id] = self._own
        self._shares = {name: shares[name] for name in self._roster if name in shares}

    def masked(self, term: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The term plus its own mask and the pair masks, modulo 2^32; once."""
        if not self.is_ready:
            raise LocalProtocolError(f"peer {self.peer_id} cannot mask a term now, or has done so already")
        self.is_masked = True
        total = term.copy()
        self._cipher.add_mask(self._seed, total, +1)
        names = list(self._shares)
        for name in names:
            if name != self.peer_id:
                sign = +1 if names.index(self.peer_id) < names.index(name) else -1
                self._cipher.add_mask(self._mask_with(name), total, sign)
        return total

    def _mask_with(self, other: PeerId) -> bytes:
        purpose = mask_purpose(self.sum_id, self._digest(), self.peer_id, other)
        return self._cipher.agree(self._mask_key, self._roster[other].mask_key, purpose)

    def take_survivors(self, packed: bytes) -> bytes | None:
        """Its signature of the list of who survived; None where it is not among them, or has signed another list.

        Raises RemoteProtocolError for a list of others than those with shares, or too few.
        """
        if self.is_over:
            return None
        survivors = tuple(name.decode("ascii", "replace") for name in unpack(packed))
        if list(survivors) != [name for name in self._shares if name in survivors]:
            raise RemoteProtocolError("the survivors of a sum are not among those who exchanged shares")
        if len(survivors) < self._rules.needed(len(self._roster)):
            raise RemoteProtocolError(f"{len(survivors)} survivors are too few to unmask a sum")
        text = survivors_text(self.sum_id, self._digest(), tuple(self._shares), survivors)
        if not self.is_masked or self.peer_id not in survivors or self._signed not in (b"", text):
            return None
        self._signed, self._survivors = text, survivors
        return self._cipher.sign(text)

    def take_signatures(self, packed: bytes) -> bytes | None:
        """Its shares of the secrets that give the sum, once enough others have signed the list that it has signed.

        Raises RemoteProtocolError for signatures of another list, or too few.
        """
        if not self._signed or self.is_over:
            return None
        signatures = unpack_by_peer(packed)
        if not {*signatures} <= {*self._survivors}:
            raise RemoteProtocolError("the list of survivors is signed by others than those in it")
        if len(signatures) < self._rules.needed(len(self._roster)):
            raise RemoteProtocolError(f"{len(signatures)} signatures of the survivors are too few to unmask a sum")
        for name, signature in signatures.items():
            self._cipher.check(name, self._signed, signature, self._roster[name].credential)
        revealed = {
            name: (seed if name in self._survivors else key).to_bytes(SHARE_BYTES, "little")
            for name, (key, seed) in self._shares.items()
        }
        self.forget()
        return pack_by_peer(revealed)

    # Persistence

    def snapshot(self) -> Snapshot:
        return {}, {
            "secrets": [secret.hex() for secret in (self._seal_key, self._mask_key, self._seed)],
            "roster": {name: advert.packed().hex() for name, advert in self._roster.items()},
            "shares": {name: [f"{share:x}" for share in pair] for name, pair in self._shares.items()},
            "own": [f"{share:x}" for share in self._own],
            "signed": self._signed.hex(),
            "survivors": list(self._survivors),
            "is_masked": self.is_masked,
            "is_over": self.is_over,
        }

    def restore(self, snapshot: Snapshot) -> None:
        values = snapshot[1]

        def pair(texts: Sequence[str]) -> _Shares:
            return int(texts[0], 16), int(texts[1], 16)

        self._seal_key, self._mask_key, self._seed = map(bytes.fromhex, values["secrets"])
        self._roster = {name: Advert.unpacked(bytes.fromhex(text)) for name, text in values["roster"].items()}
        self._shares = {name: pair(texts) for name, texts in values["shares"].items()}
        self._own, self._signed = pair(values["own"]), bytes.fromhex(values["signed"])
        self._survivors = tuple(values["survivors"])
        self.is_masked, self.is_over = values["is_masked"], values["is_over"]

    def forget(self) -> None:
        """Have no secrets of this sum any more."""
        self.is_over = True
        self._seal_key = self._mask_key = self._seed = b""
        self._shares, self._own = {}, (0, 0)


def mask_purpose(sum_id: SumId, digest: bytes, *pair: PeerId) -> bytes:
    """The purpose of the key of a pair's mask. It names the two: else somebody who shows another's key as its own would
    have that one's mask in front of both, where one sign takes it off again."""
    return sum_id.context("mask", digest, *(name.encode() for name in sorted(pair)))


def survivors_text(sum_id: SumId, digest: bytes, with_shares: Sequence[PeerId], survivors: Sequence[PeerId]) -> bytes:
    """The text that survivors sign: the roster, who exchanged shares, and who sent a masked term."""
    lists = (pack(name.encode() for name in names) for names in (with_shares, survivors))
    return sum_id.context("survivors", digest, *lists)
