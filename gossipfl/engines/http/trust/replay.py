"""Refuses what was received before, without trusting a clock."""

from dataclasses import dataclass

from gossipfl.engines.http.wire.refusals import Refusal

WINDOW = 1024
"""A POST may come so far behind the newest counter (IPsec and WireGuard keep 64 to 8,192)."""


@dataclass(slots=True)
class ReplayWindow:
    """The counters of one sender in its newest incarnation: the highest, and which of those just below were seen."""

    incarnation: int = 0
    highest: int = 0
    seen: int = 0
    """Bit k stands for counter `highest - k`."""

    def check(self, incarnation: int, counter: int) -> None:
        """Take note of a POST. Raises Refusal for an earlier incarnation, or a counter that was seen or is too old."""
        if incarnation < self.incarnation:
            raise Refusal("old_incarnation", f"{incarnation} after {self.incarnation}")
        if counter < 1:
            raise Refusal("replayed", "counters begin at 1")
        if incarnation > self.incarnation:
            self.incarnation, self.highest, self.seen = incarnation, 0, 0
        ahead = counter - self.highest
        if ahead > 0:
            self.seen = ((self.seen << min(ahead, WINDOW)) | 1) & ((1 << WINDOW) - 1)
            self.highest = counter
        elif -ahead >= WINDOW or self.seen >> -ahead & 1:
            raise Refusal("replayed", f"counter {counter}, the newest is {self.highest}")
        else:
            self.seen |= 1 << -ahead
