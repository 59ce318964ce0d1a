"""Calls of one peer to its neighbors that the run ends, each repeated until it is confirmed."""

from collections.abc import Callable, Iterable

from gossipfl.actions import Action, Send
from gossipfl.messages import Message
from gossipfl.snapshot import Snapshot
from gossipfl.weights import PeerId

FIRST_PAUSE = 1.0
"""Seconds until a call is repeated for the first time; each pause is twice the one before."""

MOST_CALLS = 7
"""Calls to one neighbor, the last of which is given up after 127 seconds: nobody waits for one that is gone. One that
comes back, and shows that it does not know, is called again."""


class StopCalls:
    """The calls that are not confirmed yet; `make` makes the message to a neighbor."""

    def __init__(self, make: Callable[[PeerId], Message]) -> None:
        self._make = make
        self._open: dict[PeerId, tuple[float, int]] = {}  # when it is due again, and how often it was made
        self._settled: set[PeerId] = set()  # who has confirmed it, or was called often enough

    @property
    def unconfirmed(self) -> list[PeerId]:
        """Neighbors that may not know yet."""
        return list(self._open)

    @property
    def time(self) -> float | None:
        """The time when the next is due."""
        return min((time for time, _ in self._open.values()), default=None)

    def call(self, neighbors: Iterable[PeerId], now: float, *, once: bool) -> list[Action]:
        """Call whoever of these was not called yet; `once` does not wait for a confirmation."""
        new = [neighbor for neighbor in neighbors if neighbor not in self._open and neighbor not in self._settled]
        if once:
            self._settled.update(new)
        else:
            self._open |= dict.fromkeys(new, (now + FIRST_PAUSE, 1))
        return [Send(self._make(neighbor)) for neighbor in new]

    def due(self, now: float) -> list[Action]:
        """Repeat what is due; give up what was repeated often enough."""
        repeated: list[Action] = []
        for neighbor, (time, number) in list(self._open.items()):
            if time > now:
                continue
            if number == MOST_CALLS:
                self.settle(neighbor)
                continue
            self._open[neighbor] = now + FIRST_PAUSE * 2.0**number, number + 1
            repeated.append(Send(self._make(neighbor)))
        return repeated

    def settle(self, neighbor: PeerId) -> None:
        """Call a neighbor no more: it knows."""
        self._open.pop(neighbor, None)
        self._settled.add(neighbor)

    def does_not_know(self, neighbor: PeerId) -> None:
        """A neighbor has shown that it does not know, and may be called again."""
        self._settled.discard(neighbor)

    def snapshot(self) -> Snapshot:
        calls = {neighbor: list(call) for neighbor, call in self._open.items()}
        return {}, {"open": calls, "settled": sorted(self._settled)}

    def restore(self, snapshot: Snapshot) -> None:
        _, values = snapshot
        self._open = {neighbor: (time, number) for neighbor, (time, number) in values["open"].items()}
        self._settled = set(values["settled"])
