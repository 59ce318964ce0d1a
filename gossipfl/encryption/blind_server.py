"""A server of federated averaging that never has a model: it adds what clients have encrypted, and sends the sum back.

The protocol is that of `FedAvgServer`, around whose messages this one is: the inner server has a model without weights.
Clients weigh themselves, by the numbers of examples that they tell, and the server tells them their sum. It cannot
refuse what it cannot read: clients look at the mean.
"""

from collections.abc import Sequence
from dataclasses import replace

from gossipfl.actions import Action, Refused, Send
from gossipfl.compression import encoded
from gossipfl.encryption.cryptosystem import Adder
from gossipfl.encryption.encrypting_client import CIPHERTEXT, TOTAL
from gossipfl.encryption.packing import Packing
from gossipfl.encryption.peer_around import PeerAround
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Encoded, Kind, Message
from gossipfl.peers import FedAvgServer
from gossipfl.snapshot import (
    Snapshot,
    compose,
    encoded_of_snapshot,
    messages_of_snapshot,
    part,
    snapshot_of_encoded,
    snapshot_of_messages,
)
from gossipfl.topology import Neighbors
from gossipfl.weights import NOTHING, PeerId


class BlindServer(PeerAround):
    """A `Peer` around a server of a model without weights."""

    standing = None

    def __init__(self, inner: FedAvgServer, packing: Packing, adder: Adder, *, by_examples: bool) -> None:
        super().__init__(inner)
        self._packing = packing
        self._adder = adder
        self._by_examples = by_examples
        self._round = 0  # whose updates wait
        self._updates: dict[PeerId, Message] = {}
        self._sum: dict[str, Encoded] = {}  # of the newest round of which there is one
        self._total = 0
        self._refused: list[Action] = []

    def receive(self, message: Message, now: float) -> list[Action]:
        if message.kind is not Kind.UPDATE:
            return self._carried(self.inner.receive(message, now))
        if message.vectors.keys() != {CIPHERTEXT}:
            raise RemoteProtocolError(f"an update from peer {message.sender} carries no {CIPHERTEXT} alone")
        self._packing.parted(message.vectors[CIPHERTEXT], message.sender)
        is_awaited = message.round == self.round and message.sender in self.inner.awaits
        actions = self.inner.receive(message._replace(vectors=encoded({"weights": NOTHING})), now)
        if is_awaited:
            self._updates[message.sender] = message
        return self._carried(actions)

    def neighbors_changed(self, neighbors: Neighbors, now: float) -> list[Action]:
        actions = self.inner.neighbors_changed(neighbors, now)
        self._updates = {name: update for name, update in self._updates.items() if name in neighbors.receivers}
        return self._carried(actions)

    def _carried(self, actions: Sequence[Action]) -> list[Action]:
        if self.inner.round != self._round:
            self._add_up()
            self._round = self.inner.round
        refused, self._refused = self._refused, []
        return [
            *refused,
            *(
                replace(action, message=self._with_sum(action.message)) if isinstance(action, Send) else action
                for action in actions
            ),
        ]

    def _with_sum(self, message: Message) -> Message:
        numbers = {TOTAL: self._total} if self._sum else {}
        return message._replace(vectors=self._sum, numbers=numbers)

    def _add_up(self) -> None:
        """Add the updates of a round that is over; those that are none do not count."""
        updates, self._updates = self._updates, {}
        columns, total = [], 0
        for sender, message in updates.items():
            try:
                columns.append(
                    [self._adder.read(one) for one in self._packing.parted(message.vectors[CIPHERTEXT], sender)]
                )
            except RemoteProtocolError as error:
                self._refused.append(Refused(sender, str(error)))
                continue
            total += int(message.numbers["num_examples"]) if self._by_examples else 1
        if columns:
            sums = [self._adder.sum_of(list(ones)) for ones in zip(*columns, strict=True)]
            self._sum, self._total = {CIPHERTEXT: self._packing.joined(sums)}, total

    def snapshot(self) -> Snapshot:
        parts = {
            "inner": self.inner.snapshot(),
            "updates": snapshot_of_messages(self._updates),
            "sum": snapshot_of_encoded(self._sum),
        }
        return compose({"round": self._round, "total": self._total}, parts)

    def restore(self, snapshot: Snapshot) -> None:
        self.inner.restore(part("inner", snapshot))
        self._round, self._total = snapshot[1]["round"], snapshot[1]["total"]
        self._updates = messages_of_snapshot(part("updates", snapshot))
        self._sum = encoded_of_snapshot(part("sum", snapshot))
