"""How a peer mixes in one gossip step: what it sends to whom, and what it makes of what it has received."""

from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple, Protocol, TypeAlias

from gossipfl.aggregators import Aggregator, Context, Contribution, Memory
from gossipfl.compression import decompress
from gossipfl.messages import Encoded, Message
from gossipfl.schedules import Meeting
from gossipfl.snapshot import Snapshot, read_only
from gossipfl.weights import PeerId, Vector

Encode: TypeAlias = Callable[[Mapping[str, Vector]], Mapping[str, Encoded]]


class Parcel(NamedTuple):
    """What goes to one receiver."""

    vectors: Mapping[str, Encoded]
    numbers: Mapping[str, float]


class Mixing(Protocol):
    """The mixing of one peer; it may remember something from step to step."""

    number: ClassVar[str]
    """The name of the number that each of its messages carries."""

    @property
    def step_scale(self) -> float:
        """By how much local training counts: x + step_scale (y - x) is what is mixed."""
        ...

    def num_models(self, message: Message) -> float:
        """Of how many models the vectors of a message are the sum."""
        ...

    def parcels(self, own: Mapping[str, Vector], meeting: Meeting, encode: Encode) -> Mapping[PeerId, Parcel]:
        """What to send in a step to each receiver of the meeting, in their order; `encode` makes it ready to leave."""
        ...

    def mix(
        self, own: Mapping[str, Vector], meeting: Meeting, received: Mapping[PeerId, Message], context: Context
    ) -> dict[str, Vector]:
        """The mix of one's own vectors with those received; some of the meeting's may be missing,
        or without vectors: those were not taken in."""
        ...

    def go_back(self) -> None:
        """What was mixed in since the last training is taken out again: nothing that was learnt of it is kept."""
        ...

    def snapshot(self) -> Snapshot: ...

    def restore(self, snapshot: Snapshot) -> None: ...


class RowMixing:
    """x_i <- what the aggregator makes of the x_j of the meeting's row; the share of a silent neighbor goes to oneself.

    The mean gives sum_j w_ij x_j.
    """

    number: ClassVar[str] = "num_examples"
    step_scale = 1.0

    def __init__(self, peer_id: PeerId, num_examples: int, aggregator: Aggregator) -> None:
        self._peer_id = peer_id
        self._num_examples = num_examples
        self._numbers = {"num_examples": num_examples}
        self._aggregator = aggregator
        self._memory: Memory = {}  # the aggregator's

    def num_models(self, message: Message) -> float:
        return 1.0

    def parcels(self, own: Mapping[str, Vector], meeting: Meeting, encode: Encode) -> Mapping[PeerId, Parcel]:
        if not meeting.receivers:
            return {}
        return dict.fromkeys(meeting.receivers, Parcel(encode(own), self._numbers))

    def mix(
        self, own: Mapping[str, Vector], meeting: Meeting, received: Mapping[PeerId, Message], context: Context
    ) -> dict[str, Vector]:
        contributions: list[Contribution] = []
        mine, silent = 0, 0.0
        for peer_id, share in meeting.row.items():  # node order, never the order of arrival
            if peer_id == self._peer_id:
                mine = len(contributions)
                contributions.append(Contribution(peer_id, own, share, self._num_examples))
                continue
            answer = received.get(peer_id)
            if answer is not None and (theirs := _vectors_of(answer, own)):
                contributions.append(Contribution(peer_id, theirs, share, int(answer.numbers["num_examples"])))
            else:
                silent += share
        if silent:
            contributions[mine] = contributions[mine]._replace(mixing_weight=meeting.row[self._peer_id] + silent)
        mixed, self._memory = self._aggregator(contributions[mine], contributions, self._memory, context)
        return mixed

    def go_back(self) -> None:
        self._memory = {}

    def snapshot(self) -> Snapshot:
        return self._memory, {}

    def restore(self, snapshot: Snapshot) -> None:
        self._memory = read_only(snapshot[0])


def _vectors_of(message: Message, own: Mapping[str, Vector]) -> dict[str, Vector]:
    vectors = {}
    for name, theirs in message.vectors.items():
        mine = own.get(name)
        if mine is not None and mine.size == theirs.size:
            vectors[name] = decompress(theirs)
    return vectors


def vector_of(message: Message, name: str, size: int) -> Vector | None:
    """A vector of a message; None where it has none of that name and size, which nobody notices before one's own first
    round when it is the state of the optimizer."""
    vector = message.vectors.get(name)
    return None if vector is None or vector.size != size else decompress(vector)
