"""What every aggregation rule offers: the set of received vectors in, one vector out."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gossipfl.weights import PeerId, Vector


class Contribution(NamedTuple):
    """One peer's vector, with the weight that the receiver's mixing row gives it and the sender's number of training
    examples; a peer's own vector is one of its contributions.

    A named tuple, because one is made for every message: a frozen dataclass takes four times as long to make.
    """

    sender: PeerId
    vector: Vector
    mixing_weight: float
    num_examples: int


class Aggregator(Protocol):
    """A function of the *set* of received contributions, a frozen dataclass with one method.

    Callers pass the contributions in node order, never in order of arrival, so that rounding does not depend on the
    network. The result is read-only and has the size and dtype of the inputs.

    Raises LocalProtocolError for an empty set, and SchemaMismatchError naming the first sender whose vector differs in
    shape or dtype.
    """

    def __call__(self, received: Sequence[Contribution]) -> Vector: ...
