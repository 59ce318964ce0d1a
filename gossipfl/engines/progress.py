"""The progress of a run: rounds of local work, what was sent, and what training gave meanwhile.

It is counted alike for a simulation, for peers in one process, for peers as processes, and for peers whose records are
gathered afterwards.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from gossipfl.weights import PeerId


class Rounds:
    """The equivalent round of a run, and when an evaluation is due: every `every` rounds, but not in the last of
    `num_rounds`, which ends with an evaluation of its own.

    `round` is the last that is over; before the state without any training has been seen, -1.

    >>> rounds = Rounds(["a", "b"], every=2, num_rounds=5)
    >>> rounds.count("a", 3)
    >>> rounds.count("b", 1)
    >>> rounds.reached, rounds.is_due(), rounds.is_due()
    (2, True, False)
    """

    def __init__(self, peers: Sequence[PeerId], every: int, num_rounds: float = inf, round: int = 0) -> None:
        self._done = dict.fromkeys(peers, 0)
        self._sum = 0
        self._every = every
        self._num_rounds = num_rounds
        self.round = round

    def count(self, peer_id: PeerId, rounds_done: int) -> None:
        """Note the rounds of local work that one of the peers has done; nobody else's count."""
        if peer_id in self._done:
            self._sum += rounds_done - self._done[peer_id]
            self._done[peer_id] = rounds_done

    @property
    def reached(self) -> int:
        """Rounds of local work done, per peer in the mean."""
        return self._sum // len(self._done)

    def is_due(self, reached: int | None = None) -> bool:
        """Go on to the round that is `reached` (None: by now); whether an evaluation is due on the way there."""
        before, self.round = self.round, self.reached if reached is None else reached
        return self.round // self._every > before // self._every and self.round < self._num_rounds


class Counted(Protocol):
    """A participant's messages and bytes since the start."""

    @property
    def sent(self) -> int: ...
    @property
    def received(self) -> int: ...
    @property
    def num_messages(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Traffic:
    """All that was sent since the start, and the largest sum of sent and received bytes at one participant."""

    num_bytes: int
    num_messages: int
    busiest_peer_bytes: int

    @classmethod
    def of(cls, participants: Iterable[Counted]) -> "Traffic":
        """The sum over all participants."""
        counts = [(one.sent, one.received, one.num_messages) for one in participants]
        return cls(
            sum(sent for sent, _, _ in counts),
            sum(num_messages for _, _, num_messages in counts),
            max((sent + received for sent, received, _ in counts), default=0),
        )


@dataclass(slots=True)
class TrainingSums:
    """Loss and metrics of the local training that has ended since they were last taken, over its examples."""

    totals: dict[str, float] = field(default_factory=dict)
    nums_examples: dict[str, int] = field(default_factory=dict)

    def add(self, metrics: Mapping[str, float | None], num_examples: int) -> None:
        """Count means over so many examples; None says that there is none."""
        totals, nums_examples = self.totals, self.nums_examples
        for name, value in metrics.items():
            if value is not None:
                totals[name] = totals.get(name, 0.0) + value * num_examples
                nums_examples[name] = nums_examples.get(name, 0) + num_examples

    @property
    def num_examples(self) -> int:
        """Examples that were trained on, with repetition."""
        return max(self.nums_examples.values(), default=0)

    def take(self) -> dict[str, float]:
        """Means over the examples, where there were any; then begin anew."""
        means = {name: self.totals[name] / number for name, number in self.nums_examples.items() if number}
        self.totals, self.nums_examples = {}, {}
        return means
