"""The messages of a secure sum: one vector of bytes, of which the first is the phase."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Encoded, Kind, Message
from gossipfl.secrecy.terms import Phase
from gossipfl.weights import PeerId

SECRET = "secret"
"""The name of the vector of bytes on board."""

Place: TypeAlias = tuple[PeerId, int, int]
"""The receiver of a message of a sum, its step, and 1 for what goes to who adds up."""


def secret_message(
    sender: PeerId, receiver: PeerId, step: int, phase: Phase, payload: bytes, numbers: Mapping[str, float]
) -> Message:
    """The message of a phase of the sum of a gossip step; `numbers` are told in the clear."""
    content = np.frombuffer(bytes([phase]) + payload, np.uint8)
    vectors = {SECRET: Encoded("bytes", {"values": content}, content.size)}
    return Message(sender, receiver, Kind.SECRET, step, None, vectors, numbers)


def phase_of(message: Message) -> tuple[Phase, bytes]:
    """The phase and the payload of a message. Raises RemoteProtocolError where it is none of a sum."""
    content = _content(message)
    return Phase(content[0]), content[1:].tobytes()


def place_of(message: Message) -> Place:
    """The place of a message among those of all sums; later ones take that of the earlier."""
    return message.receiver, message.round, _content(message)[0] % 2


def _content(message: Message) -> memoryview:
    carried = message.vectors.get(SECRET)
    content = memoryview(b"") if carried is None else carried.arrays["values"].data
    if not content or content[0] not in {*Phase}:
        raise RemoteProtocolError(f"a {message.kind} from peer {message.sender} is none of a secure sum")
    return content
