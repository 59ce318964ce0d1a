"""Asynchronous gossip in pairs: train, average with one random neighbor, train on; wait for nobody else.

AD-PSGD (Lian et al., 2018) and SwarmSGD (Nadiradze et al., 2021) without their assumptions on the network. The rules:

* A peer answers requests while it trains and while it waits. Only the request that crosses its own on the same edge is
  declined: the peer with the lower position in the graph wins.
* The responder computes d = (x_i - x_j) / 2 from the x_i of the request, adds d to its own x_j and answers with d; the
  initiator subtracts d from whatever its weights are when the answer arrives. So x_i + x_j is kept, training or not.
* The initiator trains on when its exchange is resolved or timed out. A timed-out exchange stays open; choosing that
  neighbor again (after a back-off) repeats the same exchange with the weights of then.
* Training that ends after exchanges came in adds its step: x += y - snapshot (x = y exactly when none came in).

The sum of all weights moves by training steps alone, once every exchange is resolved. Statistics and optimizer state
are averaged too, but convexly at both ends, because a variance that is corrected by a difference can become negative.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from gossipfl.actions import Action, Send, Update, WakeAt
from gossipfl.compression import dense
from gossipfl.errors import ConfigurationError, LocalProtocolError, RemoteProtocolError
from gossipfl.messages import ExchangeId, Kind, Message
from gossipfl.peers.exchanges import Exchanges
from gossipfl.peers.local_model import LocalModel, encoded
from gossipfl.peers.peer import Peer
from gossipfl.peers.snapshot import Snapshot, compose, part
from gossipfl.weights import PeerId, Vector, frozen


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a neighbor that did not answer is left alone.

    After k time-outs in a row: uniform between 1/2 and 1 of min(timeout * 2**(k - 1), maximum) seconds. A higher
    `timeout` waits longer for slow links, at the expense of idle time when a neighbor is gone.
    """

    timeout: float
    maximum: float

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= self.maximum:
            raise ConfigurationError(
                f"back-off needs 0 < timeout <= maximum, got timeout {self.timeout} and maximum {self.maximum}"
            )

    def delay(self, num_timeouts: int, generator: np.random.Generator) -> float:
        longest = min(self.timeout * 2.0 ** min(num_timeouts - 1, 100), self.maximum)  # 2.0**1024 would overflow
        return longest * float(generator.uniform(0.5, 1.0))


@dataclass(slots=True)
class _Waiting:
    exchange: ExchangeId
    deadline: float


