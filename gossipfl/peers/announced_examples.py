"""A server that weighs by numbers of training examples believes each client so many, and no more."""

from collections.abc import Iterable, Mapping
from statistics import median, median_low

from gossipfl.peers.magnitudes import Bound
from gossipfl.snapshot import Snapshot
from gossipfl.weights import PeerId


class AnnouncedExamples:
    """The number that each client gave with its first update, of which no more than `bound` medians count.

    A client that claims a billion examples would otherwise have the mean to itself. The median is that of all numbers
    that are known, of two the lower one; without a `bound`, every number counts as it was given first.
    """

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._first: dict[PeerId, int] = {}

    def announced(self, client: PeerId, num_examples: int) -> int:
        """The number that a client gave first, which may be this one; another one later changes nothing."""
        return self._first.setdefault(client, num_examples)

    def counted(self, clients: Iterable[PeerId]) -> list[float]:
        """The counted numbers of clients that have announced one."""
        most = self.most()
        return [float(min(self._first[client], most)) for client in clients]

    def most(self) -> float:
        """The largest number that counts."""
        if self._bound is False or not self._first:
            return float("inf")
        return self._bound * (median if len(self._first) > 2 else median_low)(self._first.values())

    def snapshot(self) -> Snapshot:
        return {}, {"first": dict(self._first)}

    def restore(self, snapshot: Snapshot) -> None:
        values: Mapping[str, int] = snapshot[1]["first"]
        self._first = dict(values)
