"""How many training examples a server believes of each client that weighs by them."""

from collections.abc import Mapping
from statistics import median_low

from gossipfl.peers.magnitudes import Bound
from gossipfl.peers.snapshot import Snapshot
from gossipfl.weights import PeerId


class AnnouncedExamples:
    """The number that each client gave with its first update, of which no more than `bound` medians count.

    A client that claims a billion examples would otherwise have the mean to itself. The median is the lower one of all
    numbers that are known; without a `bound`, every number counts as it was given first.
    """

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._first: dict[PeerId, int] = {}

    def announced(self, client: PeerId, num_examples: int) -> int:
        """The number that a client gave first, which may be this one; another one later changes nothing."""
        return self._first.setdefault(client, num_examples)

    def counted(self, client: PeerId) -> float:
        """What the number of a client that has announced one comes to."""
        return float(min(self._first[client], self.most()))

    def most(self) -> float:
        """The largest number that counts."""
        if self._bound is False or not self._first:
            return float("inf")
        return self._bound * median_low(self._first.values())

    def snapshot(self) -> Snapshot:
        return {}, {"first": dict(self._first)}

    def restore(self, snapshot: Snapshot) -> None:
        values: Mapping[str, int] = snapshot[1]["first"]
        self._first = dict(values)
