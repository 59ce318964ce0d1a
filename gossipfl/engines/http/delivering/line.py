"""Lines to a neighbor, over which one POST goes after the other, and the pause of one that cannot be reached."""

from dataclasses import dataclass
from math import inf

from gossipfl.engines.http.delivering.letters import Parcel


@dataclass(frozen=True, slots=True)
class Pause:
    """The neighbor is left alone after so many failures in a row."""

    num_failures: int
    until: float


@dataclass(slots=True)
class Line:
    """One way of parcels, from the outbox or to poll; closed before the beginning and after the end."""

    open_at: float = inf
    """The time when the next thing may go; never, while something is under way or the line is closed."""
    parcel: Parcel | None = None
    """The parcel that is being delivered, until its answer is taken in."""
    num_tries: int = 0
    received: int = 0
    """The counter that its last letter confirms."""
    began: float = 0.0

    def set_out(self, parcel: Parcel, now: float) -> None:
        """A parcel is under way, perhaps not for the first time."""
        if self.parcel is not parcel:
            self.parcel, self.num_tries, self.began = parcel, 0, now
        self.open_at = inf

    def reopen(self, parcel: Parcel, at: float) -> None:
        """Let what is under way go on at a time, unless it is another parcel."""
        if self.parcel is parcel:
            self.open_at = at

    def free(self, parcel: Parcel, at: float) -> None:
        """A delivery is over, and the next one may begin at a time."""
        self.reopen(parcel, at)
        if self.parcel is parcel:
            self.parcel = None
