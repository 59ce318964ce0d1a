"""Letters go to a neighbor, and answers come back: parcels, their deliveries, answers."""

from dataclasses import dataclass
from typing import NamedTuple

from gossipfl.codec.sizes import MESSAGE_OVERHEAD
from gossipfl.engines.http.wire.envelope import Envelope, Purpose
from gossipfl.messages import Message
from gossipfl.weights import PeerId

GOODBYES = (Purpose.FINISHED, Purpose.LEAVING)


@dataclass(frozen=True, eq=False, slots=True)
class Parcel:
    """Something to be delivered to a neighbor: a message, a goodbye, or a question for what waits there (a poll)."""

    purpose: Purpose
    message: Message | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """One delivery of a parcel, addressed to the life `session` of `receiver`, with a counter of its own; it tells the
    highest counter that was `received` in answers."""

    parcel: Parcel
    receiver: PeerId
    session: str
    counter: int
    received: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that came back: its envelope and its message, where it has them."""

    envelope: Envelope
    message: Message | None


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A neighbor's word when it does not take something: a reason for machines, a detail for people, and after how
    many seconds it may be worth another try."""

    reason: str
    detail: str = ""
    delay: float = 1.0

    def by(self, neighbor: PeerId) -> str:
        """The words of a log on it."""
        return f"peer {neighbor} refused it: {self.reason} ({self.detail})"


class Traffic(NamedTuple):
    """Messages and bytes sent to a neighbor, and bytes received from it, since the run began; each message with its
    `MESSAGE_OVERHEAD`, goodbyes and polls not counted."""

    num_messages: int = 0
    sent: int = 0
    received: int = 0

    def and_sent(self, size: int) -> "Traffic":
        """The traffic with one more message sent, of `size` bytes."""
        return Traffic(self.num_messages + 1, self.sent + size + MESSAGE_OVERHEAD, self.received)

    def and_received(self, size: int) -> "Traffic":
        """The traffic with one more message that has come, of `size` bytes."""
        return Traffic(self.num_messages, self.sent, self.received + size + MESSAGE_OVERHEAD)
