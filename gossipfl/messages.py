"""Peers talk by immutable messages that carry encoded vectors and a few numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.weights import PeerId

LARGEST_COUNT = 2**53 - 1
"""The largest number of a round or an exchange: the largest integer that every JSON reader keeps exact."""


class Kind(StrEnum):
    """The meaning of a message to the protocol that sends it."""

    MODEL = "model"
    """Weights of a round: to every neighbor (synchronous gossip), or from the server to a sampled client (FedAvg)."""
    UPDATE = "update"
    """A client's trained weights, to the server."""
    FINAL = "final"
    """The server's last model: the receiver is done. Or the total of a pass of questions."""
    REQUEST = "request"
    """Pairwise averaging: "here are my weights, average with me". Or a question asks for a total that has not come."""
    REPLY = "reply"
    """The correction that the requester subtracts."""
    DECLINE = "decline"
    """The request crossed with one that wins."""
    PUSH = "push"
    """A model for the receiver to merge: with mass that is given away (push-sum), or a copy (gossip learning). Or a
    summary of what was asked, on its way to the root of a tree."""
    ACKNOWLEDGE = "acknowledge"
    """The decision (or the final model, or the mass that was pushed) has arrived and may be forgotten."""
    STOP = "stop"
    """The run ends: the receiver begins no more rounds."""
    SECRET = "secret"
    """A step on the way to a sum of which nobody sees the terms."""


@dataclass(frozen=True, slots=True)
class ExchangeId:
    """Names one pairwise exchange: the `number`-th that `initiator` opened with `responder`, counted from 1."""

    initiator: PeerId
    responder: PeerId
    number: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """A vector of `size` elements in some encoding: the arrays that go on the wire, by name.

    `known` holds what has been computed of it, by name: in virtual time all receivers share one, and compute it once.
    """

    encoding: str
    arrays: Mapping[str, NDArray[Any]]
    size: int
    known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def num_bytes(self) -> int:
        """Exact number of payload bytes on the wire."""
        return sum(array.nbytes for array in self.arrays.values())


@dataclass(frozen=True, slots=True)
class VectorSchema:
    """A receiver's expectation of one named vector: number of elements and dtype ("float32" or "float64"; or "uint8",
    of bytes, at most so many).

    Raises ConfigurationError for a negative size or another dtype.
    """

    size: int
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.size < 0 or self.dtype not in ("float32", "float64", "uint8"):
            raise ConfigurationError(f"a vector has a size >= 0 and is float32, float64 or uint8, got {self}")


@dataclass(frozen=True, slots=True)
class NumberSchema:
    """A receiver's expectation of one named number: at least `lower`, at most `upper`, and an integer or not.

    Raises ConfigurationError for bounds that hold nothing, or that are not finite.

    >>> NumberSchema(1, 10**9, is_integer=True).violation(0)
    'is an integer from 1 to 1000000000, got 0'
    """

    lower: float
    upper: float
    is_integer: bool = False

    def __post_init__(self) -> None:
        largest = LARGEST_COUNT if self.is_integer else math.inf
        if not (-largest <= self.lower <= self.upper <= largest and math.isfinite(self.upper - self.lower)):
            raise ConfigurationError(
                f"the bounds of a number are finite, the lower one not above the other, got {self}"
            )

    def violation(self, number: float) -> str | None:
        """The fault of a number, as the end of a sentence on it; None: it has none."""
        if isinstance(number, int) == self.is_integer and self.lower <= number <= self.upper:
            return None
        return f"is {'an integer' if self.is_integer else 'a number'} from {self.lower} to {self.upper}, got {number}"


NO_NUMBERS: Mapping[str, float] = MappingProxyType({})


class Message(NamedTuple):
    """One message between two peers; equal content is equal meaning, whenever and however often it arrives.

    `round` is the sender's round (or the round it talks about). `vectors` and `numbers` are those of its algorithm,
    which declares each by name: the vectors with their sizes, the numbers with their bounds.

    A named tuple, because peers make more of them than of anything else: a frozen dataclass takes twice as long to
    make.
    """

    sender: PeerId
    receiver: PeerId
    kind: Kind
    round: int = 0
    exchange: ExchangeId | None = None
    vectors: Mapping[str, Encoded] = MappingProxyType({})
    numbers: Mapping[str, float] = NO_NUMBERS

    def number(self, name: str) -> float:
        """A number that the message has to carry. Raises RemoteProtocolError when it does not."""
        try:
            return self.numbers[name]
        except KeyError:
            raise RemoteProtocolError(f"a {self.kind} from peer {self.sender} carries no {name}") from None
