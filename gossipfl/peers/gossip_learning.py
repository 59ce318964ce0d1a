"""Gossip learning (Ormandi et al., 2013; Hegedus et al., 2019): train, merge what came, push a copy, train on.

The age of a model is the number of rounds of training that are in it. The rules:

* After a round of training, age += 1. Then the models that came meanwhile are merged, in node order; of each sender
  the newest. A peer that has finished merges them as they come.
* Merging:  x <- x + s (theirs - x),  age <- max(age, theirs), with the share s of `MergeRule`.
* Then (x, age) is pushed to a random neighbor. It is a copy that may be lost: nobody waits, repeats or acknowledges.

A model beyond the magnitude bound is not merged, and its age is forgotten with it.

Statistics and averaged optimizer state are merged with the same shares.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from gossipfl.actions import Action, Send, Update
from gossipfl.compression import Leaving
from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.mixing.mixing import vector_of
from gossipfl.peers.local_model import LocalModel
from gossipfl.peers.model_peer import ModelPeer
from gossipfl.snapshot import Snapshot, messages_of_snapshot, part, snapshot_of_messages
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId, Vector, frozen

Merge: TypeAlias = Literal["age_weighted", "limited", "plain"]


@dataclass(frozen=True, slots=True)
class MergeRule:
    """The share of the merged model that is theirs, by the ages of the two.

    "age_weighted": theirs / (own + theirs). "limited" (Danner et al., 2023): the same, but when the ages differ by more
    than `age_limit` rounds, the older model is taken as it is. "plain": 1/2.
    """

    merge: Merge = "age_weighted"
    age_limit: int = 1

    def __post_init__(self) -> None:
        if self.merge not in ("age_weighted", "limited", "plain"):
            raise ConfigurationError(f"merge must be 'age_weighted', 'limited' or 'plain', got {self.merge!r}")
        if self.age_limit < 0:
            raise ConfigurationError(f"age_limit must be at least 0 rounds, got {self.age_limit}")

    def share(self, own_age: int, their_age: int) -> float:
        """The share of a model that is `their_age` old, at least 1."""
        if self.merge == "plain":
            return 0.5
        if self.merge == "limited" and abs(own_age - their_age) > self.age_limit:
            return float(their_age > own_age)
        return their_age / (own_age + their_age)


def merged(mine: Vector, theirs: Vector, share: float) -> Vector:
    """mine + share (theirs - mine): exactly mine at 0, theirs at 1, and either when the two are equal."""
    if share in (0.0, 1.0):
        return theirs if share else mine
    difference = theirs - mine
    difference *= difference.dtype.type(share)
    difference += mine
    return frozen(difference)


class GossipLearningPeer(ModelPeer):
    """A peer of gossip learning. Of neighbors that changed, it leaves alone at once those who are gone, and merges
    nothing more that came of them."""

    def __init__(
        self,
        local: LocalModel,
        neighbors: Neighbors,
        rule: MergeRule,
        leaving: Leaving,
        generator: np.random.Generator,
    ) -> None:
        super().__init__(local)
        self.age = 0
        self._rule = rule
        self._leaving = leaving
        self._generator = generator
        self._arrived: dict[PeerId, Message] = {}  # during training, by sender
        self._newest: dict[PeerId, int] = {}  # the round of the newest model of each sender, arrived or merged
        self._meet(neighbors)

    def start(self, now: float) -> list[Action]:
        return [self.local.outstanding] if self.local.outstanding is not None else self._train_on()

    def _go_on_from(self, update: Update, now: float) -> list[Action]:
        self.local.finish(update)
        self.local.take_over(update)
        self.round, self.age = self.local.num_jobs, self.age + 1
        refusals: list[Action] = []
        for sender in sorted(self._arrived, key=self._senders.__getitem__):
            refusals += self._merge(self._arrived[sender])
        self._arrived = {}
        return [*refusals, *self._push(), *self._train_on()]

    def wake(self, now: float) -> list[Action]:
        return []

    def send_failed(self, message: Message, now: float) -> list[Action]:
        return []

    def receive(self, message: Message, now: float) -> list[Action]:
        if message.kind is not Kind.PUSH or message.sender not in self._senders:
            raise RemoteProtocolError(
                f"peer {self.peer_id} of gossip learning expects no {message.kind} from peer {message.sender}"
            )
        self.local.received(message)
        if message.number("age") < 1:
            raise RemoteProtocolError(f"a model from peer {message.sender} is of no round of training")
        if message.round > self._newest.get(message.sender, 0):
            self._newest[message.sender] = message.round
            if self.local.outstanding is None:
                return self._merge(message)
            self._arrived[message.sender] = message
        return []

    def _push(self) -> list[Action]:
        if not self._receivers:
            return []
        receiver = self._receivers[int(self._generator.random() * len(self._receivers))]
        vectors, numbers = self._leaving.encode(self.local.shared()), {"age": self.age}
        return [Send(Message(self.peer_id, receiver, Kind.PUSH, self.round, None, vectors, numbers))]

    def _merge(self, message: Message) -> list[Action]:
        mine = self.local.shared()
        theirs = {
            name: vector for name, own in mine.items() if (vector := vector_of(message, name, own.size)) is not None
        }
        refused = self.local.refusal(message, mine)
        if refused is not None:
            return [refused]
        their_age = int(message.numbers["age"])
        share = self._rule.share(self.age, their_age)
        self.local.replace({name: merged(mine[name], vector, share) for name, vector in theirs.items()})
        self.local.last_sound.mixed([message.sender])
        self.age = max(self.age, their_age)
        return []

    def _train_on(self) -> list[Action]:
        return [self.local.train()] if self._goes_on() else []

    def _meet(self, neighbors: Neighbors) -> None:
        self._receivers = sorted(neighbors.receivers, key=neighbors.receivers.__getitem__)
        self._senders = neighbors.senders
        self._arrived = {sender: message for sender, message in self._arrived.items() if sender in self._senders}

    def _go_on_without(self, now: float) -> list[Action]:
        return []

    def snapshot(self) -> Snapshot:
        values = {
            "age": self.age,
            "newest": dict(self._newest),
            "generator": self._generator.bit_generator.state,
        }
        return self._snapshot_with(
            values, {"arrived": snapshot_of_messages(self._arrived), "leaving": self._leaving.snapshot()}
        )

    def restore(self, snapshot: Snapshot) -> None:
        super().restore(snapshot)
        _, values = snapshot
        self.age = values["age"]
        self._newest = dict(values["newest"])
        self._generator.bit_generator.state = values["generator"]
        self._leaving.restore(part("leaving", snapshot))
        self._arrived = messages_of_snapshot(part("arrived", snapshot))
