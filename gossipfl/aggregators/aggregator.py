"""Every aggregation rule takes the contributions of a step in, and gives the vectors of one out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import LocalProtocolError, SchemaMismatchError
from gossipfl.weights import PeerId, Vector

Memory: TypeAlias = Mapping[str, Vector]
"""The vectors that a rule remembers from step to step, by name; empty at the beginning, and again when what a peer has
mixed in is taken out of its model."""

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
"""The dtypes of vectors that are aggregated."""


class Contribution(NamedTuple):
    """All that one peer brings to a step: its vectors by name ("weights", and what else of its model is shared), the
    weight that the receiver's mixing row gives it, and its number of training examples.

    It may lack a vector, before the sender's first round of training: the receiver's own stands in for it.

    A named tuple, because one is made for every message: a frozen dataclass takes four times as long to make.
    """

    sender: PeerId
    vectors: Mapping[str, Vector]
    mixing_weight: float
    num_examples: int


class Context(NamedTuple):
    """The moment at which a rule is applied: step `step` = 0, 1, ... of `num_steps`."""

    step: int
    num_steps: int


class Aggregator(Protocol):
    """A function of the *set* of contributions, a frozen dataclass with one method.

    It gets whole contributions, so that a rule that chooses takes the weights and the statistics of one and the same
    peer. `own` is that of the peer itself: where it stands. In gossip it is one of those `received`; at a server, which
    has not trained, it is none of them. Callers pass what was received in node order, never in order of arrival, so
    that rounding does not depend on the network; who was silent is not among it. What is remembered in one step comes
    back in the next; it is kept in snapshots.

    The vectors that it gives have the names of `own`'s; they are read-only, of the size and dtype of the inputs.

    Raises LocalProtocolError when nothing was received, and SchemaMismatchError naming the first sender whose vector
    differs in shape or dtype.
    """

    @property
    def keeps_mean(self) -> bool:
        """True if it is the mean by the mixing weights, which keeps the mean over peers where their matrix does."""
        ...

    def __call__(
        self, own: Contribution, received: Sequence[Contribution], memory: Memory, context: Context
    ) -> tuple[dict[str, Vector], Memory]: ...


def check_alike(senders: Sequence[PeerId], vectors: Sequence[Vector]) -> None:
    """Raises LocalProtocolError when there are none, and SchemaMismatchError naming the first that is no vector of
    floats, or differs in shape or dtype from the first one."""
    if not vectors:
        raise LocalProtocolError(
            "there is nothing to aggregate: a peer's own vector is always one of its contributions"
        )
    first = vectors[0]
    shape, dtype = first.shape, first.dtype
    if dtype not in FLOATS or first.ndim != 1:
        raise SchemaMismatchError(
            f"vectors are one-dimensional and float32 or float64, that of {senders[0]!r} is {dtype}{shape}"
        )
    for i, vector in enumerate(vectors):
        if vector.shape != shape or vector.dtype != dtype:
            raise SchemaMismatchError(
                f"the vector of {senders[i]!r} is {vector.dtype}{vector.shape}, that of {senders[0]!r} is "
                f"{dtype}{shape}"
            )


def stacked(own: Contribution, received: Sequence[Contribution]) -> dict[str, NDArray[Any]]:
    """The vectors of all contributions by name, one a row, in new arrays; one's own in place of those that are lacking.

    Raises what an `Aggregator` raises.
    """
    senders = [contribution.sender for contribution in received]
    stacks = {}
    for name, mine in own.vectors.items():
        vectors = [contribution.vectors.get(name, mine) for contribution in received]
        check_alike(senders, vectors)
        stacks[name] = np.stack(vectors)
    return stacks
