"""Asynchronous gossip in pairs: train, average with one random neighbor, train on; wait for nobody else.

AD-PSGD (Lian et al., 2018) and SwarmSGD (Nadiradze et al., 2021) without their assumptions on the network. The rules:

* A peer answers requests while it trains and while it waits. Only the request that crosses its own on the same edge is
  declined: the peer with the lower position in the graph wins.
* The responder computes d = (x_i - x_j) / 2 from the x_i of the request, adds d to its own x_j and answers with d; the
  initiator subtracts d from whatever its weights are when the answer arrives. So x_i + x_j is kept, training or not.
* The initiator trains on when its exchange is resolved or timed out. A timed-out exchange stays open; choosing that
  neighbor again (after a back-off) repeats the same exchange with the weights of then.
* Training that ends after exchanges came in adds its step: x += y - snapshot (x = y exactly when none came in).

An answer whose acknowledgement got lost is repeated at the end of a round, after a time-out that doubles, so that
models do not pile up. While eight of them have waited for longer than the time-out, new requests are declined.

A request whose vectors are beyond the magnitude bound is declined: both keep what they have. A reply that is resolves
its exchange and changes nothing; the responder, which cannot be told, has then moved alone.

The sum of all weights moves by training steps alone, once every exchange is resolved. Statistics and optimizer state
are averaged too, but convexly at both ends; see `averaging_while_training`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gossipfl.actions import Action, Send, Update, WakeAt
from gossipfl.compression import encoded
from gossipfl.errors import LocalProtocolError, RemoteProtocolError
from gossipfl.messages import ExchangeId, Kind, Message
from gossipfl.peers.averaging_while_training import AveragedModel
from gossipfl.peers.exchanges import Exchanges
from gossipfl.peers.local_model import LocalModel
from gossipfl.peers.model_peer import ModelPeer
from gossipfl.peers.random_neighbors import Backoff, RandomNeighbors
from gossipfl.snapshot import Snapshot, part
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId, Vector

_MOST_OVERDUE = 8
"""Models that are kept for acknowledgements that are overdue. More: fewer requests are declined where many get lost, at
the expense of a model each in memory and in every checkpoint."""


@dataclass(slots=True)
class _Waiting:
    exchange: ExchangeId
    deadline: float


class PairwiseGossipPeer(ModelPeer):
    """A peer of pairwise gossip at a position in the graph. Of neighbors that changed, it leaves alone at once those
    who are gone, and may choose those who came; what was open with the former stays so until they come back."""

    def __init__(
        self,
        local: LocalModel,
        position: int,
        neighbors: Neighbors,
        backoff: Backoff,
        generator: np.random.Generator,
    ) -> None:
        super().__init__(local)
        self._position = position
        self._neighbors = neighbors.receivers
        self._timeout, self._max_backoff = backoff.timeout, backoff.maximum
        self._model = AveragedModel(local)
        self._random_neighbors = RandomNeighbors(neighbors.receivers, backoff, generator)
        self._exchanges = Exchanges(local.peer_id)
        self._waiting: _Waiting | None = None
        self._repeat_at: dict[PeerId, tuple[float, int]] = {}  # when an answer is sent again, and how often it was

    @property
    def is_drained(self) -> bool:
        return self.finished and not self._unresolved()

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        if self._waiting is not None:
            return (self._waiting.exchange.responder,)
        return tuple(self._unresolved()) if self.finished else ()

    # What the engine calls

    def start(self, now: float) -> list[Action]:
        if self.local.outstanding is not None:
            return [self.local.outstanding]
        if self._waiting is not None:
            return self._request(self._waiting.exchange.responder, now)
        return self._train_on(now)

    def _go_on_from(self, update: Update, now: float) -> list[Action]:
        self._model.finish(update)
        answers = self._repeat_answers(now)
        neighbor = None if self.local.last_sound.is_closed else self._random_neighbors.choose(now)
        return [*answers, *(self._train_on(now) if neighbor is None else self._request(neighbor, now))]

    def _train_anew(self, undone: tuple[PeerId, ...]) -> list[Action]:
        self._model.forget_moves()
        return [self.local.train()]

    def wake(self, now: float) -> list[Action]:
        if self._waiting is not None and now >= self._waiting.deadline:
            self._give_up(self._waiting.exchange.responder, now)
            return self._train_on(now)
        if self.finished:
            return self._drain(now)
        return []

    def send_failed(self, message: Message, now: float) -> list[Action]:
        if message.kind is Kind.REQUEST and self._waiting is not None and self._waiting.exchange == message.exchange:
            self._give_up(message.receiver, now)
            return self._train_on(now)
        return []

    def receive(self, message: Message, now: float) -> list[Action]:
        if message.sender not in self._neighbors:
            raise RemoteProtocolError(f"peer {message.sender} is not a neighbor of peer {self.peer_id}")
        match message.kind:
            case Kind.REQUEST:
                return self._receive_request(message, now)
            case Kind.REPLY | Kind.DECLINE:
                return self._receive_answer(message, now)
            case Kind.ACKNOWLEDGE:
                self._exchanges.acknowledged(message)
                return []
            case _:
                raise RemoteProtocolError(f"pairwise gossip knows no {message.kind} (from peer {message.sender})")

    # The responder's side

    def _receive_request(self, request: Message, now: float) -> list[Action]:
        decision = self._exchanges.decision(request)
        if decision == "old":
            return []
        if isinstance(decision, Message):
            return [Send(decision)]
        theirs = self.local.received(request)
        refused = self.local.refusal(request, self.local.shared())
        if refused is not None or self._wins_crossing(request.sender) or self._is_full(request.sender, now):
            answer = self._decline(request)
        else:
            answer = self._average(request, theirs)
        self._exchanges.decide(answer)
        self._repeat_at[request.sender] = (now + self._timeout, 1)
        return [*([] if refused is None else [refused]), Send(answer)]

    def _is_full(self, initiator: PeerId, now: float) -> bool:
        """True if too many models are kept for others than `initiator`, whose own one is done with."""
        answers = self._exchanges.answers
        if len(answers) < _MOST_OVERDUE:
            return False
        overdue = [
            receiver
            for receiver, answer in answers.items()
            if receiver != initiator and answer.vectors and self._is_overdue(receiver, now)
        ]
        return len(overdue) >= _MOST_OVERDUE

    def _is_overdue(self, receiver: PeerId, now: float) -> bool:
        time, num_sent = self._repeat_at[receiver]
        return num_sent > 1 or time <= now

    def _repeat_answers(self, now: float) -> list[Action]:
        repeated: list[Action] = []
        for receiver, answer in self._exchanges.answers.items():
            time, num_sent = self._repeat_at[receiver]
            if time <= now and receiver in self._neighbors:
                pause = min(self._timeout * 2.0 ** min(num_sent, 100), self._max_backoff)
                self._repeat_at[receiver] = (now + pause, num_sent + 1)
                repeated.append(Send(answer))
        return repeated

    def _wins_crossing(self, neighbor: PeerId) -> bool:
        crossing = self._waiting is not None and self._waiting.exchange.responder == neighbor
        return crossing and self._position < self._neighbors[neighbor]

    def _decline(self, request: Message) -> Message:
        return Message(self.peer_id, request.sender, Kind.DECLINE, self.round, request.exchange)

    def _average(self, request: Message, theirs: Mapping[str, Vector]) -> Message:
        mine = self.local.shared()
        answer = {name: mine[name] for name in theirs if name in mine}
        answer["weights"] = self._model.average(theirs, 0.5)
        self.local.last_sound.mixed([request.sender])
        return Message(
            self.peer_id,
            request.sender,
            Kind.REPLY,
            self.round,
            request.exchange,
            encoded(answer),
        )

    # The initiator's side

    def _request(self, neighbor: PeerId, now: float) -> list[Action]:
        self._waiting = _Waiting(self._exchanges.open(neighbor), now + self._timeout)
        return [self._request_message(self._waiting.exchange), WakeAt(self._waiting.deadline)]

    def _request_message(self, exchange: ExchangeId) -> Send:
        return Send(
            Message(
                self.peer_id,
                exchange.responder,
                Kind.REQUEST,
                self.round,
                exchange,
                encoded(self.local.shared()),
            )
        )

    def _receive_answer(self, answer: Message, now: float) -> list[Action]:
        vectors = self.local.received(answer) if answer.kind is Kind.REPLY else {}
        first = self._exchanges.resolve(answer)
        acknowledgement = Send(Message(self.peer_id, answer.sender, Kind.ACKNOWLEDGE, self.round, answer.exchange))
        if not first:
            return [acknowledgement]
        actions: list[Action] = [acknowledgement]
        if vectors:
            refused = self.local.refusal(answer, self.local.shared())
            if refused is None:
                self._model.subtract(vectors, 0.5)
                self.local.last_sound.mixed([answer.sender])
            else:
                actions.append(refused)
        self._random_neighbors.answered(answer.sender)
        if self._waiting is not None and self._waiting.exchange == answer.exchange:
            self._waiting = None
            actions += self._train_on(now)
        return actions

    def _give_up(self, neighbor: PeerId, now: float) -> None:
        self._waiting = None
        self._random_neighbors.leave_alone(neighbor, now)

    # Rounds

    def _train_on(self, now: float) -> list[Action]:
        """The round, its exchange included, is over: begin the next, or finish."""
        if self.local.outstanding is not None or self._waiting is not None:
            raise LocalProtocolError(f"peer {self.peer_id} was started twice")
        self.round = self.local.num_jobs
        return [self.local.train()] if self._goes_on() else self._drain(now)

    def _drain(self, now: float) -> list[Action]:
        def repeat(neighbor: PeerId) -> Send:
            return self._request_message(self._exchanges.open(neighbor))

        return self._random_neighbors.drain(self._unresolved(), repeat, now)

    def _unresolved(self) -> list[PeerId]:
        """With whom an exchange is open; one with a neighbor that was revoked stays so, and nobody waits for it."""
        return [neighbor for neighbor in self._exchanges.unresolved() if neighbor in self._neighbors]

    # Neighbors

    def _meet(self, neighbors: Neighbors) -> None:
        self._neighbors = neighbors.receivers
        self._random_neighbors.meet(neighbors.receivers)

    def _go_on_without(self, now: float) -> list[Action]:
        if self._waiting is not None and self._waiting.exchange.responder not in self._neighbors:
            self._waiting = None
            return self._train_on(now)
        return self._drain(now) if self.finished else []

    # Persistence

    def snapshot(self) -> Snapshot:
        waiting = self._waiting
        values = {
            "waiting": None if waiting is None else [waiting.exchange.responder, waiting.deadline],
            "repeat_at": {receiver: self._repeat_at[receiver] for receiver in self._exchanges.answers},
        }
        parts = {
            "model": self._model.snapshot(),
            "neighbors": self._random_neighbors.snapshot(),
            "exchanges": self._exchanges.snapshot(),
        }
        return self._snapshot_with(values, parts)

    def restore(self, snapshot: Snapshot) -> None:
        super().restore(snapshot)
        _, values = snapshot
        self._model.restore(part("model", snapshot))
        self._random_neighbors.restore(part("neighbors", snapshot))
        self._exchanges.restore(part("exchanges", snapshot))
        self._repeat_at = {receiver: (time, number) for receiver, (time, number) in values["repeat_at"].items()}
        self._waiting = None
        if values["waiting"] is not None:
            neighbor, deadline = values["waiting"]
            self._waiting = _Waiting(self._exchanges.open(neighbor), deadline)
