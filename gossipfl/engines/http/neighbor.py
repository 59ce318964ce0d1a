"""What a peer knows of one neighbor: how to reach it, when it was heard, what waits for it."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gossipfl.engines.http.envelope import Purpose
from gossipfl.messages import Message
from gossipfl.weights import PeerId

Contact: TypeAlias = Literal["unknown", "reachable", "unreachable", "finished", "left"]


@dataclass(eq=False, slots=True)
class Parcel:
    """Something to be delivered to a neighbor: a message, or a goodbye."""

    purpose: Purpose
    message: Message | None = None
    counter: int = 0
    """Of its newest delivery, where it is fetched by polls."""


@dataclass(eq=False, slots=True)
class Neighbor:
    """One neighbor; `url` is None when it cannot be reached and polls.

    `changed(neighbor, event)` is told when it becomes "reachable" or "unreachable", or has "left".
    """

    name: PeerId
    url: str | None
    changed: Callable[["Neighbor", str], None]
    contact: Contact = "unknown"
    session: str = ""
    """Its present life, as far as known; envelopes are addressed to it."""
    received: int = 0
    """Highest counter of the messages that came in its answers in that life."""
    counter: int = 0
    """Of the last POST to it, or answer with a message."""
    parcels: deque[Parcel] = field(default_factory=deque)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a parcel was added."""
    num_failures: int = 0
    """Failed deliveries in a row."""
    not_before: float = 0.0
    """Loop time before which it is left alone."""
    last_contact: float | None = None
    """Loop time at which it was last heard."""
    said_goodbye: bool = False
    was_told: bool = False
    """Whether our goodbye has arrived, or cannot arrive any more."""
    num_messages: int = 0
    sent: int = 0
    received_bytes: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """What it refused of ours, by reason."""

    def add(self, parcel: Parcel) -> None:
        self.parcels.append(parcel)
        self.waiting.set()

    def taken(self, purposes: Collection[Purpose]) -> list[Parcel]:
        """The parcels for those purposes, which no longer wait."""
        taken = [parcel for parcel in self.parcels if parcel.purpose in purposes]
        self.parcels = deque(parcel for parcel in self.parcels if parcel.purpose not in purposes)
        return taken

    def next_counter(self) -> int:
        self.counter += 1
        return self.counter

    def heard(self, session: str, now: float) -> None:
        """It is alive, in the life `session`."""
        if session != self.session:
            self.session, self.received = session, 0
            self.said_goodbye = False  # it was resumed, and goes on
        self.last_contact = now
        self.num_failures, self.not_before = 0, 0.0
        if self.contact in ("unreachable", "left") and not self.said_goodbye:
            self.changed(self, "reachable")
        if not self.said_goodbye:
            self.contact = "reachable"

    def lost(self, not_before: float) -> None:
        """A delivery failed; it is left alone until `not_before`."""
        self.num_failures += 1
        self.not_before = not_before
        if self.contact == "reachable":
            self.contact = "unreachable"
            self.changed(self, "unreachable")

    def goodbye(self, purpose: Purpose) -> None:
        """It has finished, or leaves."""
        self.said_goodbye = True
        if purpose is Purpose.LEAVING and self.contact != "left":
            self.contact = "left"
            self.changed(self, "left")
        elif purpose is Purpose.FINISHED:
            self.contact = "finished"
