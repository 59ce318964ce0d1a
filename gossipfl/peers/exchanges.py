"""Exactly-once exchanges between two peers over a network that loses, doubles, delays and reorders.

The laws, per ordered pair (initiator, responder):

1. Numbers increase. The initiator opens number k + 1 only after number k is resolved, so at most one is unresolved.
2. The responder's decision on a number (an answer, a decline included) is final: a repeated request gets the same
   answer again, never a second decision. A request with an older number is dropped.
3. A decision is remembered until it is acknowledged, or until a higher number shows that it has arrived.
4. The initiator resolves each number once; a repeated answer changes nothing but is acknowledged again.

Hence whatever the two sides apply on "decide" and on "resolve" is applied exactly once each, in order.
"""

from collections.abc import Mapping
from typing import Literal

from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import ExchangeId, Message
from gossipfl.snapshot import Snapshot, compose, messages_of_snapshot, part, snapshot_of_messages
from gossipfl.weights import PeerId


class Exchanges:
    """The bookkeeping of one peer for all its neighbors: what it opened, and what it decided for others."""

    def __init__(self, peer_id: PeerId) -> None:
        self._peer_id = peer_id
        self._opened: dict[PeerId, int] = {}  # highest number opened towards a neighbor
        self._resolved: dict[PeerId, int] = {}  # highest number resolved; one less than opened while unresolved
        self._decided: dict[PeerId, int] = {}  # highest number decided for a neighbor
        self._answers: dict[PeerId, Message] = {}  # answers that are not yet acknowledged

    def open(self, neighbor: PeerId) -> ExchangeId:
        """The unresolved exchange with `neighbor`, or a new one."""
        if not self.is_unresolved(neighbor):
            self._opened[neighbor] = self._opened.get(neighbor, 0) + 1
        return ExchangeId(self._peer_id, neighbor, self._opened[neighbor])

    def is_unresolved(self, neighbor: PeerId) -> bool:
        """True if an exchange that this peer opened with `neighbor` still waits for its answer."""
        return self._opened.get(neighbor, 0) > self._resolved.get(neighbor, 0)

    def unresolved(self) -> list[PeerId]:
        """Neighbors with an unresolved exchange, in the order of the first exchange with each."""
        return [neighbor for neighbor in self._opened if self.is_unresolved(neighbor)]

    def resolve(self, answer: Message) -> bool:
        """Note the arrival of an answer: True exactly once per exchange, False for a repeated one.

        Raises RemoteProtocolError when the answer is to an exchange that this peer never opened.
        """
        exchange = self._checked(answer, initiator=self._peer_id, responder=answer.sender)
        neighbor, number = exchange.responder, exchange.number
        if number > self._opened.get(neighbor, 0):
            raise RemoteProtocolError(f"peer {neighbor} answers exchange {number}, which was never opened")
        if number <= self._resolved.get(neighbor, 0):
            return False
        self._resolved[neighbor] = number
        return True

    def decision(self, request: Message) -> Message | Literal["new", "old"]:
        """The decision of this peer on a request: its answer, "new" when it has yet to decide, or "old" when the
        decision is known to have arrived."""
        exchange = self._checked(request, initiator=request.sender, responder=self._peer_id)
        decided = self._decided.get(exchange.initiator, 0)
        if exchange.number > decided:
            return "new"
        if exchange.number == decided and exchange.initiator in self._answers:
            return self._answers[exchange.initiator]
        return "old"

    def decide(self, answer: Message) -> None:
        """Remember the final answer to a request."""
        assert answer.exchange is not None
        self._decided[answer.receiver] = answer.exchange.number
        self._answers[answer.receiver] = answer

    @property
    def answers(self) -> Mapping[PeerId, Message]:
        """The answers that are not yet acknowledged, by initiator."""
        return self._answers

    def acknowledged(self, acknowledgement: Message) -> None:
        """Forget the answer that has arrived."""
        exchange = self._checked(acknowledgement, initiator=acknowledgement.sender, responder=self._peer_id)
        if exchange.number > self._decided.get(exchange.initiator, 0):
            raise RemoteProtocolError(
                f"peer {exchange.initiator} acknowledges exchange {exchange.number}, which was never decided"
            )
        if exchange.number == self._decided.get(exchange.initiator, 0):
            self._answers.pop(exchange.initiator, None)

    def _checked(self, message: Message, initiator: PeerId, responder: PeerId) -> ExchangeId:
        exchange = message.exchange
        if (
            exchange is None
            or (exchange.initiator, exchange.responder) != (initiator, responder)
            or exchange.number < 1
        ):
            raise RemoteProtocolError(f"a {message.kind} from peer {message.sender} names the exchange {exchange}")
        return exchange

    def snapshot(self) -> Snapshot:
        values = {"opened": dict(self._opened), "resolved": dict(self._resolved), "decided": dict(self._decided)}
        return compose(values, {"answers": snapshot_of_messages(self._answers)})

    def restore(self, snapshot: Snapshot) -> None:
        _, values = snapshot
        self._opened, self._resolved = dict(values["opened"]), dict(values["resolved"])
        self._decided = dict(values["decided"])
        self._answers = messages_of_snapshot(part("answers", snapshot))
