"""A fake, adversarial network: peers talk without an engine, and the test decides what becomes of every message.

Messages lie in `in_flight` until they are delivered (in any order), doubled, dropped or reported as failed; training
ends when the test says so; the clock moves when the test ticks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from gossipfl.actions import Action, Send, Train, Update, WakeAt
from gossipfl.messages import Message
from gossipfl.peers import Peer
from gossipfl.weights import PeerId, frozen

Training = Callable[[Train], Update]


def random_steps(rng: np.random.Generator) -> Training:
    """Training that adds a random step to whatever it is given."""

    def train(job: Train) -> Update:
        weights = frozen(job.weights + rng.normal(size=job.weights.size))
        return Update(job.peer_id, job.job, weights, job.statistics, {}, 1, job.num_steps, {})

    return train


@dataclass
class Conversation:
    """`moved` is the sum of all training steps so far: the only thing that may move the sum of all weights."""

    peers: Mapping[PeerId, Peer]
    training: Training
    now: float = 0.0
    in_flight: list[Message] = field(default_factory=list)
    jobs: dict[PeerId, Train] = field(default_factory=dict)
    wishes: dict[PeerId, float] = field(default_factory=dict)
    dead: set[PeerId] = field(default_factory=set)
    sent: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.moved = np.zeros_like(next(iter(self.peers.values())).weights)

    def start(self) -> None:
        for peer_id, peer in self.peers.items():
            self.carry_out(peer_id, peer.start(self.now))

    def deliver(self, index: int = 0) -> None:
        message = self.in_flight.pop(index)
        if message.receiver not in self.dead:
            self.carry_out(message.receiver, self.peers[message.receiver].receive(message, self.now))

    def drop(self, index: int = 0) -> None:
        del self.in_flight[index]

    def double(self, index: int = 0) -> None:
        self.in_flight.append(self.in_flight[index])

    def fail(self, index: int = 0) -> None:
        """The sender learns that the message may not have been delivered."""
        message = self.in_flight.pop(index)
        if message.sender not in self.dead:
            self.carry_out(message.sender, self.peers[message.sender].send_failed(message, self.now))

    def train(self, peer_id: PeerId) -> None:
        job = self.jobs.pop(peer_id)
        update = self.training(job)
        self.moved += update.weights - job.weights
        self.carry_out(peer_id, self.peers[peer_id].completed(update, self.now))

    def train_all(self) -> None:
        for peer_id in list(self.jobs):
            self.train(peer_id)

    def tick(self, until: float = inf) -> bool:
        """Go to the time of the first wish and wake that peer; False when nobody wishes to be woken `until` then."""
        wishes = {p: time for p, time in self.wishes.items() if p not in self.dead and time <= until}
        if not wishes:
            return False
        peer_id = min(wishes, key=lambda peer_id: wishes[peer_id])
        self.now = max(self.now, self.wishes.pop(peer_id))
        self.carry_out(peer_id, self.peers[peer_id].wake(self.now))
        return True

    def wake(self, peer_id: PeerId) -> None:
        """A spurious wake."""
        self.carry_out(peer_id, self.peers[peer_id].wake(self.now))

    def kill(self, peer_id: PeerId) -> None:
        """The peer answers nothing and trains no more."""
        self.dead.add(peer_id)
        self.jobs.pop(peer_id, None)

    def deliver_all(self) -> None:
        while self.in_flight:
            self.deliver()

    def play(
        self,
        rng: np.random.Generator,
        *,
        loss: float = 0.0,
        duplicates: float = 0.0,
        failures: float = 0.0,
        asleep: Sequence[PeerId] = (),
        max_steps: int = 20_000,
    ) -> None:
        """Do something random until all living peers have finished; nothing reaches those that are `asleep` before
        the others are done. Raises AssertionError when that takes more than `max_steps`."""
        for _ in range(max_steps):
            deliverable = [i for i, message in enumerate(self.in_flight) if message.receiver not in asleep]
            trainable = [peer_id for peer_id in self.jobs if peer_id not in asleep]
            if all(self.peers[peer_id].finished for peer_id in self.peers if peer_id not in {*self.dead, *asleep}):
                return
            if deliverable and rng.random() < 0.7:
                index = int(rng.choice(deliverable))
                if rng.random() < duplicates:
                    self.double(index)
                if (chance := rng.random()) < loss:
                    self.drop(index)
                elif chance < loss + failures:
                    self.fail(index)
                else:
                    self.deliver(index)
            elif trainable and rng.random() < 0.8:
                self.train(str(rng.choice(trainable)))
            elif rng.random() < 0.2:
                self.tick()
            elif rng.random() < 0.1:
                self.wake(str(rng.choice([peer_id for peer_id in self.peers if peer_id not in self.dead])))
        raise AssertionError(f"not finished after {max_steps} steps at {self.now} seconds")

    def settle(self, max_ticks: int = 1_000) -> None:
        """Deliver everything and follow every wish until nothing is left to do."""
        for _ in range(max_ticks):
            self.deliver_all()
            self.train_all()
            self.deliver_all()
            if not self.tick() and not self.in_flight and not self.jobs:
                return
        raise AssertionError(f"not settled after {max_ticks} ticks at {self.now} seconds")

    def total(self) -> np.ndarray:
        return np.sum([peer.weights for peer in self.peers.values()], axis=0)

    def carry_out(self, peer_id: PeerId, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    self.in_flight.append(action.message)
                    self.sent.append(action.message)
                case Train():
                    assert peer_id not in self.jobs, "at most one outstanding job per peer"
                    self.jobs[peer_id] = action
                case WakeAt():
                    self.wishes[peer_id] = action.time
