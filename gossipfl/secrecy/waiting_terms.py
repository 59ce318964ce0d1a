"""One peer's terms of secure sums, as integers of the ring, until they can be masked."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gossipfl.compression import decompress
from gossipfl.errors import TrainingError
from gossipfl.messages import Encoded, Message
from gossipfl.secrecy.fixed_point import Ring
from gossipfl.secrecy.masking_plan import MaskingPlan
from gossipfl.snapshot import Snapshot
from gossipfl.weights import PeerId

_Sum = tuple[PeerId, int]  # by aggregator and step


class Term(NamedTuple):
    """A term, with the numbers of its message."""

    term: Ring
    numbers: Mapping[str, float]


class WaitingTerms:
    """The terms that wait, by the plan of their run."""

    def __init__(self, plan: MaskingPlan) -> None:
        self._plan = plan
        self._waiting: dict[_Sum, Term] = {}
        self._newest: Mapping[str, Encoded] = {}
        self._of_newest: dict[float, Ring] = {}  # neighbors that give a model the same share get the same term

    def add(self, message: Message, share: float) -> None:
        """Have the vectors of a message wait, times a share.

        Raises TrainingError for numbers beyond the range.
        """
        if message.vectors is not self._newest:
            self._newest, self._of_newest = message.vectors, {}
        if share not in self._of_newest:
            self._of_newest[share] = self._term(message, share)
        self._waiting[message.receiver, message.round] = Term(self._of_newest[share], message.numbers)

    def _term(self, message: Message, share: float) -> Ring:
        parts = []
        for name in self._plan.sizes:
            encoded_part = self._plan.fixed_point.encode(decompress(message.vectors[name]), share)
            if encoded_part is None:
                raise TrainingError(
                    f"the {name} of peer {message.sender!r} have numbers beyond {self._plan.fixed_point.range:g}, the "
                    "range of secure sums: give privacy.secure_aggregation a larger range, or lower the learning rate",
                    peer_id=message.sender,
                    round=message.round,
                )
            parts.append(encoded_part)
        return np.concatenate(parts)

    def take(self, aggregator: PeerId, step: int) -> Term:
        """A term that waits no longer."""
        term = self._waiting.pop((aggregator, step))
        if not self._waiting:
            self._newest, self._of_newest = {}, {}
        return term

    def forget(self, aggregator: PeerId, step: int) -> None:
        """Have a term wait no longer, if it does."""
        self._waiting.pop((aggregator, step), None)

    def snapshot(self) -> Snapshot:
        terms = {f"{name}/{step}": term.term for (name, step), term in self._waiting.items()}
        return terms, {f"{name}/{step}": dict(term.numbers) for (name, step), term in self._waiting.items()}

    def restore(self, snapshot: Snapshot) -> None:
        terms, numbers = snapshot
        for key, term in terms.items():
            name, _, step = key.rpartition("/")
            self._waiting[name, int(step)] = Term(term, numbers[key])
