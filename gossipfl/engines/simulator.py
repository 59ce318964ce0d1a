"""The virtual engine: runs peers in virtual time, on one heap of events.

Events are ordered by (time, order of scheduling), so a run is a pure function of its peers, trainer, models and seed.

The work behind a `Train` may run anywhere and end at any real time: it *happens* at its virtual time. Its inputs are
fixed when it is issued and nobody sees its result before it is due, so jobs are collected, and when the first result
falls due all collected jobs are trained in one call. With n synchronous peers that is one call per round; with
asynchronous ones a batch of all that are "training now".
"""

import heapq
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from gossipfl.actions import Action, Send, Train, Update, WakeAt
from gossipfl.codec import encoded_size
from gossipfl.engines.compute_model import ComputeModel
from gossipfl.engines.evaluation import EvaluationPlan, Standing, Traffic, TrainingMetrics, average_model, evaluate
from gossipfl.engines.network_model import IDEAL, Link, NetworkModel
from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.history import Evaluation, History
from gossipfl.messages import Message
from gossipfl.peers import Peer
from gossipfl.randomness import generator
from gossipfl.training.trainer import Trainer
from gossipfl.weights import ModelVectors, PeerId

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class World:
    """The circumstances of a simulation: network, computing speed, and how long peers linger.

    After all peers have finished, open exchanges are drained for at most `linger` virtual seconds.
    """

    network: NetworkModel = IDEAL
    compute: ComputeModel = field(default_factory=ComputeModel)
    linger: float = 3600.0


@dataclass(slots=True)
class _Wires:
    """The uplink and downlink of one participant: bytes per second, when they are free, and bytes so far."""

    uplink: float
    downlink: float
    uplink_free: float = 0.0
    downlink_free: float = 0.0
    sent: int = 0
    received: int = 0


@dataclass(slots=True)
class _Route:
    """One direction between two participants, and what was sent on it."""

    sender: _Wires
    receiver: _Wires
    link: Link
    generator: np.random.Generator | None  # None when nothing is left to chance
    num_messages: int = 0
    num_bytes: int = 0


