"""The virtual engine: runs peers in virtual time, on one heap of events.

Events are ordered by (time, order of scheduling), so a run is a pure function of its peers, trainer, models and seed.

The work behind a `Train` or an `Evaluate` may run anywhere and end at any real time: it *happens* at its virtual time.
Its inputs are fixed when it is issued and nobody sees its result before it is due, so jobs are collected, and when the
first result falls due all collected jobs run in one call. With n synchronous peers that is one call per round; with
asynchronous ones a batch of all that are "training now".
"""

import heapq
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from math import inf
from typing import Any

from gossipfl.actions import Action, Agreed, Evaluate, Job, Outcome, Refused, Send, Train, Update, WakeAt, WentBack
from gossipfl.engines.evaluation import EvaluationPlan, epsilon_spent, evaluate, scored_average, standings_of
from gossipfl.engines.progress import Rounds, Traffic, TrainingSums
from gossipfl.engines.stopping import Stopping, ended_themselves, why_ended
from gossipfl.engines.virtual.collected_jobs import CollectedJobs
from gossipfl.engines.virtual.compute_model import ComputeModel
from gossipfl.engines.virtual.event_snapshots import Event, EventKind, events_of_snapshot, snapshot_of_events
from gossipfl.engines.virtual.garbage import seldom_collected
from gossipfl.engines.virtual.network import Transfer, VirtualNetwork
from gossipfl.engines.virtual.network_model import IDEAL, NetworkModel
from gossipfl.errors import ConfigurationError, RemoteProtocolError, TrainingError
from gossipfl.history import Evaluation, History, evaluation_of
from gossipfl.messages import Message
from gossipfl.peers import Peer, Standing
from gossipfl.snapshot import Snapshot, by_first_part, compose, under
from gossipfl.stopping.rule import StopRule
from gossipfl.training.trainer import Trainer, all_failures
from gossipfl.weights import ModelVectors, PeerId

_LOGGER = logging.getLogger(__name__)

# Looked up once, not in every event: in Python 3.11 a member of an enum takes 0.2 microseconds.
_JOB_OVER, _AT_DOWNLINK, _ARRIVAL = EventKind.JOB_OVER, EventKind.AT_DOWNLINK, EventKind.ARRIVAL


@dataclass(frozen=True, slots=True)
class World:
    """The circumstances of a simulation: network, computing speed, and how long peers linger.

    After all peers have finished, open exchanges are drained for at most `linger` virtual seconds.
    """

    network: NetworkModel = IDEAL
    compute: ComputeModel = field(default_factory=ComputeModel)
    linger: float = 3600.0