class PairwiseGossipPeer(Peer):
    """A peer of pairwise gossip; `neighbors` maps each neighbor to its position in the graph."""

    def __init__(
        self,
        local: LocalModel,
        position: int,
        neighbors: Mapping[PeerId, int],
        backoff: Backoff,
        generator: np.random.Generator,
    ) -> None:
        super().__init__(local)
        self._position = position
        self._neighbors = dict(sorted(neighbors.items(), key=lambda item: item[1]))
        self._backoff = backoff
        self._generator = generator
        self._exchanges = Exchanges(local.peer_id)
        self._waiting: _Waiting | None = None
        self._num_timeouts: dict[PeerId, int] = {}
        self._not_before: dict[PeerId, float] = {}
        # What came in during training, and is applied to its result: see _average_convexly.
        self._averaged_while_training = False
        self._convex: dict[str, tuple[float, Vector]] = {}

    @property
    def is_drained(self) -> bool:
        return self.finished and not self._exchanges.unresolved()

    # What the engine calls

    def start(self, now: float) -> list[Action]:
        if self.local.outstanding is not None:
            return [self.local.outstanding]
        if self._waiting is not None:
            return self._request(self._waiting.exchange.responder, now)
        return self._train_on(now)

    def training_finished(self, update: Update, now: float) -> list[Action]:
        job = self.local.finish(update)
        weights = update.weights
        if self._averaged_while_training:
            weights = frozen(self.local.weights + (update.weights - job.weights))
        statistics = self._after_averaging("statistics", update.statistics)
        self.local.replace({"weights": weights, "statistics": statistics})
        if "optimizer" in self._convex:
            optimizer = cast(Vector, update.state["optimizer"])
            self.local.replace({"optimizer": self._after_averaging("optimizer", optimizer)})
        self._averaged_while_training = False
        self._convex = {}
        neighbor = self._choose(now)
        return self._train_on(now) if neighbor is None else self._request(neighbor, now)

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
                return self._receive_request(message)
            case Kind.REPLY | Kind.DECLINE:
                return self._receive_answer(message, now)
            case Kind.ACKNOWLEDGE:
                self._exchanges.acknowledged(message)
                return []
            case _:
                raise RemoteProtocolError(f"pairwise gossip knows no {message.kind} (from peer {message.sender})")

    # The responder's side

    def _receive_request(self, request: Message) -> list[Action]:
        decision = self._exchanges.decision(request)
        if decision == "old":
            return []
        if isinstance(decision, Message):
            return [Send(decision)]
        theirs = self.local.received(request)
        answer = self._decline(request) if self._wins_crossing(request.sender) else self._average(request, theirs)
        self._exchanges.decide(answer)
        return [Send(answer)]

    def _wins_crossing(self, neighbor: PeerId) -> bool:
        crossing = self._waiting is not None and self._waiting.exchange.responder == neighbor
        return crossing and self._position < self._neighbors[neighbor]

    def _decline(self, request: Message) -> Message:
        return Message(self.peer_id, request.sender, Kind.DECLINE, self.round, request.exchange)

    def _average(self, request: Message, theirs: Mapping[str, Vector]) -> Message:
        mine = self.local.shared()
        difference = theirs["weights"] - self.local.weights
        difference *= difference.dtype.type(0.5)
        self.local.weights = frozen(self.local.weights + difference)
        self._averaged_while_training = self.local.outstanding is not None
        common = {name: mine[name] for name in theirs if name in mine and name != "weights"}
        for name in common:
            self._average_convexly(name, theirs[name])
        return Message(
            self.peer_id,
            request.sender,
            Kind.REPLY,
            self.round,
            request.exchange,
            {"weights": dense(frozen(difference)), **{name: dense(vector) for name, vector in common.items()}},
            num_examples=self.local.work.num_examples,
            degree=len(self._neighbors),
        )

    # The initiator's side

    def _choose(self, now: float) -> PeerId | None:
        """A random neighbor that is not left alone for now."""
        candidates = list(self._neighbors)
        if self._not_before:
            candidates = [neighbor for neighbor in candidates if self._not_before.get(neighbor, now) <= now]
        # random() is ten times faster than integers(), and as fair to 2**-53.
        return candidates[int(self._generator.random() * len(candidates))] if candidates else None

    def _request(self, neighbor: PeerId, now: float) -> list[Action]:
        self._waiting = _Waiting(self._exchanges.open(neighbor), now + self._backoff.timeout)
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
                num_examples=self.local.work.num_examples,
                degree=len(self._neighbors),
            )
        )

    def _receive_answer(self, answer: Message, now: float) -> list[Action]:
        vectors = self.local.received(answer) if answer.kind is Kind.REPLY else {}
        first = self._exchanges.resolve(answer)
        acknowledgement = Send(Message(self.peer_id, answer.sender, Kind.ACKNOWLEDGE, self.round, answer.exchange))
        if not first:
            return [acknowledgement]
        if vectors:
            self.local.weights = frozen(self.local.weights - vectors.pop("weights"))
            self._averaged_while_training = self.local.outstanding is not None
            for name, vector in vectors.items():
                self._average_convexly(name, vector)
        self._num_timeouts.pop(answer.sender, None)
        self._not_before.pop(answer.sender, None)
        if self._waiting is not None and self._waiting.exchange == answer.exchange:
            self._waiting = None
            return [acknowledgement, *self._train_on(now)]
        return [acknowledgement]

    def _give_up(self, neighbor: PeerId, now: float) -> None:
        self._waiting = None
        self._num_timeouts[neighbor] = self._num_timeouts.get(neighbor, 0) + 1
        self._not_before[neighbor] = now + self._backoff.delay(self._num_timeouts[neighbor], self._generator)

    # Rounds

    def _train_on(self, now: float) -> list[Action]:
        """The round, its exchange included, is over: begin the next, or finish."""
        if self.local.outstanding is not None or self._waiting is not None:
            raise LocalProtocolError(f"peer {self.peer_id} was started twice")
        self.round = self.local.num_jobs
        if self.round < self.local.work.num_rounds:
            return [self.local.train()]
        self.finished = True
        return self._drain(now)

    def _drain(self, now: float) -> list[Action]:
        """Repeat the requests of open exchanges whose back-off is over; a finished peer has nothing else to do."""
        actions: list[Action] = []
        for neighbor in self._exchanges.unresolved():
            if self._not_before.get(neighbor, now) <= now:
                self._give_up(neighbor, now)
                actions.append(self._request_message(self._exchanges.open(neighbor)))
        waiting = [self._not_before[neighbor] for neighbor in self._exchanges.unresolved()]
        return [*actions, WakeAt(min(waiting))] if waiting else actions

    # Convex averaging, during training too: v <- (v + theirs) / 2 also for the v that training will give

    def _average_convexly(self, name: str, theirs: Vector) -> None:
        half = theirs.dtype.type(0.5)
        mine = self.local.shared().get(name)
        if mine is None:
            return
        self.local.replace({name: frozen((mine + theirs) * half)})
        if self.local.outstanding is not None:
            scale, shift = self._convex.get(name, (1.0, np.zeros_like(theirs)))
            self._convex[name] = (scale / 2, frozen((shift + theirs) * half))

    def _after_averaging(self, name: str, trained: Vector) -> Vector:
        if name not in self._convex:
            return trained
        scale, shift = self._convex[name]
        return frozen(trained * trained.dtype.type(scale) + shift)

    # Persistence

    def snapshot(self) -> Snapshot:
        waiting = self._waiting
        values = {
            "round": self.round,
            "finished": self.finished,
            "waiting": None if waiting is None else [waiting.exchange.responder, waiting.deadline],
            "num_timeouts": dict(self._num_timeouts),
            "not_before": dict(self._not_before),
            "averaged_while_training": self._averaged_while_training,
            "scales": {name: scale for name, (scale, _) in self._convex.items()},
            "generator": self._generator.bit_generator.state,
        }
        shifts = {name: shift for name, (_, shift) in self._convex.items()}
        parts = {"local": self.local.snapshot(), "exchanges": self._exchanges.snapshot(), "convex": (shifts, {})}
        return compose(values, parts)

    def restore(self, snapshot: Snapshot) -> None:
        _, values = snapshot
        self.local.restore(part("local", snapshot))
        self._exchanges.restore(part("exchanges", snapshot))
        self.round, self.finished = values["round"], values["finished"]
        self._waiting = None
        if values["waiting"] is not None:
            neighbor, deadline = values["waiting"]
            self._waiting = _Waiting(self._exchanges.open(neighbor), deadline)
        self._num_timeouts, self._not_before = dict(values["num_timeouts"]), dict(values["not_before"])
        self._averaged_while_training = values["averaged_while_training"]
        shifts, _ = part("convex", snapshot)
        self._convex = {name: (scale, shifts[name]) for name, scale in values["scales"].items()}
        self._generator.bit_generator.state = values["generator"]
