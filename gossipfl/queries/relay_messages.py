"""The messages of relayed questions: what they carry, and how one tells the pass that they are about.

Pass t goes up by messages of round 2 t, and down by those of round 2 t + 1.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from gossipfl.messages import Encoded, Kind, Message, NumberSchema, VectorSchema
from gossipfl.queries.inquiry import Question, largest_size, pass_sizes
from gossipfl.queries.masked_inquiry import largest_masked_size, most_masked_passes
from gossipfl.weights import PeerId, Vector

SUMMARY = "summary"
"""The vector of a message: one summary, or the total."""
AGREED, SILENT = "agreed", "silent"
"""The numbers of a message: a digest of what was before, and the position of somebody who was silent, if one was."""

_DIGEST_BYTES = 6


class Total(NamedTuple):
    """The outcome of a pass: its total, None where there is none; a digest of the totals before; and the position of
    somebody who was silent."""

    vector: Encoded | None
    agreed: int
    silent: int | None

    @classmethod
    def of(cls, message: Message) -> "Total":
        """The total that a message hands on."""
        silent = message.numbers.get(SILENT)
        return cls(message.vectors.get(SUMMARY), int(message.number(AGREED)), None if silent is None else int(silent))

    def message(self, sender: PeerId, receiver: PeerId, number: int) -> Message:
        """The message that hands it on as the total of pass `number`."""
        vectors = {} if self.vector is None else {SUMMARY: self.vector}
        numbers = _numbers(self.agreed, self.silent)
        return Message(sender, receiver, Kind.FINAL, 2 * number + 1, None, vectors, numbers)


def summary_message(
    sender: PeerId, receiver: PeerId, number: int, summary: Encoded, tie: int, silent: int | None
) -> Message:
    """The message that passes a summary up in pass `number`."""
    return Message(sender, receiver, Kind.PUSH, 2 * number, None, {SUMMARY: summary}, _numbers(tie, silent))


def request(sender: PeerId, receiver: PeerId, number: int) -> Message:
    """The message that asks for the total of pass `number`."""
    return Message(sender, receiver, Kind.REQUEST, 2 * number + 1)


def _numbers(agreed: int, silent: int | None) -> dict[str, float]:
    return {AGREED: agreed} if silent is None else {AGREED: agreed, SILENT: silent}


def summary_in(message: Message) -> Vector:
    """The numbers of a message's summary, or total; none where it has none."""
    encoded = message.vectors.get(SUMMARY)
    return np.zeros(0) if encoded is None else encoded.arrays["values"]


def digest(*parts: Vector | int) -> int:
    """A number that other vectors and numbers do not have."""
    hashed = blake2b(digest_size=_DIGEST_BYTES)
    for one in parts:
        hashed.update(one.to_bytes(_DIGEST_BYTES, "little") if isinstance(one, int) else one.tobytes())
    return int.from_bytes(hashed.digest(), "little")


def most_passes(questions: Sequence[Question], num_peers: int, *, is_masked: bool = False) -> int:
    """The number of passes, at most: questions begin again whenever peers have left, or nobody may."""
    return most_masked_passes(questions) if is_masked else len(pass_sizes(questions)) * num_peers


def schemas(
    questions: Sequence[Question], num_peers: int, *, is_masked: bool = False
) -> tuple[Mapping[str, VectorSchema], Mapping[str, NumberSchema]]:
    """The vectors and the numbers that messages carry."""
    numbers = {
        AGREED: NumberSchema(0, 2 ** (8 * _DIGEST_BYTES) - 1, is_integer=True),
        SILENT: NumberSchema(0, num_peers - 1, is_integer=True),
    }
    if is_masked:
        return {SUMMARY: VectorSchema(largest_masked_size(questions, num_peers), "uint8")}, numbers
    return {SUMMARY: VectorSchema(largest_size(questions), "float64")}, numbers
