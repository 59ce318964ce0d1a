"""Mixing by one row of a matrix: what a peer has goes to all alike, and an aggregator makes one of all."""

from collections.abc import Mapping
from typing import ClassVar

from gossipfl.aggregators import Aggregator, Context, Contribution, Memory
from gossipfl.compression import decompress
from gossipfl.messages import Message
from gossipfl.mixing.mixing import Content, Encode
from gossipfl.schedules import Meeting
from gossipfl.snapshot import Snapshot, read_only
from gossipfl.weights import PeerId, Vector


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

    def contents(self, own: Mapping[str, Vector], meeting: Meeting, encode: Encode) -> Mapping[PeerId, Content]:
        if not meeting.receivers:
            return {}
        return dict.fromkeys(meeting.receivers, Content(encode(own), self._numbers))

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
