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

from gossipfl.actions import Action, Update
from gossipfl.compression import encoded
from gossipfl.messages import ExchangeId, Kind, Message
from gossipfl.peers.averaging_while_training import AveragedModel
from gossipfl.peers.local_model import LocalModel
from gossipfl.peers.model_peer import ModelPeer
from gossipfl.peers.pushes import LEAST_MASS, Pushes, check_mass
from gossipfl.peers.random_neighbors import Backoff
from gossipfl.snapshot import Snapshot, part
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId


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
        self._total_mass = total_mass
        self._push_probability = push_probability
        self._generator = generator
        self._model = AveragedModel(local)
        self._pushes = Pushes(local.peer_id, neighbors, backoff, generator, self._half, self._apply)

    @property
    def is_drained(self) -> bool:
        return self.finished and not self._pushes.unconfirmed

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        return tuple(self._pushes.unconfirmed) if self.finished else ()

    def start(self, now: float) -> list[Action]:
        return [self.local.outstanding] if self.local.outstanding is not None else self._train_on(now)

    def _go_on_from(self, update: Update, now: float) -> list[Action]:
        self._model.finish(update)
        self.round = self.local.num_jobs
        pushes: list[Action] = []
        if self._generator.random() < self._push_probability:
            pushes = self._pushes.push(now, has_something=self.mass >= LEAST_MASS)
        return [*pushes, *self._train_on(now)]

    def _train_anew(self, undone: tuple[PeerId, ...]) -> list[Action]:
        self._model.forget_moves()
        return [self.local.train()]

    def wake(self, now: float) -> list[Action]:
        return self._pushes.drain(now) if self.finished else []

    def send_failed(self, message: Message, now: float) -> list[Action]:
        return []  # a push that has not arrived is repeated anyway

    def receive(self, message: Message, now: float) -> list[Action]:
        return self._pushes.receive(message, self.round)

    def _half(self, exchange: ExchangeId) -> Message:
        self.mass /= 2
        vectors = encoded(self.local.shared())
        return Message(self.peer_id, exchange.responder, Kind.PUSH, self.round, exchange, vectors, {"mass": self.mass})

    def _apply(self, push: Message) -> list[Action]:
        theirs, mass = self.local.received(push), push.number("mass")
        check_mass(push, self.mass, self._total_mass)
        refused = self.local.refusal(push, self.local.shared())
        if refused is None:
            self._model.average(theirs, mass / (self.mass + mass))
            self.local.last_sound.mixed([push.sender])
        self.mass += mass
        return [] if refused is None else [refused]

    def _train_on(self, now: float) -> list[Action]:
        return [self.local.train()] if self._goes_on() else self._pushes.drain(now)

    def _meet(self, neighbors: Neighbors) -> None:
        self._pushes.meet(neighbors)

    def _go_on_without(self, now: float) -> list[Action]:
        return self._pushes.drain(now) if self.finished else []

    def snapshot(self) -> Snapshot:
        parts = {"model": self._model.snapshot(), "pushes": self._pushes.snapshot()}
        return self._snapshot_with({"mass": self.mass}, parts)

    def restore(self, snapshot: Snapshot) -> None:
        super().restore(snapshot)
        self.mass = snapshot[1]["mass"]
        self._model.restore(part("model", snapshot))
        self._pushes.restore(part("pushes", snapshot))
