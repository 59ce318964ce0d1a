"""Agreements of peers on how good their models are, without anybody who sees them all."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.measured import DECILES, Measured
from gossipfl.scores import Metric
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """The scores of the models of `peers` after `round` rounds, as they came to be known to a peer when `known_in`
    rounds were over for it.

    Row i of `scores` [num_peers, num_columns] is of peer i in node order, on its own held-out data; column j is of
    `columns[j]`, the loss first. NaN: the model is no good. Peers whose scores are not known are not in it: it has
    `num_peers` of `of_peers`. Of peers that do not wait for each other, some models are older; the oldest is of round
    `oldest`. Two agreements are equal if they are the same scores of the same peers and round, bit for bit, whenever
    they came to be known.

    >>> columns = Metric("loss", higher_is_better=False, unit="number"), Metric("accuracy")
    >>> agreed = Agreement(3, 5, 4, ("a", "b"), columns, np.array([[0.5, 0.75], [0.25, 1.0]]))
    >>> agreed.num_peers, agreed.loss.mean, agreed.metrics["accuracy"].worst
    (2, 0.375, 0.75)
    """

    round: int
    known_in: int
    of_peers: int
    peers: tuple[PeerId, ...]
    columns: tuple[Metric, ...]
    scores: NDArray[np.float64]
    oldest: int | None = None
    """None: all are of the same round."""

    @property
    def num_peers(self) -> int:
        """Peers whose scores are in it."""
        return len(self.peers)

    @property
    def loss(self) -> Measured:
        """The loss of each of the peers, with mean, worst, best and deciles."""
        return self.measured(self.columns[0])

    @property
    def metrics(self) -> Mapping[str, Measured]:
        """The metrics by name, as the loss."""
        return {metric.name: self.measured(metric) for metric in self.columns[1:]}

    def measured(self, metric: Metric) -> Measured:
        """One of the columns, as the loss."""
        column = self.scores[:, self.columns.index(metric)]
        return Measured(metric, None, None, dict(zip(self.peers, column.tolist(), strict=True)))

    @property
    def who(self) -> str:
        """The peers that are in it, in words: "all 5 peers", "4 of 5 peers"."""
        return f"{'all' if self.num_peers == self.of_peers else f'{self.num_peers} of'} {self.of_peers} peers"

    def __str__(self) -> str:
        """In words: of how many peers, and each metric in the mean, from the worst to the best of them.

        >>> print(Agreement(3, 5, 2, ("a", "b"), (Metric("accuracy"),), np.array([[0.75], [1.0]])))
        all 2 peers after round 3, in the mean: accuracy 0.8750 (0.7500 to 1.0000)
        """
        shown = []
        for one in (self.loss, *self.metrics.values()):
            mean, worst, best = map(_shown, (one.mean, one.worst, one.best))
            spread = "" if one.metric.higher_is_better is None else f" ({worst} to {best})"
            shown.append(f"{one.metric.name} {mean}{spread}")
        when = f"round {self.round}" if self.oldest is None else f"rounds {self.oldest} to {self.round}"
        return f"{self.who} after {when}, in the mean: {', '.join(shown)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Agreement) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[object, ...]:
        return self.round, self.oldest, self.peers, self.columns, self.scores.tobytes()

    def values(self) -> dict[str, Any]:
        """JSON-ready values, of which `agreement_of` makes it again."""
        return asdict(self) | {"scores": self.scores.tolist()}


def _shown(value: float | None) -> str:
    if value is None:
        return "nan"
    return f"{value:.5g}" if abs(value) >= 1e6 else f"{value:.4f}"  # of a model that diverged, not every digit


def agreement_of(values: Mapping[str, Any]) -> Agreement:
    """The agreement that gave these values."""
    columns = tuple(Metric(**column) for column in values["columns"])
    scores = np.array(values["scores"], np.float64).reshape(len(values["peers"]), len(columns))
    whole = {**values, "peers": tuple(values["peers"]), "columns": columns, "scores": scores}
    return Agreement(**{field.name: whole[field.name] for field in fields(Agreement)})


SHARED_ASPECTS = ("mean", "worst", "best", *DECILES)
"""These aspects of a metric stand in a row of what peers agree on."""


def agreement_row(agreement: Agreement) -> dict[str, Any]:
    """One flat, JSON-ready row: what a line of `agreed.jsonl` says of an agreement, without anybody's own scores."""
    all_measured = (agreement.loss, *agreement.metrics.values())
    return {
        "round": agreement.round,
        "oldest": agreement.round if agreement.oldest is None else agreement.oldest,
        "known_in": agreement.known_in,
        "num_peers": agreement.num_peers,
        "of_peers": agreement.of_peers,
        **{
            f"{aspect}_{one.metric.name}": value
            for one in all_measured
            for aspect, value in one.aspects().items()
            if aspect in SHARED_ASPECTS
        },
    }
