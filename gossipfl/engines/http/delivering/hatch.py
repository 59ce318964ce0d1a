"""The hatch through which a neighbor that polls fetches what waits for it, one parcel after the other."""

from collections.abc import Hashable
from dataclasses import dataclass
from math import inf

from gossipfl.engines.http.delivering.asks import Hand
from gossipfl.engines.http.delivering.letters import Letter, Parcel


@dataclass(slots=True)
class Hatch:
    """Every poll is answered with the oldest parcel, until the neighbor confirms a delivery of it."""

    poll: Hashable = None
    """The poll that waits for something; None: none does."""
    until: float = inf
    """The time when that poll is answered, if only with nothing."""
    first: Letter | None = None
    """The first delivery of the oldest parcel; all later ones held the same."""

    def open(self, poll: Hashable, until: float) -> list[Hand]:
        """Let a poll wait; an earlier one that still waits has been given up."""
        given_up = [] if self.poll is None else [Hand(self.poll, None)]
        self.poll, self.until = poll, until
        return given_up

    def hand(self, letter: Letter | None) -> Hand:
        """Answer the poll that waits."""
        if letter is not None and (self.first is None or self.first.parcel is not letter.parcel):
            self.first = letter
        poll, self.poll, self.until = self.poll, None, inf
        return Hand(poll, letter)

    def confirmed(self, received: int) -> Parcel | None:
        """The parcel that has arrived, where `received`, the last counter that was taken in, says so."""
        if self.first is None or received < self.first.counter:
            return None
        parcel, self.first = self.first.parcel, None
        return parcel
