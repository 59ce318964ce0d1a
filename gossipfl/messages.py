"""What peers say to each other: immutable messages that carry encoded vectors and a few numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gossipfl.weights import PeerId


class Kind(StrEnum):
    """What a message means to the protocol that sends it."""

    MODEL = "model"
    """Weights of a round: to every neighbor (synchronous gossip), or from the server to a sampled client (FedAvg)."""
    UPDATE = "update"
    """A client's trained weights, to the server."""
    FINAL = "final"
    """The server's last model: the receiver is done."""
    REQUEST = "request"
    """Pairwise averaging: "here are my weights, average with me"."""
    REPLY = "reply"
    """The correction that the requester subtracts."""
    DECLINE = "decline"
    """The request crossed with one that wins."""
    PUSH = "push"
    """A model for the receiver to merge: with mass that is given away (push-sum), or a copy (gossip learning)."""
    ACKNOWLEDGE = "acknowledge"
    """The decision (or the final model, or the mass that was pushed) has arrived and may be forgotten."""


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
    arrays: Mapping[str, NDArray[np.generic]]
    size: int
    known: dict[str, float] = field(default_factory=dict, repr=False, compare=False)

    @property
    def num_bytes(self) -> int:
        """Exact number of payload bytes on the wire."""
        return sum(array.nbytes for array in self.arrays.values())


class Message(NamedTuple):
    """One message between two peers; equal content is equal meaning, whenever and however often it arrives.

    `round` is the sender's round (or the round it talks about). `num_examples`, `mass` and `degree` are the sender's
    number of training examples, push-sum mass (gossip learning: age in rounds) and number of neighbors.

    A named tuple, because peers make more of them than of anything else: a frozen dataclass takes twice as long to
    make.
    """

    sender: PeerId
    receiver: PeerId
    kind: Kind
    round: int = 0
    exchange: ExchangeId | None = None
    vectors: Mapping[str, Encoded] = MappingProxyType({})
    num_examples: int = 0
    mass: float = 1.0
    degree: int = 0
