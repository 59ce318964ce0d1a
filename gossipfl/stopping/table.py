"""A table of the newest scores of all peers, as a vector that rides on the messages of a run.

Its first three numbers say that the run ends: 1 + the round with which it does (0: it does not), the position of the
peer that says so, and why. Then follow `window` x num_peers rows of 2 + num_columns numbers: 1 + the round of the model
(0: nothing is known), 1 where it was measured (0: its peer has no examples to measure it on), and the scores.

Two tables are one by the newest row of each peer and place in the window, and by the earliest end: so it matters
neither how often a message comes, nor in which order. Nobody takes a row of its own from others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gossipfl.agreements import Agreement
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Encoded
from gossipfl.scores import Metric
from gossipfl.weights import PeerId, Vector, frozen

NO_NUMBER = -(2.0**1000)
"""Stands for a score that is no number, which messages do not carry."""

_LARGEST = 2.0**900
"""A score of larger magnitude counts as no number."""

_HEAD = 3


class End(NamedTuple):
    """A run ends with a `round`, because the peer at a `position` says so, as the rule has it or for a reason of its
    own."""

    round: int
    position: int
    by_rule: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The form of a run's tables: `peers` in node order, the `columns` of a row, the loss first, the number of rounds,
    and how many rows of a peer are in it at a time: those of `window` successive multiples of `every`. A window of 0:
    the newest alone, of whatever round."""

    peers: tuple[PeerId, ...]
    columns: tuple[Metric, ...]
    num_rounds: int
    every: int
    window: int = 0

    @property
    def size(self) -> int:
        """Numbers in a table."""
        return _HEAD + max(1, self.window) * len(self.peers) * self._width

    @property
    def _width(self) -> int:
        return 2 + len(self.columns)

    def empty(self) -> Vector:
        """The table of a peer that knows nothing."""
        return frozen(np.zeros(self.size))

    def _rows(self, table: Vector) -> NDArray[np.float64]:
        return np.asarray(table[_HEAD:], np.float64).reshape(max(1, self.window), len(self.peers), self._width)

    def _slot(self, round: int) -> int:
        return round // self.every % self.window if self.window else 0

    def with_row(self, table: Vector, position: int, round: int, scores: Sequence[float] | None) -> Vector:
        """The table with a peer's row of a round; None: it has no examples to measure a model on."""
        changed = np.array(table)
        row = self._rows(changed)[self._slot(round), position]
        row[:] = 0
        row[0] = 1 + round
        if scores is not None:
            row[1] = 1
            row[2:] = [score if isfinite(score) and abs(score) < _LARGEST else NO_NUMBER for score in scores]
        return frozen(changed)

    def merged(self, own: Vector, theirs: Vector, position: int | None, last: int | None = None) -> Vector:
        """One's own table with what is newer in another, rows of rounds after the `last` apart; the same array where
        nothing is. One's own `position`: None for a peer without a row."""
        mine, others = self._rows(own), self._rows(theirs)
        newer = others[..., 0] > mine[..., 0]
        if position is not None:
            newer[:, position] = False
        if last is not None:
            newer &= others[..., 0] <= 1 + last
        end = _earlier(self.end(own), self.end(theirs))
        if end == self.end(own) and not newer.any():
            return own
        rows = np.where(newer[..., None], others, mine)
        return frozen(np.concatenate([_head(end), rows.ravel()]))

    def end(self, table: Vector) -> End | None:
        """The end of the run, if one is known."""
        head = table[:_HEAD]
        return End(int(head[0]) - 1, int(head[1]), head[2] == 1) if head[0] else None

    def with_end(self, table: Vector, end: End) -> Vector:
        """The table with an end, or with the earlier one that it has."""
        return frozen(np.concatenate([_head(_earlier(end, self.end(table))), table[_HEAD:]]))

    def agreement(self, table: Vector, round: int | None, known_in: int) -> Agreement | None:
        """The scores of the models of a round, or (None) the newest of all peers, for one to whom `known_in` rounds are
        over; None: there are none."""
        rows = self._rows(table)[0 if round is None else self._slot(round)]
        chosen = (rows[:, 1] == 1) & ((rows[:, 0] > 0) if round is None else (rows[:, 0] == 1 + round))
        if not chosen.any():
            return None
        rounds, scores = rows[chosen, 0].astype(int) - 1, np.array(rows[chosen, 2:])
        scores[scores == NO_NUMBER] = np.nan
        scores.setflags(write=False)
        return Agreement(
            int(rounds.max()),
            known_in,
            len(self.peers) - int(((rows[:, 0] > 0) & (rows[:, 1] == 0)).sum()),
            tuple(peer_id for peer_id, one in zip(self.peers, chosen, strict=True) if one),
            self.columns,
            scores,
            int(rounds.min()) if rounds.min() < rounds.max() else None,
        )

    def received(self, encoded: Encoded, sender: PeerId) -> Vector:
        """The table in a message. Raises RemoteProtocolError where it cannot be one of this run."""
        table: Vector | None = encoded.known.get("scores")  # in virtual time all receivers share one
        if table is None:
            table = encoded.arrays.get("values")
            if encoded.encoding != "dense" or table is None or table.shape != (self.size,) or table.dtype != np.float64:
                raise RemoteProtocolError(f"the scores from peer {sender} are not {self.size} numbers")
            self._check(table, sender)
            encoded.known["scores"] = table
        return table

    def _check(self, table: Vector, sender: PeerId) -> None:
        rows = self._rows(table)
        rounds, measured = rows[..., 0], rows[..., 1]
        counts = np.concatenate([table[:_HEAD], rounds.ravel(), measured.ravel()])
        most_end, most_position, _ = 1 + self.num_rounds, len(self.peers), 1
        fault = None
        if not (np.isfinite(table).all() and (counts >= 0).all() and (counts == np.floor(counts)).all()):
            fault = "rounds and positions are integers that are not negative"
        elif not (table[0] <= most_end and table[1] <= most_position and table[2] <= 1):
            fault = f"the run ends with a round up to {self.num_rounds}, as one of its participants says"
        elif not ((rounds <= 1 + self.num_rounds).all() and (measured <= 1).all()):
            fault = f"there are rounds up to {self.num_rounds}, measured (1) or not (0)"
        elif ((np.abs(rows[..., 2:]) >= _LARGEST) & (rows[..., 2:] != NO_NUMBER)).any():
            fault = f"a score is below {_LARGEST:.3g} in magnitude"
        elif self.window:
            due = np.where(rounds > 0, rounds - 1, 0).astype(np.int64)
            places = np.arange(self.window)[:, None]
            if ((rounds > 0) & ((due % self.every != 0) | (due // self.every % self.window != places))).any():
                fault = f"they are of every {self.every} rounds, {self.window} at a time"
        if fault is not None:
            raise RemoteProtocolError(f"the scores from peer {sender} cannot be true: {fault}")


def _earlier(one: End | None, other: End | None) -> End | None:
    """The earlier of two ends; of two in the same round, that of the first peer."""
    return min((end for end in (one, other) if end is not None), default=None)


def _head(end: End | None) -> NDArray[np.float64]:
    return np.zeros(_HEAD) if end is None else np.array([1.0 + end.round, end.position, end.by_rule])
