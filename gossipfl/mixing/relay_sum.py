"""RelaySum (Vogels et al., 2021): on a tree, sums are relayed, so that every model reaches everybody undiluted.

    m_{i->j} = x_i + sum_{k in N_i without j} m_{k->i},   c_{i->j} = 1 + sum_{k in N_i without j} c_{k->i}
    x_i <- (x_i + sum_k m_{k->i} + (n - c_i) x_i) / n,    c_i = 1 + sum_k c_{k->i}

with the messages m_{k->i} of the step before on the right of the first line. If the x_i stand still, everybody has
their exact mean after as many steps as the diameter. For models that have not arrived, in the first steps or because
a neighbor was silent, one's own stands in. So it does for messages that claim to be of more models than are left, in
node order, or of less than one.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from gossipfl.aggregators import Context
from gossipfl.messages import Message
from gossipfl.mixing.mixing import Content, Encode, vector_of
from gossipfl.schedules import Meeting
from gossipfl.snapshot import Snapshot, messages_of_snapshot, snapshot_of_messages
from gossipfl.weights import PeerId, Vector, frozen


class RelaySum:
    """The mixing of one of `num_peers` peers of a tree; it remembers the messages of the step before."""

    number: ClassVar[str] = "num_models"
    step_scale = 1.0

    def __init__(self, num_peers: int) -> None:
        self._num_peers = num_peers
        self._relayed: dict[PeerId, Message] = {}  # in node order

    def num_models(self, message: Message) -> float:
        return message.numbers["num_models"]

    def contents(self, own: Mapping[str, Vector], meeting: Meeting, encode: Encode) -> Mapping[PeerId, Content]:
        contents = {}
        for receiver in meeting.receivers:
            others = [message for sender, message in self._relayed.items() if sender != receiver]
            total = {name: frozen(_sum(name, vector, others)) for name, vector in own.items()}
            num_models = 1 + sum(message.numbers["num_models"] for message in others)
            contents[receiver] = Content(encode(total), {"num_models": num_models})
        return contents

    def mix(
        self, own: Mapping[str, Vector], meeting: Meeting, received: Mapping[PeerId, Message], context: Context
    ) -> dict[str, Vector]:
        self._relayed = {}
        missing: float = self._num_peers - 1
        for sender in meeting.row:
            message = received.get(sender)
            if message is not None and 1 <= message.numbers["num_models"] <= missing:
                self._relayed[sender] = message
                missing -= message.numbers["num_models"]
        messages = list(self._relayed.values())
        return {
            name: frozen((_sum(name, vector, messages) + missing * vector) / self._num_peers)
            for name, vector in own.items()
        }

    def go_back(self) -> None:
        """Keep what is relayed: others wait for it."""

    def snapshot(self) -> Snapshot:
        return snapshot_of_messages(self._relayed)

    def restore(self, snapshot: Snapshot) -> None:
        self._relayed = messages_of_snapshot(snapshot)


def _sum(name: str, own: Vector, messages: list[Message]) -> Vector:
    total = np.array(own)
    for message in messages:
        theirs = vector_of(message, name, own.size)
        total += message.numbers["num_models"] * own if theirs is None else theirs
    return total
