"""Partitions that others have made: by a column of the data, by lists of examples, by a function of the user's."""

import heapq
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from gossipfl.data.deck import Deck, Indices
from gossipfl.data.examples import Examples
from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import did_you_mean
from gossipfl.names.user_functions import user_function
from gossipfl.weights import PeerId

Lists: TypeAlias = Mapping[PeerId, Any] | Sequence[Any]
"""The numbers of each peer's examples, by its name, or in the order of the peers."""

Deal: TypeAlias = Callable[[Examples, list[PeerId], np.random.Generator], Lists]
"""A function of the user's: the training examples, the names of the peers and a generator in, lists out."""


@dataclass(frozen=True, slots=True)
class ByColumn:
    """Natural split: the examples that have one value in the column `by`, such as a user or a region, stay together.

    Where the peers are named as the values are, each has its own. Otherwise the values, in random order but the most
    frequent first, go one after the other to the peer with the fewest examples so far: so with as many values as peers
    each has one, and with more, sizes are even.
    """

    by: str

    def __call__(self, deck: Deck, peers: Sequence[PeerId], generator: np.random.Generator) -> list[Indices]:
        deck.enough_for(peers)
        values, inverse, counts = np.unique(deck.column(self.by), return_inverse=True, return_counts=True)
        if len(values) < len(peers):
            raise ConfigurationError(
                f"column {self.by!r} has {len(values)} value(s) for {len(peers)} peers, and a peer needs at least one: "
                f"lower the number of peers to at most {len(values)}, or take a column with more values"
            )
        holders = _by_name(values.tolist(), peers) or _evenly(counts.tolist(), len(peers), generator)
        held_by = np.array(holders, np.int64)[inverse]
        return [np.flatnonzero(held_by == peer) for peer in range(len(peers))]


def _by_name(values: Sequence[Any], peers: Sequence[PeerId]) -> list[int] | None:
    """The position of the peer that is named as each value is; None where the two are not the same names."""
    names = [str(value) for value in values]
    return [list(peers).index(name) for name in names] if sorted(names) == sorted(peers) else None


def _evenly(counts: Sequence[int], num_peers: int, generator: np.random.Generator) -> list[int]:
    order = generator.permutation(len(counts))
    holders = [0] * len(counts)
    peers = generator.permutation(num_peers)
    smallest = [(0, rank) for rank in range(num_peers)]  # a heap: the first of equal sizes is drawn, too
    for value in sorted(order.tolist(), key=lambda value: -counts[value]):
        size, rank = smallest[0]
        holders[value] = int(peers[rank])
        heapq.heapreplace(smallest, (size + counts[value], rank))
    return holders


@dataclass(frozen=True, slots=True)
class Given:
    """Lists of example numbers, counted from 0 in the training set as the peers share it, without what is held out or
    left out of it: in a JSON `file`, or as `parts` in Python.

    Either a list for each peer by its name, `{"a": [0, 1], "b": [2]}`, or lists in the order of the peers. Every
    example is in exactly one list, and no list is empty.
    """

    file: str | None = None
    parts: Lists | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.parts is None):
            raise ConfigurationError("partition 'indices' needs either a file or parts")

    def __call__(self, deck: Deck, peers: Sequence[PeerId], generator: np.random.Generator) -> list[Indices]:
        parts = self.parts if self.file is None else _read(Path(self.file).expanduser())
        assert parts is not None
        return checked_lists(parts, deck, peers, f"partition file {self.file}" if self.file else "partition 'indices'")


@dataclass(frozen=True, slots=True)
class ByFunction:
    """A function of yours deals them: `function(examples, peers, generator)` gives lists of example numbers, as a
    mapping from the names of the peers or in their order.

    `examples` are the training examples (x, y, weight, columns), `peers` the names, and all that is random should come
    from the `generator`, which the seed of the data gives.
    """

    function: str | Deal

    def __call__(self, deck: Deck, peers: Sequence[PeerId], generator: np.random.Generator) -> list[Indices]:
        name = self.function if isinstance(self.function, str) else self.function.__name__
        deal: Any = self.function
        if isinstance(deal, str):
            try:
                deal = user_function(deal, ("examples", "peers", "generator"))
            except ConfigurationError as error:
                raise ConfigurationError(f"partition function {name!r}: {error}") from error
        return checked_lists(deal(deck.examples, list(peers), generator), deck, peers, f"partition function {name!r}")


def checked_lists(lists: Any, deck: Deck, peers: Sequence[PeerId], what: str) -> list[Indices]:
    """The sorted lists of all peers. Raises ConfigurationError, beginning with `what`, unless every peer has examples,
    and every example one peer."""
    if isinstance(lists, Mapping):
        if unknown := [str(name) for name in lists if name not in peers]:
            hint = did_you_mean(unknown[0], peers)
            raise ConfigurationError(f"{what} names the peer {unknown[0]!r}, which is none of the topology.{hint}")
        if missing := [peer for peer in peers if peer not in lists]:
            raise ConfigurationError(f"{what} has no list for peer {missing[0]!r}; every peer needs examples")
        lists = [lists[peer] for peer in peers]
    if not isinstance(lists, Sequence) or isinstance(lists, str):
        raise ConfigurationError(
            f"{what} must be a list of example numbers for each peer, by name or in the order of the peers, got "
            f"{type(lists).__name__}"
        )
    if len(lists) != len(peers):
        raise ConfigurationError(f"{what} has {len(lists)} lists for {len(peers)} peers")
    parts = [
        _numbers(numbers, f"{what}: the list of peer {peer!r}") for peer, numbers in zip(peers, lists, strict=True)
    ]
    holder = np.full(len(deck), -1)
    for position, (peer, part) in enumerate(zip(peers, parts, strict=True)):
        if part[0] < 0 or part[-1] >= len(deck):
            wrong = part[0] if part[0] < 0 else part[-1]
            raise ConfigurationError(
                f"{what}: peer {peer!r} holds example {wrong}, but the training set has {len(deck)}, numbered from 0"
            )
        if (twice := part[holder[part] >= 0]).size or (twice := part[1:][np.diff(part) == 0]).size:
            others = sorted({peers[holder[twice[0]]], peer}) if holder[twice[0]] >= 0 else [peer]
            raise ConfigurationError(
                f"{what} gives example {twice[0]} twice, to {' and '.join(others)}; every example has one peer"
            )
        holder[part] = position
    if (lost := np.flatnonzero(holder < 0)).size:
        raise ConfigurationError(
            f"{what} gives {lost.size} of {len(deck)} training examples to nobody, the first of them {lost[0]}: add "
            "them to a list, or leave them out of the data"
        )
    return parts


def _numbers(numbers: Any, what: str) -> Indices:
    try:
        array = np.asarray(numbers)
    except ValueError as error:
        raise ConfigurationError(f"{what} is no list of example numbers: {error}") from error
    if array.size == 0:
        raise ConfigurationError(f"{what} is empty; every peer needs examples")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ConfigurationError(f"{what} must be a list of whole numbers, got {array.dtype} of shape {array.shape}")
    return np.sort(array.astype(np.int64))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigurationError(f"there is no partition file {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"cannot read the partition file {path}: {error}; it is JSON, a list of example numbers for each peer, by "
            'name ({"a": [0, 1], "b": [2]}) or in the order of the peers'
        ) from error
