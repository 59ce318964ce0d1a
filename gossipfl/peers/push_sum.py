"""Asynchronous push-sum (GoSGD; Blot et al., 2016; Kempe et al., 2003): train, give half of the mass away, train on.

Every peer i has a model x_i and a mass w_i > 0, which is 1 in the beginning. The rules:

* After a round of training, with probability p: w_i <- w_i / 2, and (x_i, w_i) is pushed to a random out-neighbor.
* A push (x, m) that comes in, during training too:  x_i <- (w_i x_i + m x) / (w_i + m),  w_i <- w_i + m.
* Nobody ever waits. Training that ends after pushes came in adds its step: x_i += y - snapshot.
* A push is applied exactly once. Its sender keeps it, unchanged, until a receipt has come; choosing that neighbor again
  (after a back-off) repeats it instead of splitting the mass anew. A peer that has finished repeats what is left.

A push whose x is beyond the magnitude bound gives its mass alone: w_i <- w_i + m, as if x were x_i. A peer that goes
back to what its last training gave keeps its mass.

The sum of all w_i, and that of all w_i x_i but for the training steps, is constant once every push has its receipt:
before that, count the pushes that were not applied. Links need to work in one direction only, receipts aside.
"""

import numpy as np

from gossipfl.actions import Action, Send, Update
from gossipfl.compression import encoded
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.peers.averaging_while_training import AveragedModel
from gossipfl.peers.exchanges import Exchanges
from gossipfl.peers.local_model import LocalModel
from gossipfl.peers.model_peer import ModelPeer
from gossipfl.peers.random_neighbors import Backoff, RandomNeighbors
from gossipfl.snapshot import Snapshot, messages_of_snapshot, part, snapshot_of_messages
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId

_ROUNDING = 1e-9
_LEAST_MASS = 2.0**-500  # what has less keeps it: halves and ratios of masses stay far from where floats lose precision


class PushSumPeer(ModelPeer):
    """A peer of asynchronous push-sum; `total_mass` is that of all peers.

    Of neighbors that changed, it leaves alone at once those who are gone. What it had pushed to them, and has no
    receipt for, stays out until they come back. Who joins a run brings no mass of its own.
    """

    def __init__(
        self,
        local: LocalModel,
        neighbors: Neighbors,
        total_mass: float,
        push_probability: float,
        backoff: Backoff,
        generator: np.random.Generator,
    ) -> None:
        super().__init__(local)
        self.mass = 1.0
        self._receivers, self._senders = neighbors.receivers, neighbors.senders
        self._total_mass = total_mass
        self._push_probability = push_probability
        self._generator = generator
        self._model = AveragedModel(local)
        self._random_receivers = RandomNeighbors(neighbors.receivers, backoff, generator)
        self._exchanges = Exchanges(local.peer_id)
        self._pushes: dict[PeerId, Message] = {}  # by receiver: at most one that has no receipt yet

    @property
    def is_drained(self) -> bool:
        return self.finished and not self._open_pushes()

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        return tuple(self._open_pushes()) if self.finished else ()

    def start(self, now: float) -> list[Action]:
        return [self.local.outstanding] if self.local.outstanding is not None else self._train_on(now)

    def _go_on_from(self, update: Update, now: float) -> list[Action]:
        self._model.finish(update)
        self.round = self.local.num_jobs
        pushes: list[Action] = []
        if self._generator.random() < self._push_probability:
            receiver = self._random_receivers.choose(now)
            if receiver is not None and (receiver in self._pushes or self.mass >= _LEAST_MASS):
                self._random_receivers.leave_alone(receiver, now)
                pushes.append(self._push(receiver))
        return [*pushes, *self._train_on(now)]

    def _train_anew(self, undone: tuple[PeerId, ...]) -> list[Action]:
        self._model.forget_moves()
        return [self.local.train()]

    def wake(self, now: float) -> list[Action]:
        return self._drain(now) if self.finished else []

    def send_failed(self, message: Message, now: float) -> list[Action]:
        return []  # a push that has not arrived is repeated anyway

    def receive(self, message: Message, now: float) -> list[Action]:
        match message.kind:
            case Kind.PUSH if message.sender in self._senders:
                return self._receive_push(message)
            case Kind.ACKNOWLEDGE if message.sender in self._receivers:
                if self._exchanges.resolve(message):
                    del self._pushes[message.sender]
                    self._random_receivers.answered(message.sender)
                return []
            case _:
                raise RemoteProtocolError(
                    f"peer {self.peer_id} of push-sum expects no {message.kind} from peer {message.sender}"
                )

    def _push(self, receiver: PeerId) -> Send:
        if receiver not in self._pushes:
            self.mass /= 2
            self._pushes[receiver] = Message(
                self.peer_id,
                receiver,
                Kind.PUSH,
                self.round,
                self._exchanges.open(receiver),
                encoded(self.local.shared()),
                {"mass": self.mass},
            )
        return Send(self._pushes[receiver])

    def _receive_push(self, push: Message) -> list[Action]:
        decision = self._exchanges.decision(push)
        actions: list[Action] = []
        if decision == "new":
            theirs, mass = self.local.received(push), push.number("mass")
            if self.mass + mass > self._total_mass * (1 + _ROUNDING):
                raise RemoteProtocolError(
                    f"peer {push.sender} pushes a mass of {mass}; with {self.mass} here it would be more than all "
                    f"peers have ({self._total_mass})"
                )
            refused = self.local.refusal(push, self.local.shared())
            if refused is None:
                self._model.average(theirs, mass / (self.mass + mass))
                self.local.last_sound.mixed([push.sender])
            else:
                actions.append(refused)
            self.mass += mass
            decision = Message(self.peer_id, push.sender, Kind.ACKNOWLEDGE, self.round, push.exchange)
            self._exchanges.decide(decision)
        return actions if decision == "old" else [*actions, Send(decision)]

    def _train_on(self, now: float) -> list[Action]:
        return [self.local.train()] if self._goes_on() else self._drain(now)

    def _drain(self, now: float) -> list[Action]:
        return self._random_receivers.drain(self._open_pushes(), self._push, now)

    def _open_pushes(self) -> list[PeerId]:
        """Who has not confirmed a push; of one that was revoked since, no receipt is awaited."""
        return [receiver for receiver in self._pushes if receiver in self._receivers]

    def _meet(self, neighbors: Neighbors) -> None:
        self._receivers, self._senders = neighbors.receivers, neighbors.senders
        self._random_receivers.meet(neighbors.receivers)

    def _go_on_without(self, now: float) -> list[Action]:
        return self._drain(now) if self.finished else []

    def snapshot(self) -> Snapshot:
        parts = {
            "model": self._model.snapshot(),
            "receivers": self._random_receivers.snapshot(),
            "exchanges": self._exchanges.snapshot(),
            "pushes": snapshot_of_messages(self._pushes),
        }
        return self._snapshot_with({"mass": self.mass}, parts)

    def restore(self, snapshot: Snapshot) -> None:
        super().restore(snapshot)
        self.mass = snapshot[1]["mass"]
        self._model.restore(part("model", snapshot))
        self._random_receivers.restore(part("receivers", snapshot))
        self._exchanges.restore(part("exchanges", snapshot))
        self._pushes = messages_of_snapshot(part("pushes", snapshot))
