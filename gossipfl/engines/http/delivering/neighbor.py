"""What a peer knows of one neighbor: how to reach it, when it was heard, what waits for it."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gossipfl.codec import MESSAGE_OVERHEAD
from gossipfl.engines.http.wire.envelope import Purpose
from gossipfl.messages import Message
from gossipfl.weights import PeerId

Contact: TypeAlias = Literal["unknown", "reachable", "unreachable", "finished", "left", "revoked"]

GOODBYES = (Purpose.FINISHED, Purpose.LEAVING)


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
    """Highest counter of what came in its answers in that life, and was taken in."""
    counter: int = 0
    """Of the last POST to it, or answer with a message."""
    parcels: deque[Parcel] = field(default_factory=deque)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a parcel was added, or a pause is over."""
    num_failures: int = 0
    """Failed deliveries in a row."""
    not_before: float = 0.0
    """Loop time before which it is left alone."""
    last_contact: float | None = None
    """Loop time at which it was last heard."""
    was_told: bool = False
    """Whether our goodbye has arrived, or cannot arrive any more."""
    num_messages: int = 0
    sent: int = 0
    received_bytes: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """What it refused of ours, by reason."""
    is_of_this_run: bool | None = None
    """Whether it takes part in this run: False when it has refused us as of another one, until it takes or says
    anything; None before it has said."""

    @property
    def traffic(self) -> tuple[int, int, int]:
        """Messages and bytes sent to it, and bytes received from it, since the run began; each message with its
        `MESSAGE_OVERHEAD`, goodbyes and polls not counted."""
        return self.num_messages, self.sent, self.received_bytes

    @traffic.setter
    def traffic(self, traffic: tuple[int, int, int]) -> None:
        self.num_messages, self.sent, self.received_bytes = traffic
        if self.received_bytes:
            self.is_of_this_run = True

    def count_sent(self, size: int) -> None:
        """A message with a body of `size` bytes has left."""
        self.num_messages += 1
        self.sent += size + MESSAGE_OVERHEAD

    def count_received(self, size: int) -> None:
        """A message with a body of `size` bytes has come."""
        self.received_bytes += size + MESSAGE_OVERHEAD

    @property
    def said_goodbye(self) -> bool:
        return self.contact in ("finished", "left", "revoked")

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing more to say: it is revoked, has left, or has finished and knows that we have."""
        return self.contact in ("left", "revoked") or (self.contact == "finished" and self.was_told)

    def revoke(self) -> None:
        """It is shut out of the run: there is nothing to say to it, and nothing to hear."""
        self.contact, self.was_told = "revoked", True

    def refused_run(self) -> None:
        """It takes us for a peer of another run; one that was of this run has begun another, which does not count."""
        if self.is_of_this_run is None:
            self.is_of_this_run = False

    def add(self, parcel: Parcel) -> None:
        self.parcels.append(parcel)
        self.waiting.set()

    def discard(self, parcel: Parcel) -> None:
        """Let a parcel no longer wait, if it does: while it was on its way it may have been given up."""
        with suppress(ValueError):
            self.parcels.remove(parcel)

    def taken(self, purposes: Collection[Purpose]) -> list[Parcel]:
        """The parcels for those purposes, which no longer wait."""
        taken = [parcel for parcel in self.parcels if parcel.purpose in purposes]
        self.parcels = deque(parcel for parcel in self.parcels if parcel.purpose not in purposes)
        return taken

    def next_counter(self) -> int:
        self.counter += 1
        return self.counter

    def heard(self, session: str, now: float) -> None:
        """It is alive, in the life `session`. One that had left and was resumed is back; one that has finished stays
        so in all its lives, because that was on its disk before it said so."""
        is_back = self.contact == "left" and session != self.session
        if session != self.session:
            self.session, self.received = session, 0
        self.last_contact = now
        if self.not_before:
            self.num_failures, self.not_before = 0, 0.0
            self.waiting.set()
        if self.contact == "unreachable" or is_back:
            self.changed(self, "reachable")
        if self.contact in ("unknown", "unreachable") or is_back:
            self.contact = "reachable"
        if is_back:
            self.was_told = False

    def lost(self, not_before: float) -> None:
        """A delivery failed; it is left alone until `not_before`."""
        self.num_failures += 1
        self.not_before = not_before
        if self.contact == "reachable":  # what was never reached before was not lost
            self.contact = "unreachable"
            self.changed(self, "unreachable")

    def goodbye(self, purpose: Purpose) -> None:
        """It has finished, or leaves, which is its last word in a life."""
        if self.contact in ("left", "revoked"):
            return
        if purpose is Purpose.FINISHED:
            self.contact = "finished"
        else:
            self.contact = "left"
            self.changed(self, "left")
