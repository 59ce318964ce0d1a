"""Rules that deal the examples of a training set to peers: who holds what.

A rule is called with the deck of examples, the peers and a generator, and gives one sorted array of example indices per
peer. Every example goes to exactly one peer, and no peer is left empty; where a rule cannot keep this, it
raises ConfigurationError with the remedy.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.deck import Deck, Indices, LabelArray
from gossipfl.data.given_partition import ByColumn, ByFunction, Given
from gossipfl.errors import ConfigurationError, DataError
from gossipfl.weights import PeerId

MAX_ATTEMPTS = 1_000
"""Draws of a random rule before it gives up on a minimum size; one draw takes well under a millisecond per class."""

MAX_ALPHA = 1e6
"""Beyond it a Dirichlet draw is uniform for every purpose."""


@dataclass(frozen=True, slots=True)
class Contiguous:
    """Consecutive examples: peer i of n holds [round(i N / n), round((i + 1) N / n)), rounded half to even.

    For n that divides 100 these are the sub-splits `train[0%:p%]`, `train[p%:2p%]`, ... of tensorflow-datasets.
    Uses no randomness.
    """

    def __call__(self, deck: Deck, peers: Sequence[PeerId], generator: np.random.Generator) -> list[Indices]:
        num_examples, num_peers = deck.enough_for(peers)
        bounds = [round(peer * num_examples / num_peers) for peer in range(num_peers + 1)]
        return [np.arange(low, high, dtype=np.int64) for low, high in pairwise(bounds)]


@dataclass(frozen=True, slots=True)
class IID:
    """Shuffled equal parts: sizes differ by at most one."""

    def __call__(self, deck: Deck, peers: Sequence[PeerId], generator: np.random.Generator) -> list[Indices]:
        num_examples, num_peers = deck.enough_for(peers)
        return _sorted_parts(np.array_split(generator.permutation(num_examples), num_peers))


@dataclass(frozen=True, slots=True)
class Dirichlet:
    """Label skew: the examples of each class are shared out in proportions p ~ Dirichlet(alpha, ..., alpha) over peers.

    `alpha`, in (0, 1e6]: lower is more skewed (0.1: a peer's examples are mostly of two or three classes; 100: nearly
    iid), at the expense of very unequal sizes. All proportions are drawn again until every peer has `min_examples`,
    at most `MAX_ATTEMPTS` times (Yurochkin et al., 2019; Li et al., 2022, take a minimum of 10).

    `balanced`: a peer that holds its share of all examples, N / n, gets none of the classes that follow, and the others
    share them in proportion. So sizes differ less, (the code of NIID-Bench, Li et al., 2022, and of Lin et al., 2021,
    whose data RelaySGD is measured on; Vogels et al., 2021).
    """

    alpha: float
    min_examples: int = 1
    balanced: bool = False

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)
        if self.min_examples < 1:
            raise ConfigurationError(f"min_examples must be at least 1, got {self.min_examples}")

    def __call__(self, deck: Deck, peers: Sequence[PeerId], generator: np.random.Generator) -> list[Indices]:
        num_examples, num_peers = deck.enough_for(peers)
        labels = deck.labels_for("dirichlet")
        if num_peers * self.min_examples > num_examples:
            raise ConfigurationError(
                f"{num_examples} examples cannot give {num_peers} peers min_examples={self.min_examples} each: "
                "lower min_examples or the number of peers"
            )
        counts = np.unique(labels, return_counts=True)[1]
        concentration = np.full(num_peers, self.alpha)
        for _ in range(MAX_ATTEMPTS):
            proportions = generator.dirichlet(concentration, size=len(counts))  # [classes, peers]
            if self.balanced:
                sizes = _balanced(counts, proportions)
            else:
                sizes = np.stack([_apportioned(int(count), p) for count, p in zip(counts, proportions, strict=True)])
            if int(sizes.sum(axis=0).min()) >= self.min_examples:
                break
        else:
            raise ConfigurationError(
                f"dirichlet left a peer with fewer than {self.min_examples} example(s) in each of {MAX_ATTEMPTS} "
                f"draws for {num_peers} peers: raise alpha (now {self.alpha:g}), or lower min_examples or the number "
                "of peers"
            )
        parts: list[list[Indices]] = [[] for _ in range(num_peers)]
        for members, class_sizes in zip(_members_by_label(labels, generator), sizes, strict=True):
            for part, share in zip(parts, np.split(members, np.cumsum(class_sizes)[:-1]), strict=True):
                part.append(share)
        return _sorted_parts([np.concatenate(part) for part in parts])


@dataclass(frozen=True, slots=True)
class Shards:
    """Label skew: the examples sorted by label are cut into n * `per_peer` equal shards, dealt at random.

    A peer holds the labels of its shards, mostly `per_peer` of them. Sizes of shards differ by at most one
    (McMahan et al., 2016: 200 shards of 300 for 100 peers).
    """

    per_peer: int = 2

    def __post_init__(self) -> None:
        _check_per_peer(self.per_peer)

    def __call__(self, deck: Deck, peers: Sequence[PeerId], generator: np.random.Generator) -> list[Indices]:
        num_examples, num_peers = deck.enough_for(peers)
        num_shards = num_peers * self.per_peer
        if num_shards > num_examples:
            raise ConfigurationError(
                f"{num_examples} examples cannot be cut into {num_shards} shards: lower per_peer (now {self.per_peer}) "
                f"or the number of peers (now {num_peers})"
            )
        shards = np.array_split(np.argsort(deck.labels_for("shards"), kind="stable"), num_shards)
        dealt = generator.permutation(num_shards).reshape(num_peers, self.per_peer)
        return _sorted_parts([np.concatenate([shards[shard] for shard in hand]) for hand in dealt])


@dataclass(frozen=True, slots=True)
class Labels:
    """Label skew: each peer holds `per_peer` labels; each label's examples are shared equally by its holders.

    Peers, in random order, take the labels with the fewest holders so far (ties at random), so numbers of holders
    differ by at most one. Every label present needs a holder: n * per_peer >= number of labels.
    """

    per_peer: int = 2

    def __post_init__(self) -> None:
        _check_per_peer(self.per_peer)

    def __call__(self, deck: Deck, peers: Sequence[PeerId], generator: np.random.Generator) -> list[Indices]:
        _, num_peers = deck.enough_for(peers)
        labels = deck.labels_for("labels")
        num_labels = len(np.unique(labels))
        if self.per_peer > num_labels:
            raise ConfigurationError(
                f"a peer cannot hold {self.per_peer} labels of {num_labels}: lower per_peer to at most {num_labels}"
            )
        if num_peers * self.per_peer < num_labels:
            raise ConfigurationError(
                f"{num_peers} peers with {self.per_peer} label(s) each leave some of the {num_labels} labels without a "
                f"holder: raise per_peer to at least {math.ceil(num_labels / num_peers)}, or the number of peers"
            )
        holders: list[list[int]] = [[] for _ in range(num_labels)]
        for peer in generator.permutation(num_peers):
            load = np.array([len(peers) for peers in holders])
            for label in np.lexsort((generator.random(num_labels), load))[: self.per_peer]:
                holders[label].append(int(peer))
        parts: list[list[Indices]] = [[] for _ in range(num_peers)]
        for members, owners in zip(_members_by_label(labels, generator), holders, strict=True):
            if len(members) < len(owners):
                raise ConfigurationError(
                    f"label {labels[members[0]]} has {len(members)} example(s) for {len(owners)} holders: lower "
                    f"per_peer (now {self.per_peer}) or the number of peers (now {num_peers}), or give more examples"
                )
            for peer, share in zip(owners, np.array_split(members, len(owners)), strict=True):
                parts[peer].append(share)
        return _sorted_parts([np.concatenate(part) for part in parts])


@dataclass(frozen=True, slots=True)
class Quantity:
    """Unequal sizes with iid labels: one example each, and the rest in proportions p ~ Dirichlet(alpha, ..., alpha).

    `alpha`, in (0, 1e6]: lower is more unequal.
    """

    alpha: float

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)

    def __call__(self, deck: Deck, peers: Sequence[PeerId], generator: np.random.Generator) -> list[Indices]:
        num_examples, num_peers = deck.enough_for(peers)
        proportions = generator.dirichlet(np.full(num_peers, self.alpha))
        sizes = 1 + _apportioned(num_examples - num_peers, proportions)
        return _sorted_parts(np.split(generator.permutation(num_examples), np.cumsum(sizes)[:-1]))


PARTITIONERS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "contiguous": Contiguous,
        "iid": IID,
        "dirichlet": Dirichlet,
        "shards": Shards,
        "labels": Labels,
        "quantity": Quantity,
        "column": ByColumn,
        "indices": Given,
        "function": ByFunction,
    }
)
"""The rules by the name that a scenario gives them."""


def check_partition(parts: Sequence[Indices], num_examples: int) -> None:
    """Raise DataError, naming the first, when an example of [0, num_examples) is lost or given twice."""
    held = np.concatenate([np.zeros(0, np.int64), *parts])
    if held.dtype.kind not in "iu":
        raise DataError(f"a partition must hold integer indices, got dtype {held.dtype}")
    outside = held[(held < 0) | (held >= num_examples)]
    if outside.size:
        raise DataError(f"a partition of {num_examples} examples must hold indices from 0, got {outside[0]}")
    times = np.bincount(held, minlength=num_examples)
    wrong = np.flatnonzero(times != 1)
    if wrong.size:
        example = int(wrong[0])
        if times[example] == 0:
            raise DataError(f"example {example} is lost: no peer holds it ({int(np.sum(times == 0))} such in all)")
        peers = [peer for peer, part in enumerate(parts) if example in part]
        raise DataError(
            f"example {example} is given {times[example]} times, to peer position(s) {', '.join(map(str, peers))} "
            f"({int(np.sum(times > 1))} such in all)"
        )


def partition_digest(parts: Sequence[Indices]) -> str:
    """SHA-256, in hexadecimal, over the number of parts, and size and little-endian indices of each."""
    digest = hashlib.sha256(f"{len(parts)}\n".encode())
    for part in parts:
        digest.update(f"{len(part)}\n".encode() + part.astype("<i8").tobytes())
    return digest.hexdigest()


def label_counts(labels: LabelArray | None, parts: Sequence[Indices], num_classes: int | None) -> NDArray[np.int64]:
    """The number of examples of each class that every peer holds: int64 [peers, classes]; without classes, of all its
    examples [peers, 1]."""
    if labels is None or num_classes is None:
        return np.array([[len(part)] for part in parts], np.int64)
    counts = np.zeros((len(parts), num_classes), np.int64)
    for row, part in zip(counts, parts, strict=True):
        row += np.bincount(labels[part], minlength=num_classes)
    return counts


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha <= MAX_ALPHA:
        raise ConfigurationError(f"alpha must be above 0 and at most {MAX_ALPHA:g}, got {alpha}")


def _check_per_peer(per_peer: int) -> None:
    if per_peer < 1:
        raise ConfigurationError(f"per_peer must be at least 1, got {per_peer}")


def _apportioned(total: int, proportions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Sizes that add up to `total`, each within one of total * proportion: differences of rounded cumulative sums."""
    bounds = np.rint(np.cumsum(proportions) * total).astype(np.int64)
    bounds[-1] = total
    return np.diff(np.minimum(bounds, total), prepend=0)


def _balanced(counts: NDArray[np.int64], proportions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Sizes [classes, peers] in the order of the classes, none for a peer that has its share already; all zero when
    those that have not drew nothing at all."""
    sizes = np.zeros(proportions.shape, np.int64)
    share = counts.sum() / proportions.shape[1]
    for row, count, p in zip(sizes, counts, proportions, strict=True):
        p = np.where(sizes.sum(axis=0) < share, p, 0.0)
        if p.sum() == 0:
            return np.zeros_like(sizes)
        row[:] = _apportioned(int(count), p / p.sum())
    return sizes


def _members_by_label(labels: LabelArray, generator: np.random.Generator) -> list[Indices]:
    """Shuffled indices of the examples of each label that is present, in the order of labels."""
    order = generator.permutation(len(labels))
    by_label = order[np.argsort(labels[order], kind="stable")]
    return np.split(by_label, np.cumsum(np.unique(labels, return_counts=True)[1])[:-1])


def _sorted_parts(parts: Sequence[Indices]) -> list[Indices]:
    return [np.sort(part).astype(np.int64, copy=False) for part in parts]
