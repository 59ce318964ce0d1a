"""The client of federated averaging: trains the model that the server sends, and answers with what came of it.

A model beyond the magnitude bound, next to the one before, is not taken in: the client trains on that one. Where
training fails on a model of the server, it goes back to the last model on which it did not; training that ends beyond
the bound has failed, too.
"""

from collections.abc import Mapping

import numpy as np

from gossipfl.actions import Action, Correction, Send, Update
from gossipfl.compression import encoded
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.methods import FederatedMethod, Memory
from gossipfl.peers.local_model import LocalModel
from gossipfl.peers.model_peer import ModelPeer
from gossipfl.peers.retries import Retries, wake_at_first
from gossipfl.snapshot import Snapshot, messages_of_snapshot, part, read_only, snapshot_of_messages
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId, Vector, frozen


class FedAvgClient(ModelPeer):
    """A client: its weights are the last model that it received. Its neighbor is the server, which it goes on awaiting
    when that is away."""

    def __init__(self, local: LocalModel, server: PeerId, method: FederatedMethod) -> None:
        super().__init__(local)
        self._server = server
        self._method = method
        self._memory: Memory = {}
        self._training_round = -1  # the round of the job that runs, or ran last
        self._next: Message | None = None  # a model that arrived while training
        self._retries = Retries()

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        return () if self.finished or self.local.outstanding is not None else (self._server,)

    @property
    def rounds_done(self) -> int:
        return self.local.num_jobs

    @property
    def model_round(self) -> int:
        return self._training_round

    def start(self, now: float) -> list[Action]:
        jobs: list[Action] = [] if self.local.outstanding is None else [self.local.outstanding]
        return [*jobs, *wake_at_first(self._retries.time)]

    def receive(self, message: Message, now: float) -> list[Action]:
        if message.sender != self._server or message.kind not in (Kind.MODEL, Kind.FINAL):
            raise RemoteProtocolError(
                f"client {self.peer_id} expects models of {self._server}, got a {message.kind} "
                f"from peer {message.sender}"
            )
        vectors = self.local.received(message)
        if message.kind is Kind.FINAL:
            refusals = [] if self.finished else self._take_over(message, vectors)
            if not self.finished:
                self.round, self.finished, self._next = message.round, True, None
            return [*refusals, Send(Message(self.peer_id, self._server, Kind.ACKNOWLEDGE, message.round))]
        newest = self._training_round if self._next is None else self._next.round
        if message.round <= newest or self.finished:
            return []
        if self.local.outstanding is not None:
            self._next = message
            return []
        return self._train(message, vectors)

    def _has_run_away(self, update: Update) -> bool:
        # Also on the first model, or one that has not changed: its server would refuse every update, and learn nothing.
        return self.local.is_beyond_bound(update)

    def _go_on_from(self, update: Update, now: float) -> list[Action]:
        self.local.finish(update)
        # What the model of the server gave shows that it is sound; clients share it, and so need no model of their own.
        self.local.last_sound.keep(self.local.weights, self.local.statistics, self.local.state)
        if self.finished:
            return []
        if self._next is not None:  # the server has gone on without this update
            message, self._next = self._next, None
            return self._train(message, self.local.received(message))
        answer = self._method.answer(update, self._memory)
        self._memory = answer.memory
        self.round = self._training_round + 1
        return [
            Send(
                Message(
                    self.peer_id,
                    self._server,
                    Kind.UPDATE,
                    self._training_round,
                    # Its own weights stay the model that it received.
                    vectors=encoded({**self.local.trained(update), **answer.extra}),
                    numbers={"num_examples": self.local.work.num_examples, "step_weight": answer.step_weight},
                )
            )
        ]

    def _train(self, message: Message, vectors: Mapping[str, Vector]) -> list[Action]:
        refusals = self._take_over(message, vectors)
        self._training_round = message.round
        return [
            *refusals,
            self.local.train(self._method.begin(vectors, self._memory) if not refusals else self._alone()),
        ]

    def _take_over(self, message: Message, vectors: Mapping[str, Vector]) -> list[Action]:
        own = {**self._memory, **self.local.shared()}
        refused = self.local.refusal(message, own)
        if refused is not None:
            return [refused]
        if any(_brings_news(vector, own.get(name)) for name, vector in vectors.items()):  # the first is everybody's
            self.local.last_sound.mixed([self._server])
        self.local.replace(vectors)
        return []

    def _alone(self) -> Correction:
        """As with a server that sends one's own model, and knows of no corrections."""
        nothing = frozen(np.zeros_like(self.weights))
        return self._method.begin({**dict.fromkeys(self._method.extra_vectors, nothing), **self.local.shared()}, {})

    def _train_anew(self, undone: tuple[PeerId, ...]) -> list[Action]:
        return [self.local.train(self._alone())]

    def wake(self, now: float) -> list[Action]:
        return [*self._retries.due(now, self._is_wanted), *wake_at_first(self._retries.time)]

    def send_failed(self, message: Message, now: float) -> list[Action]:
        self._retries.add(message, now)
        return wake_at_first(self._retries.time)

    def _is_wanted(self, message: Message) -> bool:
        if message.kind is Kind.ACKNOWLEDGE:
            return True
        return message.round == self._training_round and not self.finished

    def _meet(self, neighbors: Neighbors) -> None:
        """Nobody takes the server's place."""

    def _go_on_without(self, now: float) -> list[Action]:
        return []

    def snapshot(self) -> Snapshot:
        parts = {
            "memory": (self._memory, {}),
            "next": snapshot_of_messages({} if self._next is None else {"message": self._next}),
            "retries": self._retries.snapshot(),
        }
        return self._snapshot_with({"training_round": self._training_round}, parts)

    def restore(self, snapshot: Snapshot) -> None:
        super().restore(snapshot)
        self._memory = read_only(part("memory", snapshot)[0])
        self._retries.restore(part("retries", snapshot))
        self._training_round = snapshot[1]["training_round"]
        self._next = messages_of_snapshot(part("next", snapshot)).get("message")


def _brings_news(vector: Vector, own: Vector | None) -> bool:
    """True if a vector is not what a peer has; nothing stands for zeros."""
    if own is None:
        return bool(vector.any())
    if vector is own or not vector.size:
        return False
    # Most models differ in their last bias, which spares the comparison of all.
    return bool(vector[-1] != own[-1]) or not np.array_equal(vector, own)