class Simulator:
    """Runs `peers` (in node order, the hub included) in virtual time until all have finished.

    Iterating gives one `Evaluation` per equivalent round: first the state before any training, last the state after
    all exchanges are drained, or the one with which the run is to `stop` early. Between two of them `peers` and `now`
    may be looked at; `history` holds all so far.
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
        stop: StopRule | None = None,
    ) -> None:
        self.peers = dict(peers)
        self.now = 0.0
        self.num_events = 0
        self.history = History(label, seed)
        self._trainer = trainer
        self._world = world or World()
        self.network = VirtualNetwork(self._world.network, self.peers, seed)
        self._plan = plan or EvaluationPlan()
        self._hub = hub
        self._heap: list[Event] = []
        self._num_scheduled = 0
        self._jobs = CollectedJobs(trainer)
        self._wake_times: dict[PeerId, float] = {}  # what each peer wishes
        self._alarms: dict[PeerId, float] = {}  # when each peer's next event of that kind is due: then, or earlier
        self._data_peers = [peer_id for peer_id in self.peers if peer_id != hub]
        self._counting = self._data_peers if hub is None else [hub]
        num_rounds = max(self.peers[peer_id].num_rounds for peer_id in self._data_peers)
        self._rounds = Rounds(self._data_peers, self._plan.every, num_rounds)
        self._num_unfinished = sum(not peer.finished for peer in self.peers.values())
        self._end = inf
        self._last_change = 0.0
        self._reached = 0  # equivalent rounds, when a peer (the hub, if there is one) last ended one of its own
        self.on_round: Callable[[int], None] = lambda round: None
        """Called with the equivalent round whenever one is over, evaluated already if it is to be: a snapshot taken
        then is on the boundary of a round."""
        self._training = TrainingSums()
        self._state = "new"
        self.stopping = Stopping(stop, self.history)
        self._plan.check(self._data_peers)

    @property
    def round(self) -> int:
        """The last equivalent round that is over."""
        return self._rounds.round

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
        with seldom_collected():
            return self._next()

    def _next(self) -> Evaluation | None:
        if self._state == "over":
            return None
        if self._state == "new":
            self._state = "running"
            for peer in self.peers.values():
                self._call(peer, peer.start)
            if (evaluation := self._evaluate(0)) is not None:
                return evaluation
        heap = self._heap
        while heap and heap[0][0] <= self._end:
            if self._reached > self._rounds.round and heap[0][0] > self.now:
                evaluation = self._end_round()
                if evaluation is not None:
                    return evaluation
            self.step()
        self._check_finished()
        self._state = "over"
        self.now = self._last_change
        evaluation = self._evaluate(self._rounds.reached, final=True)
        self.close()
        return evaluation

    def _end_round(self) -> Evaluation | None:
        is_due = self._rounds.is_due(self._reached) and not ended_themselves(self.peers[one] for one in self._counting)
        evaluation = self._evaluate(self._reached) if is_due else None
        if self._state != "over":
            self.on_round(self.round)
        return evaluation

    def step(self) -> None:
        """Process the next event."""
        self.now, _, kind, subject = heapq.heappop(self._heap)
        self.num_events += 1
        _HAPPENS[kind](self, subject)

    def _schedule(self, time: float, kind: EventKind, subject: Any) -> None:
        self._num_scheduled += 1
        heapq.heappush(self._heap, (time, self._num_scheduled, kind, subject))

    def _call(self, peer: Peer, method: Callable[..., list[Action]], *arguments: Message | Outcome) -> None:
        """Let a peer react, carry out what it wants, and note what has become of it."""
        value_before, round_before, was_finished = peer.value, peer.round, peer.finished
        done_before = peer.rounds_done
        actions = method(*arguments, self.now)
        if peer.value is not value_before:
            self._last_change = self.now
        done = peer.rounds_done
        if done != done_before:
            self._rounds.count(peer.peer_id, done)
        if peer.round != round_before:
            self._last_change = self.now
            # With a hub, an equivalent round is over when the hub has made something of it.
            if self._hub in (None, peer.peer_id):
                self._reached = self._rounds.reached
        if peer.finished and not was_finished:
            self._last_change = self.now  # also where a client's last model is, by chance, the one that it has
            self._num_unfinished -= 1
            if self._num_unfinished == 0:
                self._end = self.now + self._world.linger
        for action in actions:
            match action:
                case Send():
                    self._send(action.message)
                case Train() | Evaluate():
                    self._collect(action)
                case WakeAt():
                    self._wake_times[peer.peer_id] = action.time
                    self._set_alarm(peer.peer_id)
                case Refused():
                    self._refuse(peer.peer_id, f"from peer {action.sender}: {action.why}")
                case WentBack():
                    self.history.num_rollbacks += 1
                    _LOGGER.warning("peer %s %s", peer.peer_id, action)
                case Agreed():
                    self.history.agree(action.agreement, self.now)

    def _refuse(self, peer_id: PeerId, why: object) -> None:
        self.history.num_refused += 1
        _LOGGER.warning("peer %s refused a message: %s", peer_id, why)

    def _set_alarm(self, peer_id: PeerId) -> None:
        """An event no later than the peer's wish. Most wishes are put off again and again, so an alarm that comes too
        early is set anew, and a later wish costs nothing."""
        time = max(self._wake_times[peer_id], self.now)
        if time < self._alarms.get(peer_id, inf):
            self._alarms[peer_id] = time
            self._schedule(time, EventKind.ALARM, peer_id)

    def _ring_alarm(self, peer_id: PeerId) -> None:
        if self._alarms.get(peer_id) != self.now:
            return  # an earlier one took its place
        del self._alarms[peer_id]
        if self._wake_times[peer_id] > self.now:
            self._set_alarm(peer_id)
        else:
            del self._wake_times[peer_id]
            self._call(self.peers[peer_id], self.peers[peer_id].wake)

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

    # Jobs

    def _collect(self, job: Job) -> None:
        num_examples = self._jobs.add(job)
        self._schedule(self.now + self._world.compute.seconds(job, num_examples), _JOB_OVER, job.peer_id)

    def _finish_job(self, peer_id: PeerId) -> None:
        outcome, peer = self._jobs.take(peer_id), self.peers[peer_id]
        self._last_change = self.now
        if isinstance(outcome, Update):
            self._training.add(outcome.metrics, outcome.num_examples)
        try:
            self._call(peer, peer.completed, outcome)
        except TrainingError as error:
            raise all_failures([error, *self._jobs.others]) from error.__cause__

    # Messages

    def _send(self, message: Message) -> None:
        if self.network.has_outages and self.network.is_offline(message.sender, self.now):
            self._schedule(self.now, EventKind.SEND_FAILED, message)
            return
        transfer = self.network.send(message, self.now)
        if transfer is None:
            return
        if self.network.has_queue(message.receiver):
            self._schedule(transfer.first_byte, _AT_DOWNLINK, transfer)
        else:
            self._schedule(transfer.last_byte, _ARRIVAL, transfer)

    def _enter_downlink(self, transfer: Transfer) -> None:
        self._schedule(self.network.queue(transfer, self.now), _ARRIVAL, transfer)

    def _deliver(self, transfer: Transfer) -> None:
        message = transfer.message
        if self.network.has_outages and self.network.is_offline(message.receiver, self.now):
            self._schedule(self.now, EventKind.SEND_FAILED, message)
            return
        self.network.arrived(transfer)
        peer = self.peers[message.receiver]
        try:
            self._call(peer, peer.receive, message)
        except RemoteProtocolError as error:
            self._refuse(message.receiver, error)

    def _fail(self, message: Message) -> None:
        peer = self.peers[message.sender]
        self._call(peer, peer.send_failed, message)

    # Measuring

    @property
    def traffic(self) -> Traffic:
        """All that was sent so far."""
        return self.network.traffic

    def average(self) -> ModelVectors:
        """The hub's model, or else the mean of all peers' models, recalibrated where the plan says so."""
        hub = None if self._hub is None else self.peers[self._hub].standing
        return scored_average(self._trainer, self._standings(), self._plan, None if hub is None else hub.model)

    def _standings(self) -> list[Standing]:
        return standings_of(self.peers[peer_id] for peer_id in self._data_peers)

    def _evaluate(self, round: int, *, final: bool = False) -> Evaluation | None:
        """The evaluation of the peers as they are now; None where they have no models."""
        standings = self._standings()
        if not standings:
            return None
        average = self.average()
        measure = partial(
            evaluate,
            self._trainer,
            self._plan,
            standings,
            average,
            self.traffic,
            self._training.take(),
            round=round,
            time=self.now,
            has_hub=self._hub is not None and self.peers[self._hub].standing is not None,
            uniform_mean=average.weights if self._hub is None and self._plan.weighting == "uniform" else None,
            epsilon=epsilon_spent(self._plan, self.peers.values()),
        )
        evaluation = measure(final=final)
        reason = self.stopping.reason(evaluation, average)
        if reason is not None and not final:
            self.history.stopped, self._state = reason, "over"
            evaluation = measure(final=True) if self._plan.measures_at_end else evaluation
            self.close()
        self.history.evaluations.append(evaluation)
        return evaluation

    def close(self) -> None:
        """Complete the history with what is only known at the end; also of a run that was interrupted."""
        network = self.network
        self.history.peer_bytes = {peer_id: (wires.sent, wires.received) for peer_id, wires in network.wires.items()}
        self.history.link_traffic = None if network.pairs is None else dict(network.pairs)
        self.history.num_open = sum(peer.num_open for peer in self.peers.values())
        standings = standings_of(self.peers.values())
        self.history.stopped = self.history.stopped or why_ended(standings)
        if models := {standing.peer_id: standing.model for standing in standings}:
            self.history.end_with(models, self.average(), self._hub)

    # Stopping and going on

    def snapshot(self) -> Snapshot:
        """Everything that the rest of the run depends on; it may be taken between any two events.

        Updates that are trained but not due yet are left out: their jobs are run again, with the same results.
        """
        peers = compose({}, {peer_id: peer.snapshot() for peer_id, peer in self.peers.items()})
        events, messages = snapshot_of_events(self._heap)
        values = {name: getattr(self, name) for name in _VALUES}
        values |= {
            "round": self.round,
            "training": asdict(self._training),
            "events": events,
            "network": self.network.snapshot(),
            "evaluations": [asdict(evaluation) for evaluation in self.history.evaluations],
            "agreed": self.history.agreed_values(),
            "num_refused": self.history.num_refused,
            "num_rollbacks": self.history.num_rollbacks,
        }
        return compose(values, {"peers": peers, "messages": compose({}, messages), "best": self.stopping.snapshot()})

    def restore(self, snapshot: Snapshot) -> None:
        """Take the state of a `snapshot` of a simulator of the same peers, world, plan and seed."""
        arrays, values = snapshot
        by_peer, by_message = (by_first_part(under(f"{part}/", arrays)) for part in ("peers", "messages"))
        for peer_id, peer in self.peers.items():
            peer.restore((by_peer.get(peer_id, {}), values["peers"][peer_id]))
            self._rounds.count(peer_id, peer.rounds_done)
        self._rounds.round = values["round"]
        for name in _VALUES:
            setattr(self, name, values[name])
        self._training = TrainingSums(**values["training"])
        self.network.restore(values["network"])
        self.history.evaluations[:] = [evaluation_of(one) for one in values["evaluations"]]
        self.history.restore_agreed(values["agreed"])
        self.stopping.restore(under("best/", arrays))
        self.history.num_refused, self.history.num_rollbacks = values["num_refused"], values["num_rollbacks"]
        self._heap = events_of_snapshot(values["events"], values["messages"], by_message)
        self._jobs.begin_again(peer.outstanding for peer in self.peers.values())


_HAPPENS: Mapping[EventKind, Callable[[Simulator, Any], None]] = {
    EventKind.ALARM: Simulator._ring_alarm,
    EventKind.JOB_OVER: Simulator._finish_job,
    EventKind.AT_DOWNLINK: Simulator._enter_downlink,
    EventKind.ARRIVAL: Simulator._deliver,
    EventKind.SEND_FAILED: Simulator._fail,
}

_VALUES = (
    *("now", "num_events", "_num_scheduled", "_wake_times", "_alarms", "_num_unfinished", "_end"),
    *("_last_change", "_reached", "_state"),
)
"""Attributes of a simulator that are JSON-ready as they are."""
