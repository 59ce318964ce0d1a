"""Questions in sums of which nobody sees the terms: what travels is masked, and only the total of all is not.

The first pass gathers a key of each peer, signed by it, and hands all of them round. In each later pass every pair of
peers has a mask, which one adds and the other takes off; on the way along the tree summaries are masked, and the total
of all is not. The laws:

* Whatever lacks one honest peer's term says nothing, whoever has it: a summary on its way, whole or in part.
* A mask is that of its pass, of everybody's keys, and of all totals before. Who was shown other ones than the others
  has other masks, which do not cancel: then there is no answer, and never a wrong one. So nobody learns the part of one
  peer by asking it another thing than the others.
* Nobody is left out: without somebody there is no answer. No mask is ever told, so one that is late tells nothing.
* Of a question, each peer learns the sum of all others. Where fewer than two honest ones of them have examples, nobody
  says anything of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.messages import Encoded
from gossipfl.names.spelling import listed
from gossipfl.queries.inquiry import Inquiry, Outcome, Question, pass_sizes
from gossipfl.queries.quantiles import Quantiles
from gossipfl.queries.query import FEWEST_PEERS
from gossipfl.queries.values import Values
from gossipfl.secrecy import exact_ring
from gossipfl.secrecy.cipher import Cipher
from gossipfl.secrecy.packing import pack, pack_by_peer, unpack, unpack_by_peer
from gossipfl.secrecy.terms import SumId
from gossipfl.weights import PeerId, frozen

Bytes = NDArray[Any]
"""A summary as it travels: bytes, as an array of uint8."""

_MOST_BYTES_OF_A_KEY = 4_096
"""With its certificate, signature and name."""


@dataclass(frozen=True, eq=False, slots=True)
class Masking:
    """The keys of one peer in one `run`, and how many others may tell each other all that they know."""

    cipher: Cipher
    run: str
    colluders: int = 0


def in_sums(questions: Sequence[Question]) -> list[Question]:
    """The questions, asked so that only sums travel. Raises ConfigurationError for one that takes more than sums."""
    return [_in_sums(question) for question in questions]


def _in_sums(question: Question) -> Question:
    query = question.query
    if isinstance(query, Quantiles):
        query = replace(query, extremes=0)
    question = replace(question, query=query)
    if any(num_maxima for _, num_maxima in question.passes):
        raise ConfigurationError(
            f"{query} cannot be asked with privacy.secure_aggregation: it is made of maxima, each of which somebody's "
            "value is, and masks cancel in sums alone; ask for a mean, a sum, a count, a variance, quantiles, or a "
            "histogram with edges"
        )
    return question


def masked_pass_sizes(questions: Sequence[Question], everybody: Sequence[PeerId]) -> list[int]:
    """The bytes of a message in each pass at most, the keys first, without certificates."""
    key = _Key(bytes(32), bytes(len(questions)), b"", bytes(64)).packed()
    keys = pack_by_peer(dict.fromkeys(everybody, key))
    return [len(keys), *(exact_ring.NUMBER_BYTES * (1 + size // 2) for size in pass_sizes(in_sums(questions)))]


def most_masked_passes(questions: Sequence[Question]) -> int:
    """The number of passes, at most."""
    return 1 + len(pass_sizes(questions))


def largest_masked_size(questions: Sequence[Question], num_peers: int) -> int:
    """The bytes of a message at most, whatever certificates peers have."""
    _, *masked = masked_pass_sizes(questions, [])
    return max(_MOST_BYTES_OF_A_KEY * num_peers, *masked)


class _Key(NamedTuple):
    """What a peer says first: its public key, of which questions it has examples, and its signature on both."""

    public: bytes
    holds: bytes
    credential: bytes
    signature: bytes = b""

    def text(self, sum_id: SumId, peer_id: PeerId) -> bytes:
        """The bytes that are signed."""
        return sum_id.context("key of questions", peer_id.encode(), self.public, self.holds)

    def packed(self) -> bytes:
        return pack(self)


class MaskedInquiry:
    """The questions of one peer among `everybody`, in node order, as `Inquiry` has them.

    Raises as that does, and ConfigurationError for questions that are no sums, and where there are too few peers.
    """

    needs_all = True

    def __init__(
        self,
        questions: Sequence[Question],
        values: Sequence[Values],
        peer_id: PeerId,
        everybody: Sequence[PeerId],
        masking: Masking,
    ) -> None:
        questions = in_sums(questions)
        self._fewest = FEWEST_PEERS + masking.colluders
        if len(everybody) < self._fewest:
            raise ConfigurationError(
                f"privacy.secure_aggregation takes {self._fewest} peers to ask, and there are {listed(everybody, 6)}: "
                "from the sum of fewer, and its own part, one of them can tell another's; ask with more peers, or with "
                "--set privacy={}, if peers may know that of each other"
            )
        self._plain = Inquiry(questions, values)
        self._questions = questions
        self._most_passes = most_masked_passes(questions)
        self._peer_id, self._everybody = peer_id, tuple(everybody)
        self._cipher, self._sum_id = masking.cipher, SumId(masking.run, "", 0)
        self._holds = bytes(len(own) > 0 for own in values)
        self._private = masking.cipher.secret("key of questions", masking.run)
        self._keys: dict[PeerId, _Key] = {}
        self._seen = b""  # a digest of all totals
        self._num_passes = 0
        self._own: Bytes | None = None

    @property
    def outcomes(self) -> tuple[Outcome, ...] | None:
        return self._plain.outcomes

    @property
    def secret(self) -> str:
        return self._private.hex()

    def restore(self, secret: str) -> None:
        self._private, self._own = bytes.fromhex(secret), None

    def encoded(self, summary: Bytes) -> Encoded:
        return Encoded("bytes", {"values": summary}, summary.size)

    @property
    def own(self) -> Bytes:
        """Its own key in the first pass; then its summary under all its masks."""
        if self._own is None:
            self._own = self._masked() if self._keys else _bytes(pack_by_peer({self._peer_id: self._key()}))
        return self._own

    def _key(self) -> bytes:
        key = _Key(self._cipher.public(self._private), self._holds, self._cipher.credential)
        return key._replace(signature=self._cipher.sign(key.text(self._sum_id, self._peer_id))).packed()

    def _masked(self) -> Bytes:
        sums = self._plain.own.reshape(2, -1)  # and what they lost; there are no maxima
        terms = exact_ring.encoded([1, *(sum(map(exact_ring.whole, pair)) for pair in sums.T.tolist())])
        sum_id = replace(self._sum_id, step=self._num_passes)
        place = self._everybody.index(self._peer_id)

        def mask(position: int, other: PeerId) -> tuple[int, exact_ring.Numbers]:
            # The purpose names the two: else who shows another's key as its own would have that one's mask before both,
            # where one sign takes it off again.
            pair = (name.encode() for name in sorted((self._peer_id, other)))
            purpose = sum_id.context("mask of questions", self._seen, *pair)
            key = self._cipher.agree(self._private, self._keys[other].public, purpose)
            drawn = np.frombuffer(self._cipher.stream(key, terms.nbytes), "<u4").reshape(terms.shape)
            return (1 if place < position else -1), drawn

        others = (mask(k, name) for k, name in enumerate(self._everybody) if name != self._peer_id)
        return _bytes(exact_ring.total(chain([(1, terms)], others)).astype("<u4").tobytes())

    def fault(self, summary: Bytes, number: int) -> str | None:
        """The fault of somebody else's summary, or total, of this pass, which is the `number`-th, as the end of a
        sentence; None: it has none."""
        if self._keys:
            size = exact_ring.NUMBER_BYTES * (1 + self._plain.own.size // 2)
            return None if summary.size == size else f"sends {summary.size} bytes in pass {number}, which has {size}"
        try:
            _keys_in(summary)
        except RemoteProtocolError as error:
            return f"sends keys that are none: {error}"
        return None

    def merged(self, summaries: Sequence[Bytes]) -> Bytes:
        """The keys of all, or the sum of what is masked."""
        if self._keys:
            return _bytes(exact_ring.total((1, _words(one)) for one in summaries).astype("<u4").tobytes())
        keys = {name: key for one in summaries for name, key in unpack_by_peer(one.tobytes()).items()}
        return _bytes(pack_by_peer({name: keys[name] for name in self._everybody if name in keys}))

    def go_on(self, total: Bytes, notes: tuple[str, ...] = ()) -> None:
        """Go on to the next pass, or to the answers, with the total of this one."""
        why = self._fault_of_sum(total) if self._keys else self._fault_of_keys(total)
        self._own, self._seen = None, sha256(self._seen + total.tobytes()).digest()
        self._num_passes += 1
        if why is None and self._num_passes >= self._most_passes and self.outcomes is None:
            why = "the totals of the passes do not fit together: somebody has changed one"
        if why is not None:
            self.give_up(f"there is no answer: {why}")

    def _fault_of_keys(self, total: Bytes) -> str | None:
        """Why the keys of all are none to go on with, as a clause; None: they are taken."""
        packed, keys = unpack_by_peer(total.tobytes()), _keys_in(total)
        if missing := [name for name in self._everybody if name not in keys]:
            return f"keys are missing, of {listed(missing, 6)}; start all again"
        if [*keys] != [*self._everybody]:
            return "keys are of others than those who are asked"
        if packed[self._peer_id] != self._key():
            return f"{self._peer_id} is handed another key than its own: it was started again, so start all again"
        for name, key in keys.items():
            try:
                self._cipher.check(name, key.text(self._sum_id, name), key.signature, key.credential)
                self._cipher.agree(self._private, key.public, b"")  # with some points nobody can
            except RemoteProtocolError as error:
                return f"the key that came for peer {name} is none: {error}"
            if len(key.holds) != len(self._questions):
                return f"peer {name} answers {len(key.holds)} questions, and there are {len(self._questions)}"
        for question, *holds in zip(self._questions, *(key.holds for key in keys.values()), strict=True):
            holders = [name for name, has in zip(keys, holds, strict=True) if has]
            if len(holders) < self._fewest:
                return (
                    f"{question.query} is asked of those with examples, {listed(holders, 6) or 'nobody'}, and from the "
                    f"sum of fewer than {self._fewest}, and its own part, one of them can tell another's"
                )
        self._keys = keys
        return None

    def _fault_of_sum(self, total: Bytes) -> str | None:
        """Why a total is none, as a clause; None: the questions have gone on by it."""
        count, *integers = exact_ring.decoded(_words(total))
        largest = exact_ring.whole(exact_ring.LARGEST)
        if count != len(self._everybody) or any(abs(one) > largest for one in integers):
            return (
                "the masks of a sum do not cancel: peers were shown different keys or totals, or somebody has changed "
                "what it passed on"
            )
        pairs = np.array([exact_ring.number_of(one) for one in integers]).reshape(-1, 2)
        self._plain.go_on(frozen(pairs.T.ravel()))
        return None

    def give_up(self, why: str) -> None:
        """Leave what is not answered yet unanswered."""
        self._plain.give_up(why)


def _bytes(packed: bytes) -> Bytes:
    return np.frombuffer(packed, np.uint8)


def _words(summary: Bytes) -> exact_ring.Numbers:
    return np.frombuffer(summary.tobytes(), "<u4").reshape(-1, exact_ring.WORDS)


def _keys_in(summary: Bytes) -> dict[PeerId, _Key]:
    """The keys by peer. Raises RemoteProtocolError for bytes that are none."""
    keys = {name: _Key(*unpack(packed, 4)) for name, packed in unpack_by_peer(summary.tobytes()).items()}
    for name, key in keys.items():
        if (len(key.public), len(key.signature)) != (32, 64):
            raise RemoteProtocolError(f"a key has 32 bytes and a signature 64, which those of peer {name} have not")
    return keys
