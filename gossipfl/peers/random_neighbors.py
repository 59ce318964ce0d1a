"""Choosing among neighbors at random, and leaving those alone for a while that do not answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gossipfl.actions import Action, Send, WakeAt
from gossipfl.errors import ConfigurationError
from gossipfl.snapshot import Snapshot
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class Backoff:
    """The time for which a neighbor that did not answer is left alone.

    After k time-outs in a row: uniform between 1/2 and 1 of min(timeout * 2**(k - 1), maximum) seconds. A higher
    `timeout` waits longer for slow links, at the expense of idle time when a neighbor is gone.
    """

    timeout: float
    maximum: float

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= self.maximum:
            raise ConfigurationError(
                f"back-off needs 0 < timeout <= maximum, got timeout {self.timeout} and maximum {self.maximum}"
            )

    def delay(self, num_timeouts: int, generator: np.random.Generator) -> float:
        longest = min(self.timeout * 2.0 ** min(num_timeouts - 1, 100), self.maximum)  # 2.0**1024 would overflow
        return longest * float(generator.uniform(0.5, 1.0))


class RandomNeighbors:
    """The neighbors of one peer, and until when each of them is left alone."""

    def __init__(self, neighbors: Mapping[PeerId, int], backoff: Backoff, generator: np.random.Generator) -> None:
        self._neighbors = sorted(neighbors, key=neighbors.__getitem__)
        self._backoff = backoff
        self._generator = generator
        self._num_timeouts: dict[PeerId, int] = {}
        self._not_before: dict[PeerId, float] = {}

    def meet(self, neighbors: Mapping[PeerId, int]) -> None:
        """Have these neighbors, with their positions in node order; of others nothing is kept."""
        self._neighbors = sorted(neighbors, key=neighbors.__getitem__)
        for known in (self._num_timeouts, self._not_before):
            for gone in known.keys() - neighbors.keys():
                del known[gone]

    def choose(self, now: float) -> PeerId | None:
        """A random neighbor that is not left alone for now."""
        candidates = self._neighbors
        if self._not_before:
            candidates = [neighbor for neighbor in candidates if self._not_before.get(neighbor, now) <= now]
        # random() is ten times faster than integers(), and as fair to 2**-53.
        return candidates[int(self._generator.random() * len(candidates))] if candidates else None

    def leave_alone(self, neighbor: PeerId, now: float) -> None:
        """Leave a neighbor alone, for longer each time until it has answered."""
        self._num_timeouts[neighbor] = self._num_timeouts.get(neighbor, 0) + 1
        self._not_before[neighbor] = now + self._backoff.delay(self._num_timeouts[neighbor], self._generator)

    def answered(self, neighbor: PeerId) -> None:
        self._num_timeouts.pop(neighbor, None)
        self._not_before.pop(neighbor, None)

    def drain(self, unresolved: Sequence[PeerId], repeat: Callable[[PeerId], Send], now: float) -> list[Action]:
        """Repeat what the `unresolved` neighbors have not answered where the back-off is over, and wake for the rest;
        a peer that has finished has nothing else to do."""
        actions: list[Action] = []
        for neighbor in unresolved:
            if self._not_before.get(neighbor, now) <= now:
                self.leave_alone(neighbor, now)
                actions.append(repeat(neighbor))
        return [*actions, WakeAt(min(self._not_before[neighbor] for neighbor in unresolved))] if unresolved else []

    def snapshot(self) -> Snapshot:
        return {}, {
            "num_timeouts": dict(self._num_timeouts),
            "not_before": dict(self._not_before),
            "generator": self._generator.bit_generator.state,
        }

    def restore(self, snapshot: Snapshot) -> None:
        _, values = snapshot
        self._num_timeouts, self._not_before = dict(values["num_timeouts"]), dict(values["not_before"])
        self._generator.bit_generator.state = values["generator"]