class Simulator:
    """Runs `peers` (in node order, the hub included) in virtual time until all have finished.

    Iterating gives one `Evaluation` per equivalent round: first the state before any training, last the state after
    all exchanges are drained. Between two of them `peers` and `now` may be looked at; `history` holds all so far.
    """

    def __init__(
        self,
        peers: Mapping[PeerId, Peer],
        trainer: Trainer,
        world: World | None = None,
        plan: EvaluationPlan | None = None,
        *,
        seed: int = 0,
        hub: PeerId | None = None,
        label: str = "",
    ) -> None:
        self.peers = dict(peers)
        self.now = 0.0
        self.num_events = 0
        self.history = History(label, seed)
        self._trainer = trainer
        self._world = world or World()
        self._network, self._compute = self._world.network, self._world.compute
        self._plan = plan or EvaluationPlan()
        self._seed = seed
        self._hub = hub
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._num_scheduled = 0
        self._jobs: dict[PeerId, Train] = {}  # collected, not yet trained
        self._updates: dict[PeerId, Update] = {}  # trained, not yet due
        self._wake_times: dict[PeerId, float] = {}  # what each peer wishes
        self._alarms: dict[PeerId, float] = {}  # when each peer's next event of that kind is due: then, or earlier
        self._wires = {
            peer_id: _Wires(rates.uplink, rates.downlink)
            for peer_id, rates in ((peer_id, self._network.rates_of(peer_id)) for peer_id in self.peers)
        }
        self._routes: dict[tuple[PeerId, PeerId], _Route] = {}
        self._data_peers = [peer_id for peer_id in self.peers if peer_id != hub]
        self._num_rounds = max(peer.local.work.num_rounds for peer in self.peers.values())
        self._sum_of_rounds = 0
        self._num_unfinished = sum(not peer.finished for peer in self.peers.values())
        self._end = inf
        self._last_change = 0.0
        self._is_evaluation_due = False
        self._next_round = self._plan.every
        self._training = TrainingMetrics()
        self._state = "new"
        for peer_id in self._plan.peers or ():
            if peer_id not in self._data_peers:
                raise ConfigurationError(f"evaluation of peer {peer_id!r}: expected one of {self._data_peers}")

    # Running

    def run(self) -> History:
        """Run to the end."""
        for _ in self:
            pass
        return self.history

    def __iter__(self) -> Iterator[Evaluation]:
        while (evaluation := self.next()) is not None:
            yield evaluation

    def next(self) -> Evaluation | None:
        """Run until the next evaluation is due, and make it; None after the last one.

        Raises ConfigurationError when no event is left although peers wait for messages, TrainingError when local
        training fails.
        """
        if self._state == "over":
            return None
        if self._state == "new":
            self._state = "running"
            for peer in self.peers.values():
                self._call(peer, peer.start)
            return self._evaluate(0)
        while self._heap and self._heap[0][0] <= self._end:
            if self._is_evaluation_due and self._heap[0][0] > self.now:
                self._is_evaluation_due = False
                self._next_round = self._plan.every * (self._progress() // self._plan.every + 1)
                return self._evaluate(self._progress())
            self.step()
        self._check_finished()
        self._state = "over"
        self.now = self._last_change
        evaluation = self._evaluate(self._progress())
        self.close()
        return evaluation

    def step(self) -> None:
        """Process the next event."""
        self.now, _, happen, subject = heapq.heappop(self._heap)
        self.num_events += 1
        happen(subject)

    def _schedule(self, time: float, happen: Callable[[Any], None], subject: Any) -> None:
        self._num_scheduled += 1
        heapq.heappush(self._heap, (time, self._num_scheduled, happen, subject))

    def _call(self, peer: Peer, method: Callable[..., list[Action]], *arguments: Message | Update) -> None:
        """Let a peer react, carry out what it wants, and note what has become of it."""
        weights_before, round_before, was_finished = peer.local.weights, peer.round, peer.finished
        actions = method(*arguments, self.now)
        if peer.local.weights is not weights_before:
            self._last_change = self.now
        if peer.round != round_before:
            self._last_change = self.now
            if peer.peer_id != self._hub:
                self._sum_of_rounds += peer.round - round_before
            if self._next_round <= self._progress() < self._num_rounds:
                self._is_evaluation_due = True
        if peer.finished and not was_finished:
            self._num_unfinished -= 1
            if self._num_unfinished == 0:
                self._end = self.now + self._world.linger
        for action in actions:
            match action:
                case Send():
                    self._send(action.message)
                case Train():
                    self._collect(action)
                case WakeAt():
                    self._wake_times[peer.peer_id] = action.time
                    self._set_alarm(peer.peer_id)

    def _set_alarm(self, peer_id: PeerId) -> None:
        """An event no later than the peer's wish. Most wishes are put off again and again, so an alarm that comes too
        early is set anew, and a later wish costs nothing."""
        time = max(self._wake_times[peer_id], self.now)
        if time < self._alarms.get(peer_id, inf):
            self._alarms[peer_id] = time
            self._schedule(time, self._ring_alarm, peer_id)

    def _ring_alarm(self, peer_id: PeerId) -> None:
        if self._alarms.get(peer_id) != self.now:
            return  # an earlier one took its place
        del self._alarms[peer_id]
        if self._wake_times[peer_id] > self.now:
            self._set_alarm(peer_id)
        else:
            del self._wake_times[peer_id]
            self._call(self.peers[peer_id], self.peers[peer_id].wake)

    def _progress(self) -> int:
        """The equivalent round: local rounds per peer, or the hub's rounds."""
        if self._hub is not None:
            return self.peers[self._hub].round
        return self._sum_of_rounds // len(self._data_peers)

    def _check_finished(self) -> None:
        waiting = [peer_id for peer_id, peer in self.peers.items() if not peer.finished]
        if waiting and self._hub is not None and self.peers[self._hub].finished:
            return  # clients that the final model did not reach
        if waiting:
            raise ConfigurationError(
                f"the run stalled at {self.now:.6g} virtual seconds: {len(waiting)} of {len(self.peers)} peers "
                f"(the first is {waiting[0]}, in round {self.peers[waiting[0]].round}) wait for messages that were "
                "lost; give the algorithm a patience (seconds)"
            )

    # Training

    def _collect(self, job: Train) -> None:
        num_examples = self._trainer.num_examples(job.peer_id, job.first_step, job.num_steps)
        self._jobs[job.peer_id] = job
        self._schedule(self.now + self._compute.seconds(job.peer_id, num_examples), self._finish_training, job.peer_id)

    def _finish_training(self, peer_id: PeerId) -> None:
        if peer_id not in self._updates:
            jobs = list(self._jobs.values())
            self._updates |= zip(self._jobs, self._trainer.train(jobs), strict=True)
            self._jobs.clear()
        update = self._updates.pop(peer_id)
        self._training.add(update)
        self._last_change = self.now
        self._call(self.peers[peer_id], self.peers[peer_id].training_finished, update)

    # Messages

    def _send(self, message: Message) -> None:
        if self._network.is_offline(message.sender, self.now):
            self._schedule(self.now, self._fail, message)
            return
        num_bytes = encoded_size(message)
        route = self._route(message.sender, message.receiver)
        route.num_messages += 1
        route.num_bytes += num_bytes
        sender = route.sender
        sender.sent += num_bytes
        first_byte = max(self.now, sender.uplink_free)
        sender.uplink_free = first_byte + num_bytes / sender.uplink
        latency = route.link.latency
        if route.generator is not None:
            vanishes, delay = route.generator.random(2).tolist()
            if vanishes < route.link.loss:
                return
            latency += route.link.jitter * delay
        last_byte = sender.uplink_free + latency
        if route.receiver.downlink == inf:
            self._schedule(last_byte, self._deliver, (message, num_bytes))
        else:
            self._schedule(first_byte + latency, self._enter_downlink, (message, num_bytes, last_byte))

    def _route(self, sender: PeerId, receiver: PeerId) -> _Route:
        route = self._routes.get((sender, receiver))
        if route is None:
            link = self._network.link_between(sender, receiver)
            chance = generator(self._seed, "network", sender, receiver) if link.jitter or link.loss else None
            route = _Route(self._wires[sender], self._wires[receiver], link, chance)
            self._routes[sender, receiver] = route
        return route

    def _enter_downlink(self, arriving: tuple[Message, int, float]) -> None:
        message, num_bytes, last_byte = arriving
        receiver = self._wires[message.receiver]
        receiver.downlink_free = max(self.now, receiver.downlink_free) + num_bytes / receiver.downlink
        self._schedule(max(receiver.downlink_free, last_byte), self._deliver, (message, num_bytes))

    def _deliver(self, delivered: tuple[Message, int]) -> None:
        message, num_bytes = delivered
        if self._network.is_offline(message.receiver, self.now):
            self._schedule(self.now, self._fail, message)
            return
        self._wires[message.receiver].received += num_bytes
        peer = self.peers[message.receiver]
        try:
            self._call(peer, peer.receive, message)
        except RemoteProtocolError as error:
            self.history.num_refused += 1
            _LOGGER.warning("peer %s refused a message: %s", message.receiver, error)

    def _fail(self, message: Message) -> None:
        peer = self.peers[message.sender]
        self._call(peer, peer.send_failed, message)

    # Measuring

    def average(self) -> ModelVectors:
        """The hub's model, or else the mean of all peers' models."""
        if self._hub is not None:
            return self.peers[self._hub].model
        return average_model(self._standings(), self._plan.weighting)

    def _standings(self) -> list[Standing]:
        return [Standing.of(self.peers[peer_id]) for peer_id in self._data_peers]

    def _evaluate(self, round: int) -> Evaluation:
        traffic = Traffic(
            sum(route.num_bytes for route in self._routes.values()),
            sum(route.num_messages for route in self._routes.values()),
            max(wires.sent + wires.received for wires in self._wires.values()),
        )
        evaluation = evaluate(
            self._trainer,
            self._plan,
            self._standings(),
            self.average(),
            traffic,
            self._training.take(),
            round=round,
            time=self.now,
        )
        self.history.evaluations.append(evaluation)
        return evaluation

    def close(self) -> None:
        """Complete the history with what is only known at the end; also of a run that was interrupted."""
        self.history.peer_bytes = {peer_id: (wires.sent, wires.received) for peer_id, wires in self._wires.items()}
        self.history.link_traffic = {pair: (r.num_messages, r.num_bytes) for pair, r in self._routes.items()}
        self.history.final = {peer_id: peer.model for peer_id, peer in self.peers.items()}
        self.history.average = self.average()
