"""The examples that are dealt to peers, and what a rule may look at when it deals them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.examples import Examples
from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import did_you_mean
from gossipfl.weights import PeerId

Indices: TypeAlias = NDArray[np.int64]
LabelArray: TypeAlias = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False, slots=True)
class Deck:
    """Examples to be dealt, and the class of each: `labels` [N], None where targets are no classes."""

    examples: Examples
    labels: LabelArray | None

    def __len__(self) -> int:
        return len(self.examples)

    def enough_for(self, peers: Sequence[PeerId]) -> tuple[int, int]:
        """The numbers of examples and of peers. Raises ConfigurationError unless each peer can have an example."""
        if not peers:
            raise ConfigurationError("the number of peers must be at least 1, got 0")
        if len(self) < len(peers):
            raise ConfigurationError(
                f"{len(self)} example(s) cannot be dealt to {len(peers)} peers, at least one each: "
                "lower the number of peers, or take more examples"
            )
        return len(self), len(peers)

    def labels_for(self, rule: str) -> LabelArray:
        """The labels. Raises ConfigurationError, naming the rule that needs them, when there are none."""
        if self.labels is None:
            raise ConfigurationError(
                f"partition {rule!r} deals examples by their class, and these have none (their targets are not one "
                "class number each): use iid, contiguous, quantity, column, indices or a function"
            )
        return self.labels

    def column(self, name: str) -> NDArray[Any]:
        """A column [N]. Raises ConfigurationError when there is none of that name, or it has missing values."""
        columns = self.examples.columns
        if name not in columns:
            there_are = f"there are {', '.join(columns)}.{did_you_mean(name, columns)}" if columns else "they have none"
            raise ConfigurationError(f"the examples have no column {name!r} beside what a model sees: {there_are}")
        values = columns[name]
        if values.ndim != 1:
            raise ConfigurationError(f"column {name!r} must have one value for each example, got shape {values.shape}")
        missing = np.flatnonzero(values == "" if values.dtype.kind in "US" else values != values)
        if missing.size:
            raise ConfigurationError(
                f"column {name!r} has no value for {missing.size} example(s), the first of them {missing[0]}: fill it "
                "in, or drop them"
            )
        return values


class Partitioner(Protocol):
    """Every rule makes one sorted index array per peer of a deck, the names of the peers and a generator."""

    def __call__(self, deck: Deck, peers: Sequence[PeerId], generator: np.random.Generator) -> list[Indices]: ...
