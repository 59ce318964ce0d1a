"""The client of federated averaging: trains the model that the server sends, and answers with what came of it."""

from collections.abc import Mapping

from gossipfl.actions import Action, Send, Update
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.methods import FederatedMethod, Memory
from gossipfl.peers.local_model import LocalModel, encoded
from gossipfl.peers.peer import Peer
from gossipfl.peers.retries import Retries, wake_at_first
from gossipfl.peers.snapshot import Snapshot, compose, messages_of_snapshot, part, read_only, snapshot_of_messages
from gossipfl.weights import PeerId, Vector


class FedAvgClient(Peer):
    """A client: its weights are the last model that it received."""

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
                    num_examples=self.local.work.num_examples,
                    mass=answer.mass,
                    degree=1,
                )
            )
        ]

    def _train(self, round: int, vectors: Mapping[str, Vector]) -> list[Action]:
        self.local.replace(vectors)
        self._training_round = round
        return [self.local.train(self._method.begin(vectors, self._memory))]

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
            "memory": (self._memory, {}),
            "next": snapshot_of_messages({} if self._next is None else {"message": self._next}),
            "retries": self._retries.snapshot(),
        }
        return compose(values, parts)

    def restore(self, snapshot: Snapshot) -> None:
        _, values = snapshot
        self.local.restore(part("local", snapshot))
        self._memory = read_only(part("memory", snapshot)[0])
        self._retries.restore(part("retries", snapshot))
        self.round, self.finished = values["round"], values["finished"]
        self._training_round = values["training_round"]
        self._next = messages_of_snapshot(part("next", snapshot)).get("message")
