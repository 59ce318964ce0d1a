"""Every mixing says what a peer sends to whom in one gossip step, and what it makes of what it has received."""

from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple, Protocol, TypeAlias

from gossipfl.aggregators import Context
from gossipfl.compression import decompress
from gossipfl.messages import Encoded, Message
from gossipfl.schedules import Meeting
from gossipfl.snapshot import Snapshot
from gossipfl.weights import PeerId, Vector

Encode: TypeAlias = Callable[[Mapping[str, Vector]], Mapping[str, Encoded]]


class Content(NamedTuple):
    """The content of a message to one receiver."""

    vectors: Mapping[str, Encoded]
    numbers: Mapping[str, float]


class Mixing(Protocol):
    """The mixing of one peer; it may remember something from step to step."""

    number: ClassVar[str]
    """The name of the number that each of its messages carries."""

    @property
    def step_scale(self) -> float:
        """The share of local training that counts: x + step_scale (y - x) is what is mixed."""
        ...

    def num_models(self, message: Message) -> float:
        """The number of models whose sum the vectors of a message are."""
        ...

    def contents(self, own: Mapping[str, Vector], meeting: Meeting, encode: Encode) -> Mapping[PeerId, Content]:
        """The contents to send in a step to each receiver of the meeting, in their order; `encode` makes them ready."""
        ...

    def mix(
        self, own: Mapping[str, Vector], meeting: Meeting, received: Mapping[PeerId, Message], context: Context
    ) -> dict[str, Vector]:
        """The mix of one's own vectors with those received; some of the meeting's may be missing, or without
        vectors: those were not taken in."""
        ...

    def go_back(self) -> None:
        """Forget what was learnt of others since the last training: it is taken out of the model again."""
        ...

    def snapshot(self) -> Snapshot: ...

    def restore(self, snapshot: Snapshot) -> None: ...


def vector_of(message: Message, name: str, size: int) -> Vector | None:
    """A vector of a message; None where it has none of that name and size, which nobody notices before one's own first
    round when it is the state of the optimizer."""
    vector = message.vectors.get(name)
    return None if vector is None or vector.size != size else decompress(vector)
