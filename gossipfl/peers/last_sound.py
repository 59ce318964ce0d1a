"""A peer goes back to its last sound model when it cannot train on what it has mixed in.

The law: when the first training after a mix fails, the peer goes back to what its last training gave, without what was
mixed in since, and trains the round again. When training fails without a mix, and something that was taken in earlier
was more than three times as large as one's own (three times 1, if that is larger), a chain of such may have brought it
there: the peer begins again from its first model. What else fails is the end, as a learning rate that is too high has
to be. After three mixes in a row that were undone, nothing is taken in for a round, so that no row is longer.
"""

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from gossipfl.actions import State
from gossipfl.snapshot import Snapshot, read_only, under
from gossipfl.weights import ModelVectors, PeerId, Vector

MOST_UNDONE = 3
"""Mixes in a row that are undone before a round without any."""

LARGE = 3.0
"""Times as large as one's own, beyond which vectors of others are remembered as a possible cause."""


def first_state(model: ModelVectors) -> State:
    """The state that training begins from: what of the model is the peer's own."""
    return {"local": model.local} if model.local.size else {}


class LastSound:
    """The vectors that the last training of a peer gave, and who has been mixed in since."""

    def __init__(self, model: ModelVectors) -> None:
        self._first = model
        self.weights, self.statistics = model.weights, model.statistics
        self.state = first_state(model)
        self.has_taken_large = False
        self._mixed: dict[PeerId, None] = {}  # in since the outstanding job began, or the last one if there is none
        self._in_job: tuple[PeerId, ...] = ()  # in what the outstanding job began with
        self._num_undone = 0  # mixes in a row
        self._is_again = False  # whether the outstanding job is in place of one that failed

    @property
    def is_closed(self) -> bool:
        """True if nothing is to be taken in for now."""
        return self._num_undone >= MOST_UNDONE

    @property
    def has_mixed(self) -> bool:
        """True if the outstanding job began with something of others."""
        return bool(self._in_job)

    def mixed(self, senders: Iterable[PeerId]) -> None:
        """Vectors of these were mixed in."""
        self._mixed |= dict.fromkeys(senders)

    def job_begins(self) -> None:
        self._in_job, self._mixed = tuple(self._mixed), {}

    def job_ends(self, weights: Vector, statistics: Vector, state: State) -> None:
        """Training has given these."""
        self.keep(weights, statistics, state)
        if not self._is_again:
            self._num_undone = 0
        self._in_job, self._is_again = (), False

    def keep(self, weights: Vector, statistics: Vector, state: State) -> None:
        """Go back to these, if it comes to that."""
        self.weights, self.statistics, self.state = weights, statistics, state

    def undo(self) -> tuple[PeerId, ...]:
        """Forget who was mixed in, and give their names; none when it begins again."""
        if not self._in_job:
            self.keep(self._first.weights, self._first.statistics, first_state(self._first))
            self._mixed, self.has_taken_large = {}, False
            return ()
        undone, self._in_job, self._mixed = tuple(dict.fromkeys([*self._in_job, *self._mixed])), (), {}
        self._num_undone, self._is_again = self._num_undone + 1, True
        return undone

    def snapshot(self) -> Snapshot:
        arrays: dict[str, NDArray[Any]] = {}
        if self._in_job or self._mixed:  # else it is what the peer has
            arrays = {"weights": self.weights, "statistics": self.statistics}
            arrays |= {f"state/{name}": array for name, array in self.state.items()}
        return arrays, {
            "mixed": list(self._mixed),
            "in_job": list(self._in_job),
            "num_undone": self._num_undone,
            "is_again": self._is_again,
            "has_taken_large": self.has_taken_large,
        }

    def restore(self, snapshot: Snapshot, weights: Vector, statistics: Vector, state: State) -> None:
        """Take the state of a snapshot; the others are what the peer has."""
        arrays, values = read_only(snapshot[0]), snapshot[1]
        self.weights, self.statistics = arrays.get("weights", weights), arrays.get("statistics", statistics)
        self.state = under("state/", arrays) if arrays else state
        self._mixed, self._in_job = dict.fromkeys(values["mixed"]), tuple(values["in_job"])
        self._num_undone, self._is_again = values["num_undone"], values["is_again"]
        self.has_taken_large = values["has_taken_large"]
