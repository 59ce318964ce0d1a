"""Each peer's own share of held-out examples: dealt as its training examples are, so that it asks what the peer meets.

By a column, whoever holds a value in training holds it here. In every other case whoever holds a part of a class holds
the same part of it here; and where there are no classes, of all examples. So of each class, and in all, peers have as
much as of the training examples, up to rounding; and no example has two peers.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.deck import Deck, Indices, LabelArray, Partitioner
from gossipfl.data.given_partition import ByColumn
from gossipfl.errors import ConfigurationError


def own_shares(
    rule: Partitioner, training: Deck, parts: Sequence[Indices], held_out: Deck, generator: np.random.Generator
) -> list[Indices]:
    """The sorted held-out examples of each peer, who holds one of the `parts` of the training examples by the `rule`.

    A peer with few training examples may have none. What nobody has in training, such as another user, is in no share.
    Raises ConfigurationError for held-out examples without the column of the rule, or with one of another type.
    """
    if isinstance(rule, ByColumn):
        holder = np.full(len(training), -1)
        for position, part in enumerate(parts):
            holder[part] = position
        values, first = np.unique(training.column(rule.by), return_index=True)
        asked = held_out.column(rule.by)
        if (values.dtype.kind in "US") != (asked.dtype.kind in "US"):
            raise ConfigurationError(
                f"column {rule.by!r} is {values.dtype} in the training examples and {asked.dtype} here, so no value is "
                "in both: make them one type"
            )
        place = np.minimum(np.searchsorted(values, asked), len(values) - 1)
        held_by = np.where(values[place] == asked, holder[first][place], -1)
        return [np.flatnonzero(held_by == position) for position in range(len(parts))]
    labels: tuple[LabelArray, LabelArray] = (np.zeros(len(training), np.int64), np.zeros(len(held_out), np.int64))
    if training.labels is not None and held_out.labels is not None:  # one-hot here and soft there is none in common
        labels = training.labels, held_out.labels
    counts = np.array([np.bincount(labels[0][part], minlength=int(labels[0].max()) + 1) for part in parts])
    shares: list[list[Indices]] = [[] for _ in parts]
    for label in np.unique(labels[1]):
        if label < counts.shape[1] and counts[:, label].any():
            members = generator.permutation(np.flatnonzero(labels[1] == label))
            peers = generator.permutation(len(parts))  # who gains by rounding differs from class to class
            for peer, members_of_peer in zip(peers, _cut(members, counts[peers, label]), strict=True):
                shares[peer].append(members_of_peer)
    return [np.sort(np.concatenate([np.zeros(0, np.int64), *share])) for share in shares]


def _cut(members: Indices, counts: NDArray[np.int64]) -> list[Indices]:
    """Parts in proportion to counts, each within one of it."""
    bounds = np.rint(np.cumsum(counts) / counts.sum() * len(members)).astype(np.int64)
    return np.split(members, bounds[:-1])
