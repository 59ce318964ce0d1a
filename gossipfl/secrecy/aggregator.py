"""One peer's part in one secure sum, as who adds up: it passes on what the others say, and sees nothing but the sum."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import RemoteProtocolError
from gossipfl.secrecy.advert import Advert, commitment_to, digest_of
from gossipfl.secrecy.cipher import Cipher
from gossipfl.secrecy.contributor import mask_purpose, survivors_text
from gossipfl.secrecy.packing import pack, pack_by_peer, unpack_by_peer
from gossipfl.secrecy.shamir import PRIME, secret_of
from gossipfl.secrecy.step_keys import StepKeys
from gossipfl.secrecy.terms import Phase, Rules, SumId
from gossipfl.snapshot import Snapshot
from gossipfl.weights import PeerId


class Note(NamedTuple):
    """Something to tell a contributor."""

    receiver: PeerId
    phase: Phase
    payload: bytes


class Aggregator:
    """The state of one sum of terms of `size` numbers of those `members` who take part, in node order.

    Each phase waits for everybody that is in it; `close` goes on with those who have answered. With too few of them
    there is no sum: `is_over` without a `total`. With `keys`, those of who adds up in that step, everybody has to take
    part, and there are two phases.
    """

    def __init__(
        self,
        sum_id: SumId,
        members: Sequence[PeerId],
        rules: Rules,
        cipher: Cipher,
        size: int,
        keys: StepKeys | None = None,
    ) -> None:
        self.sum_id, self._keys = sum_id, keys
        self._members, self._rules, self._cipher, self._size = tuple(members), rules, cipher, size
        self.phase = Phase.ADVERT  # what it waits for
        self._answers: dict[PeerId, bytes] = {}  # of this phase
        self._in_it: tuple[PeerId, ...] = self._members
        self._roster: dict[PeerId, Advert] = {}
        self._with_shares: tuple[PeerId, ...] = ()
        self.survivors: tuple[PeerId, ...] = ()  # whose terms are in the sum, in node order
        self._masked: NDArray[np.uint32] | None = None  # the sum of their terms with all masks
        self.total: NDArray[np.uint32] | None = None
        self.is_over = False

    @property
    def heard(self) -> frozenset[PeerId]:
        """Those who have said that they take part."""
        return frozenset(self._roster or self._answers)

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        """Those who have not answered in this phase yet."""
        if self.is_over:
            return ()
        return tuple(name for name in self._in_it if name not in self._answers)

    def receive(self, sender: PeerId, phase: Phase, payload: bytes) -> list[Note]:
        """An answer to what was told last; what came before, or twice, is nothing new.

        Raises RemoteProtocolError, with nothing changed, for an answer of somebody who is not in it, or one that would
        leave the others without a sum: then its sender is at fault, and no other.
        """
        if sender not in self._members:
            raise RemoteProtocolError(f"peer {sender} is not in the sum of step {self.sum_id.step}")
        if phase is not self.phase or sender not in self._in_it or sender in self._answers or self.is_over:
            return []
        self._check(sender, phase, payload)
        self._answers[sender] = payload
        return [] if self.awaits else self.close()

    def _check(self, sender: PeerId, phase: Phase, payload: bytes) -> None:
        match phase:
            case Phase.ADVERT if self._keys is not None:
                self._keys.checked(sender, payload)
            case Phase.ADVERT:
                advert = Advert.unpacked(payload)
                advert.check(self.sum_id, sender, self._cipher, shares=True)
                for key in (advert.seal_key, advert.mask_key):  # with some points nobody can agree
                    self._cipher.agree(bytes(32), key, b"")
            case Phase.SHARES:
                if {*unpack_by_peer(payload)} != {*self._roster} - {sender}:
                    raise RemoteProtocolError(f"the shares of peer {sender} are not for all others on the roster")
            case Phase.MASKED:
                if len(payload) != 4 * self._size:
                    raise RemoteProtocolError(f"a masked term has {4 * self._size} bytes, got {len(payload)}")
            case Phase.SIGNED:
                text = survivors_text(self.sum_id, self._digest(), self._with_shares, self.survivors)
                self._cipher.check(sender, text, payload, self._roster[sender].credential)
            case _:
                if {*unpack_by_peer(payload)} != {*self._with_shares}:
                    raise RemoteProtocolError(f"peer {sender} reveals shares of others than those who dealt some")

    def close(self) -> list[Note]:
        """Go on to the next phase with those who have answered."""
        answers = {name: self._answers[name] for name in self._in_it if name in self._answers}
        if self._keys is not None:
            needed = len(self._members)
        else:
            needed = self._rules.needed(len(self._roster)) if self._roster else self._rules.least
        is_enough = len(answers) >= needed and (self._roster or self._rules.allows(len(answers)))
        if self.is_over or not is_enough:
            self.is_over = True
            return []
        self._answers, self._in_it = {}, tuple(answers)
        steps: Mapping[Phase, Callable[[dict[PeerId, bytes]], list[Note]]] = {
            Phase.ADVERT: self._tell_roster,
            Phase.SHARES: self._pass_on_shares,
            Phase.MASKED: self._tell_survivors,
            Phase.SIGNED: self._pass_on_signatures,
            Phase.REVEALED: self._unmask,
        }
        notes = steps[self.phase](answers)
        skips = self._keys is not None and self.phase is Phase.ADVERT
        self.phase = Phase.MASKED if skips else Phase(min(self.phase + 2, Phase.REVEALED))
        return notes

    def _to_all(self, phase: Phase, payload: bytes) -> list[Note]:
        return [Note(name, phase, payload) for name in self._in_it]

    def _tell_roster(self, adverts: dict[PeerId, bytes]) -> list[Note]:
        self._roster = {name: Advert.unpacked(advert) for name, advert in adverts.items()}
        return self._to_all(Phase.ROSTER, pack_by_peer(adverts))

    def _pass_on_shares(self, sealed: dict[PeerId, bytes]) -> list[Note]:
        self._with_shares = tuple(sealed)
        by_sender = {name: unpack_by_peer(one) for name, one in sealed.items()}
        inboxes = {
            name: {sender: to[name] for sender, to in by_sender.items() if sender != name and name in to}
            for name in self._in_it
        }
        return [Note(name, Phase.INBOX, pack_by_peer(inbox)) for name, inbox in inboxes.items()]

    def _tell_survivors(self, terms: dict[PeerId, bytes]) -> list[Note]:
        self.survivors, self._masked = tuple(terms), np.zeros(self._size, np.uint32)
        for term in terms.values():
            self._masked += np.frombuffer(term, "<u4")
        if self._keys is not None:  # all pair masks have canceled
            self.total, self._masked, self.is_over = self._masked, None, True
            return []
        return self._to_all(Phase.SURVIVORS, pack(name.encode() for name in terms))

    def _pass_on_signatures(self, signatures: dict[PeerId, bytes]) -> list[Note]:
        return self._to_all(Phase.SIGNATURES, pack_by_peer(signatures))

    def _unmask(self, revealed: dict[PeerId, bytes]) -> list[Note]:
        """Take the masks off the sum: those of survivors, and the pair masks of who went missing."""
        points = {name: point for point, name in enumerate(self._roster, 1)}
        shares = {name: unpack_by_peer(one) for name, one in revealed.items()}
        masked, self._masked = self._masked, None
        assert masked is not None
        total = masked.copy()  # a checkpoint may hold the other, read-only, or be about to be written with it
        digest = self._digest()
        for name in self._with_shares:
            own = {points[by]: int.from_bytes(of[name], "little") % PRIME for by, of in shares.items()}
            secret = secret_of(own).to_bytes(66, "little")
            key, rest = secret[:32], secret[32:]
            if name in self.survivors:
                if any(rest) or commitment_to(self.sum_id, name, key) != self._roster[name].commitment:
                    return self._spoiled()
                self._cipher.add_mask(key, total, -1)
                continue
            if any(rest) or self._cipher.public(key) != self._roster[name].mask_key:
                return self._spoiled()
            for other in self.survivors:
                purpose = mask_purpose(self.sum_id, digest, name, other)
                pair = self._cipher.agree(key, self._roster[other].mask_key, purpose)
                is_first = points[other] < points[name]  # then it has added the mask
                self._cipher.add_mask(pair, total, -1 if is_first else +1)
        self.total, self.is_over = total, True
        return []

    def _digest(self) -> bytes:
        return digest_of(self._roster)

    def _spoiled(self) -> list[Note]:
        """Shares do not give what was promised: there is no sum, and never a wrong one."""
        self.is_over = True
        return []

    # Persistence

    def snapshot(self) -> Snapshot:
        arrays: dict[str, NDArray[Any]] = {
            f"answers/{name}": np.frombuffer(answer, np.uint8) for name, answer in self._answers.items()
        }
        sums = {"masked": self._masked, "total": self.total}
        arrays |= {name: one for name, one in sums.items() if one is not None}
        return arrays, {
            "phase": int(self.phase),
            "answers": list(self._answers),
            "in_it": list(self._in_it),
            "roster": {name: advert.packed().hex() for name, advert in self._roster.items()},
            "with_shares": list(self._with_shares),
            "survivors": list(self.survivors),
            "is_over": self.is_over,
        }

    def restore(self, snapshot: Snapshot) -> None:
        arrays, values = snapshot
        self.phase = Phase(values["phase"])
        self._answers = {name: arrays[f"answers/{name}"].tobytes() for name in values["answers"]}
        self._in_it, self._with_shares = tuple(values["in_it"]), tuple(values["with_shares"])
        self._roster = {name: Advert.unpacked(bytes.fromhex(text)) for name, text in values["roster"].items()}
        self.survivors, self._masked = tuple(values["survivors"]), arrays.get("masked")
        self.total, self.is_over = arrays.get("total"), values["is_over"]
