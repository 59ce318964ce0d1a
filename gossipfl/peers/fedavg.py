"""Federated averaging (McMahan et al., 2017): a server, and clients that train the model it sends.

    x <- x + server_learning_rate * (sum_{i in S} p_i y_i - x)

over the sampled clients S, with p_i = n_i / sum n (weighting by examples) or 1 / |S| (uniform). The server waits for
every sampled client; with `patience`, at the latest that many seconds for those that have answered. After the last
round it sends the final model to all clients.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from gossipfl.actions import Action, Send, Update
from gossipfl.aggregators import Aggregator, Contribution
from gossipfl.errors import LocalProtocolError, RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.peers.local_model import LocalModel, encoded
from gossipfl.peers.peer import Peer
from gossipfl.peers.retries import Retries, wake_at_first
from gossipfl.peers.snapshot import Snapshot, compose, messages_of_snapshot, part, snapshot_of_messages
from gossipfl.weights import PeerId, Vector, frozen


class FedAvgServer(Peer):
    """The hub: holds the model, samples clients, averages what they send back. It has no data and never trains."""

    def __init__(
        self,
        local: LocalModel,
        clients: Sequence[PeerId],
        aggregator: Aggregator,
        num_sampled: int,
        learning_rate: float,
        patience: float | None,
        generator: np.random.Generator,
    ) -> None:
        super().__init__(local)
        self._clients = list(clients)
        self._known = frozenset(clients)
        self._aggregator = aggregator
        self._num_sampled = num_sampled
        self._learning_rate = learning_rate
        self._patience = patience
        self._generator = generator
        self._sampled: list[PeerId] = []  # in node order
        self._awaited: set[PeerId] = set()  # sampled clients that have not answered yet
        self._retries = Retries()
        self._updates: dict[PeerId, Message] = {}
        self._unacknowledged: list[PeerId] = []  # clients that may not have the final model yet
        self._deadline: float | None = None

    @property
    def is_drained(self) -> bool:
        return self.finished and not self._unacknowledged

    def start(self, now: float) -> list[Action]:
        if self.finished:
            return self._send_final(now)
        return self._send_models(now) if self._sampled else self._begin_round(now)

    def receive(self, message: Message, now: float) -> list[Action]:
        if message.sender not in self._known:
            raise RemoteProtocolError(f"peer {message.sender} is not a client of {self.peer_id}")
        match message.kind:
            case Kind.ACKNOWLEDGE:
                if message.sender in self._unacknowledged:
                    self._unacknowledged.remove(message.sender)
                return []
            case Kind.UPDATE:
                self._check_update(message)
                if message.round != self.round or message.sender not in self._awaited:
                    return []
                self._awaited.remove(message.sender)
                self._updates[message.sender] = message
                return [] if self._awaited else self._end_round(now)
            case _:
                raise RemoteProtocolError(f"a FedAvg server knows no {message.kind} (from peer {message.sender})")

    def training_finished(self, update: Update, now: float) -> list[Action]:
        raise LocalProtocolError("a FedAvg server does not train")

    def wake(self, now: float) -> list[Action]:
        actions = self._retries.due(now, self._is_wanted)
        if self._deadline is not None and now >= self._deadline:
            actions += self._send_final(now) if self.finished else self._end_round(now)
        return [*actions, *wake_at_first(self._deadline, self._retries.time)]

    def send_failed(self, message: Message, now: float) -> list[Action]:
        self._retries.add(message, now)
        return wake_at_first(self._deadline, self._retries.time)

    def _is_wanted(self, message: Message) -> bool:
        if message.kind is Kind.FINAL:
            return message.receiver in self._unacknowledged
        return message.round == self.round and message.receiver in self._awaited

    def _check_update(self, message: Message) -> None:
        """Raises RemoteProtocolError for an update that cannot be averaged with those of this round."""
        self.local.received(message)
        if message.num_examples < 1:
            raise RemoteProtocolError(f"an update from peer {message.sender} is of {message.num_examples} examples")
        first = next(iter(self._updates.values()), message)
        for name, vector in message.vectors.items():
            if name in first.vectors and first.vectors[name].size != vector.size:
                raise RemoteProtocolError(
                    f"{name} from peer {message.sender} has {vector.size} elements, that of peer {first.sender} "
                    f"{first.vectors[name].size}"
                )

    def _begin_round(self, now: float) -> list[Action]:
        chosen = self._generator.choice(len(self._clients), size=self._num_sampled, replace=False)
        self._sampled = [self._clients[i] for i in np.sort(chosen)]
        self._awaited = set(self._sampled)
        self._updates = {}
        return self._send_models(now)

    def _send_models(self, now: float) -> list[Action]:
        awaited = [client for client in self._sampled if client in self._awaited]
        return [*self._sends(Kind.MODEL, awaited), *self._wait(now)]

    def _sends(self, kind: Kind, receivers: Sequence[PeerId]) -> list[Action]:
        vectors = encoded(self.local.shared())
        return [
            Send(Message(self.peer_id, client, kind, self.round, vectors=vectors, degree=len(self._clients)))
            for client in receivers
        ]

    def _wait(self, now: float) -> list[Action]:
        self._deadline = None if self._patience is None else now + self._patience
        return wake_at_first(self._deadline, self._retries.time)

    def _end_round(self, now: float) -> list[Action]:
        answers = [self._updates[client] for client in self._sampled if client in self._updates]
        if answers:
            self._average(answers)
        self.round += 1
        self._deadline = None
        if self.round < self.local.work.num_rounds:
            return self._begin_round(now)
        self.finished = True
        self._sampled, self._awaited, self._updates = [], set(), {}
        self._unacknowledged = list(self._clients)
        return self._send_final(now)

    def _average(self, answers: Sequence[Message]) -> None:
        received = [self.local.received(answer) for answer in answers]
        averaged: dict[str, Vector] = {}
        for name in received[0]:
            averaged[name] = self._aggregator(
                [
                    Contribution(answer.sender, vectors[name], 1.0 / len(answers), answer.num_examples)
                    for answer, vectors in zip(answers, received, strict=True)
                    if name in vectors
                ]
            )
        mean = averaged["weights"]
        if self._learning_rate != 1.0:
            rate = mean.dtype.type(self._learning_rate)
            averaged["weights"] = frozen(self.local.weights + rate * (mean - self.local.weights))
        self.local.replace(averaged)

    def _send_final(self, now: float) -> list[Action]:
        """To every client that has not confirmed it; repeated with patience, for a lost message."""
        self._deadline = None
        sends = self._sends(Kind.FINAL, self._unacknowledged)
        return [*sends, *self._wait(now)] if sends else []

    def snapshot(self) -> Snapshot:
        values = {
            "round": self.round,
            "finished": self.finished,
            "sampled": list(self._sampled),
            "unacknowledged": list(self._unacknowledged),
            "deadline": self._deadline,
            "generator": self._generator.bit_generator.state,
        }
        parts = {
            "local": self.local.snapshot(),
            "updates": snapshot_of_messages(self._updates),
            "retries": self._retries.snapshot(),
        }
        return compose(values, parts)

    def restore(self, snapshot: Snapshot) -> None:
        _, values = snapshot
        self.local.restore(part("local", snapshot))
        self.round, self.finished = values["round"], values["finished"]
        self._sampled, self._unacknowledged = list(values["sampled"]), list(values["unacknowledged"])
        self._deadline = values["deadline"]
        self._retries.restore(part("retries", snapshot))
        self._generator.bit_generator.state = values["generator"]
        self._updates = messages_of_snapshot(part("updates", snapshot))
        self._awaited = set(self._sampled) - set(self._updates)


class FedAvgClient(Peer):
    """A client: trains the model that the server sends, and sends it back. Its weights are the last model received."""

    def __init__(self, local: LocalModel, server: PeerId) -> None:
        super().__init__(local)
        self._server = server
        self._training_round = -1  # the round of the job that runs, or ran last
        self._next: Message | None = None  # a model that arrived while training
        self._retries = Retries()

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
            if not self.finished:
                self.local.replace(vectors)
                self.round, self.finished, self._next = message.round, True, None
            return [Send(Message(self.peer_id, self._server, Kind.ACKNOWLEDGE, message.round))]
        newest = self._training_round if self._next is None else self._next.round
        if message.round <= newest or self.finished:
            return []
        if self.local.outstanding is not None:
            self._next = message
            return []
        return self._train(message.round, vectors)

    def training_finished(self, update: Update, now: float) -> list[Action]:
        self.local.finish(update)
        if self.finished:
            return []
        if self._next is not None:  # the server has gone on without this update
            message, self._next = self._next, None
            return self._train(message.round, self.local.received(message))
        vectors = encoded(self.local.trained(update))  # its own weights stay the model that it received
        self.round = self._training_round + 1
        num_examples = self.local.work.num_examples
        return [
            Send(
                Message(
                    self.peer_id,
                    self._server,
                    Kind.UPDATE,
                    self._training_round,
                    vectors=vectors,
                    num_examples=num_examples,
                    degree=1,
                )
            )
        ]

    def _train(self, round: int, vectors: Mapping[str, Vector]) -> list[Action]:
        self.local.replace(vectors)
        self._training_round = round
        return [self.local.train()]

    def wake(self, now: float) -> list[Action]:
        return [*self._retries.due(now, self._is_wanted), *wake_at_first(self._retries.time)]

    def send_failed(self, message: Message, now: float) -> list[Action]:
        self._retries.add(message, now)
        return wake_at_first(self._retries.time)

    def _is_wanted(self, message: Message) -> bool:
        if message.kind is Kind.ACKNOWLEDGE:
            return True
        return message.round == self._training_round and not self.finished

    def snapshot(self) -> Snapshot:
        values = {"round": self.round, "finished": self.finished, "training_round": self._training_round}
        parts = {
            "local": self.local.snapshot(),
            "next": snapshot_of_messages({} if self._next is None else {"message": self._next}),
            "retries": self._retries.snapshot(),
        }
        return compose(values, parts)

    def restore(self, snapshot: Snapshot) -> None:
        _, values = snapshot
        self.local.restore(part("local", snapshot))
        self._retries.restore(part("retries", snapshot))
        self.round, self.finished = values["round"], values["finished"]
        self._training_round = values["training_round"]
        self._next = messages_of_snapshot(part("next", snapshot)).get("message")
