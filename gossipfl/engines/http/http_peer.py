"""One peer as an asyncio program: the engine around a state machine, with the real clock, HTTP and a training room.

Every reaction of the peer happens under one lock, one after the other. What it asks for is carried out here: `Train`
in the training room, `Send` by the delivery or in the answer to the request that caused it, `WakeAt` as a timer. With a
journal, a message leaves, and an arrival is confirmed, after the checkpoint that knows of it.
"""

import asyncio
import logging
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from gossipfl.actions import Action, Agreed, Evaluate, Job, Outcome, Refused, Send, Train, Update, WakeAt, WentBack
from gossipfl.engines.http.delivering.client import Client
from gossipfl.engines.http.delivering.correspondence import Correspondence
from gossipfl.engines.http.delivering.delivery import RIDING, Delivery
from gossipfl.engines.http.delivering.journal import Journal, next_incarnation
from gossipfl.engines.http.delivering.letters import GOODBYES, Answer, Letter, Parcel
from gossipfl.engines.http.delivering.meeting import answers, meet
from gossipfl.engines.http.delivering.sealing import Sealer
from gossipfl.engines.http.hosting import Hosting, Room, State, Watcher
from gossipfl.engines.http.log_context import MESSAGE, SPEAKER
from gossipfl.engines.http.peer_clock import PeerClock
from gossipfl.engines.http.serving.server import PeerServer, Reply
from gossipfl.engines.http.tasks import Tasks
from gossipfl.engines.http.trust.gate import Gate
from gossipfl.engines.http.waiting import awaited, nobody_shares_the_run, waited_in_vain, warn_of_long_waits
from gossipfl.engines.http.wire.envelope import Envelope
from gossipfl.engines.http.wire.offloading import Offloading
from gossipfl.engines.http.wire.refusals import Refusal
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.errors import RemoteProtocolError, TrainingError
from gossipfl.files.checkpoints import Arrays, Checkpoint
from gossipfl.messages import Message
from gossipfl.peers import Peer
from gossipfl.scores import Score
from gossipfl.snapshot import compose, part
from gossipfl.weights import PeerId

_LOGGER = logging.getLogger(__name__)


class HTTPPeer:
    """Runs `peer` in the run `facts`; `neighbors` names those that may talk to it.

    `listen`, then `connect` with the neighbors' addresses, then `run` until it is over.
    """

    def __init__(
        self,
        peer: Peer,
        facts: RunFacts,
        room: Room,
        neighbors: tuple[PeerId, ...],
        watcher: Watcher,
        hosting: Hosting | None = None,
    ) -> None:
        self.peer = peer
        self.facts = facts
        self.room = room
        self.hosting = hosting or Hosting()
        self.refusals: Counter[str] = Counter()
        """What was refused of others, by reason."""
        self.num_rollbacks = 0
        """Times that it could not train on what it had mixed in."""
        self.gave_up: str | None = None  # why it has ended without the others, where it may
        self.score: Score | None = None
        """On held-out data, from whoever has evaluated the peer last."""
        self.training_metrics: Mapping[str, float] = {}
        directory = self.hosting.directory
        self.incarnation = self.hosting.incarnation if directory is None else next_incarnation(directory)
        generator = np.random.default_rng(secrets.randbits(64))  # for jitter alone: no result depends on it
        self._jitter = partial(generator.uniform, 0.5, 1.0)
        self.neighbors = {
            name: Correspondence(name, self.hosting.limits, self._jitter, polls=not self.hosting.listens)
            for name in neighbors
        }
        for name in self.hosting.revoked & self.neighbors.keys():
            self.neighbors[name].revoke()
        self._watcher = watcher
        limits, credentials = self.hosting.limits, self.hosting.credentials
        verifier = None if credentials is None else credentials.verifier()
        self.gate = Gate(facts, peer.peer_id, secrets.token_hex(16), neighbors, verifier, self.hosting.revoked)
        self._offloading = Offloading()
        self._sealer = Sealer(self.gate, self.incarnation, credentials, self._offloading)
        self._tasks = Tasks(self._fail)
        self._delivery = Delivery(
            self.neighbors,
            self._tasks.spawn,
            self._send_failed,
            self._take_answer,
            self._check_over,
            self._contact_changed,
        )
        self._journal = None if self.hosting.directory is None else Journal(self.hosting.directory, self._take)
        self.server = PeerServer(self.gate, limits, self._offloading, self._handle, self._refuse)
        self._lock = asyncio.Lock()
        self._num_reactions = 0  # that are not yet on disk, or have not yet sent everything
        self._num_said = 0  # messages
        self._done_after = self._done_on_disk = -1  # how many, when nothing was left to do, and when that was on disk
        self._started = asyncio.Event()
        self._over = asyncio.Event()
        self._is_leaving = self._is_closing = self._has_ended = False
        self._failure: BaseException | None = None
        self._training: asyncio.Task[Any] | None = None
        self._lingering: asyncio.Task[Any] | None = None
        self._clock = PeerClock(on_alarm=lambda: self._tasks.spawn(self._react(self.peer.wake)))

    # Life

    async def listen(
        self, where: tuple[str, int] | socket.socket, tls: ssl.SSLContext | None = None
    ) -> tuple[str, int]:
        """Open the server on host and port, or on a bound socket; gives host and port. Requests wait until the peer has
        begun."""
        SPEAKER.set(self._log_facts)
        return await self.server.start(where, tls)

    def connect(self, addresses: Mapping[PeerId, str | None]) -> None:
        """Say where the neighbors are; None for one that polls."""
        for name, neighbor in self.neighbors.items():
            neighbor.url = None if neighbor.contact == "revoked" else addresses[name]

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint: the peer as it was, and what it had said that may not have arrived."""
        snapshot = (checkpoint.arrays, checkpoint.values)
        self.peer.restore(part("peer", snapshot))
        self._clock.go_on_from(checkpoint.values["time"])
        self._delivery.restore(part("delivery", snapshot))

    async def run(self) -> None:
        """Live until all rounds are done and the neighbors know, or until `stop`.

        Raises TrainingError when local training fails, OSError when a checkpoint cannot be written, ConfigurationError
        when all neighbors say that this peer is of another run.
        """
        SPEAKER.set(self._log_facts)
        client = Client(self._sealer, self.hosting.limits, self._refuse)
        self._clock.start()
        self._tasks.spawn(self._begin(client))
        try:
            await self._over.wait()
        finally:
            await self._end(client)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Leave: drop the unfinished round, and end within seconds. Exchanges that are open stay open."""
        self._is_leaving = True
        self._over.set()

    @property
    def state(self) -> State:
        if self._has_ended:
            return "over"
        if not self._clock.is_started:
            return "new"
        if not self._started.is_set():
            return "meeting"
        if self.peer.finished:
            return "lingering"
        return "waiting" if self._training is None else "training"

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        """Neighbors without whom it does not go on at the moment."""
        return awaited(self.state, self.peer, self.neighbors)

    def now(self) -> float:
        """Seconds since the peer began, time when it was not running left out."""
        return self._clock.now()

    async def _begin(self, client: Client) -> None:
        watched = self.peer, self.neighbors, lambda: self.state, self.now
        self._tasks.spawn(warn_of_long_waits(*watched))
        away = [neighbor for neighbor in self.neighbors.values() if neighbor.url is not None]
        if away and self.hosting.meeting_seconds:
            _LOGGER.info("waiting up to %g s for %s", self.hosting.meeting_seconds, ", ".join(n.name for n in away))
        await meet(client, away, self.hosting.meeting_seconds, self._jitter)
        self._check_run()
        if self._over.is_set():
            return
        if (absent := [one.name for one in away if not one.session]) and self.hosting.meeting_seconds:  # else unasked
            _LOGGER.info("going on without %s", ", ".join(absent))
        await self._react(self.peer.start)
        self._started.set()  # only now: a peer reacts to nothing before it has started
        self._delivery.begin(client)
        self._check_over()
        if self.hosting.gives_up:
            there = partial(answers, client, seconds=self.hosting.linger)
            self.gave_up = await waited_in_vain(*watched, there, self.hosting.linger)
            self.stop()

    async def _end(self, client: Client) -> None:
        async with self._lock:  # a reaction that runs is not torn apart, and none comes after it
            self._is_closing = True
            self._clock.cancel_alarm()
            self._delivery.end()
        await self._tasks.cancel()
        try:
            if self._failure is None and self._started.is_set():
                await self._commit()
            if self._is_leaving or self._failure is not None:
                await self._delivery.say_leaving(client)
                await self._tasks.cancel()
        finally:
            await self.server.stop()
            await client.close()
            if self._journal is not None:
                await self._journal.close()
            self._offloading.close()
            self._has_ended = True

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._over.set()

    # Reactions

    async def _react(
        self,
        method: Callable[..., list[Action]],
        *arguments: Message | Outcome,
        answering: PeerId | None = None,
        failed: Parcel | None = None,
    ) -> Parcel | None:
        """Let the peer react, and carry out what it wants; gives what rides in the answer to peer `answering`.

        What it reacts to may be that a parcel has `failed`, which from then on is its own to repeat.
        """
        self._num_reactions += 1
        try:
            async with self._lock:
                if self._is_closing:
                    raise Refusal("stopping")
                round_before = self.peer.round
                actions = await self._offloading.run(self.facts.max_body_bytes, method, *arguments, self.now())
                del arguments
                if failed is not None:
                    self._delivery.forget(failed)
                parcels = [self._delivery.note(action.message) for action in actions if isinstance(action, Send)]
                self._num_said += len(parcels)
                for action in actions:
                    match action:
                        case Train() | Evaluate():
                            self._training = self._tasks.spawn(self._work_on(action))
                        case WakeAt():
                            self._clock.set_alarm(action.time)
                        case Refused():
                            self._refuse(action.sender, Refusal("not_taken_in", action.why))
                        case WentBack():
                            self.num_rollbacks += 1
                            _LOGGER.warning("%s", action)
                        case Agreed():
                            self._watcher.agreed(self, action.agreement)
                if self.peer.finished and self._lingering is None:
                    self._lingering = self._tasks.spawn(self._linger())
                self._watcher.reacted(self, round_before)
            await self._commit()
            riding = None
            for parcel in parcels:
                assert parcel.message is not None
                if riding is None and parcel.message.receiver == answering and parcel.message.kind in RIDING:
                    riding = parcel
                else:
                    self._delivery.send(parcel)
            return riding
        finally:
            self._num_reactions -= 1
            self._check_over()

    async def _commit(self) -> None:
        if self._journal is not None:
            await self._journal.commit()

    async def _send_failed(self, parcel: Parcel) -> None:
        assert parcel.message is not None
        await self._react(self.peer.send_failed, parcel.message, failed=parcel)

    async def _work_on(self, job: Job) -> None:
        outcome: Outcome
        try:
            outcome = await self.room.run(job)
        except TrainingError as error:
            outcome = error
        del job
        self._training = None
        if isinstance(outcome, Update):
            self.training_metrics = outcome.metrics
            self._watcher.trained(self, outcome)
        await self._react(self.peer.completed, outcome)

    def _check_run(self) -> None:
        if (error := nobody_shares_the_run(self.peer.peer_id, self.facts.run_id, self.neighbors)) is not None:
            self._fail(error)

    def _check_over(self) -> None:
        """When nothing is left to do, and that is on disk: say goodbye, and end when all neighbors have, too. Else a
        later life would say something again to neighbors that have heard the goodbye, and ended."""
        self._check_run()
        is_busy = self._num_reactions or self._training is not None or not self._started.is_set()
        if is_busy or not self.peer.is_drained or self._delivery.undelivered:
            return
        if self._done_after != self._num_said:
            self._done_after = self._num_said
            self._tasks.spawn(self._commit_done())
        elif self._done_on_disk == self._num_said:
            self._delivery.say_finished()
            if all(neighbor.is_settled for neighbor in self.neighbors.values()):
                self._over.set()

    async def _commit_done(self) -> None:
        num_said = self._done_after
        await self._commit()
        self._done_on_disk = num_said
        self._check_over()

    async def _linger(self) -> None:
        if unfinished := [neighbor.name for neighbor in self.neighbors.values() if not neighbor.said_goodbye]:
            _LOGGER.info("finished; serving up to %g s for %s", self.hosting.linger, ", ".join(unfinished))
        await asyncio.sleep(self.hosting.linger)
        self._over.set()

    async def _take(self) -> tuple[Arrays, Mapping[str, Any]]:
        """The present state, for a checkpoint."""
        async with self._lock:
            values = {"time": self.now(), "run": self.facts.run_id}
            return compose(values, {"peer": self.peer.snapshot(), "delivery": self._delivery.snapshot()})

    # What comes in

    async def _handle(self, envelope: Envelope, message: Message | None) -> Reply | None:
        """What the server calls with a request that is in order; gives what rides in the answer."""
        MESSAGE.set(f"{envelope.sender}/{envelope.incarnation}/{envelope.counter}")
        neighbor = self.neighbors[envelope.sender]
        self._delivery.arrived(neighbor, envelope)
        taking_in = self._take_in(neighbor, envelope, message)
        del message  # and wherever else one is on its way: of a large model, it is mixed in long before it is on disk
        try:
            riding = await taking_in
            if riding is None:
                return None
            wrapped = await self._sealer.wrap(riding)
            return Reply(wrapped, partial(self._delivery.answered, neighbor, riding.parcel, wrapped.size))
        except Refusal:
            raise
        except Exception as error:  # the server would say so to the neighbor, and to nobody else
            self._fail(error)
            raise

    async def _take_in(self, neighbor: Correspondence, envelope: Envelope, message: Message | None) -> Letter | None:
        riding = None
        if message is not None:
            receiving = self._receive(message, answering=None if neighbor.url is None else neighbor.name)
            del message
            riding = await receiving
        elif envelope.purpose in GOODBYES:
            await self._commit()  # else this peer, killed and resumed, would wait for one that is gone
            self._check_over()
        if neighbor.url is None:
            return await self._delivery.fetched(neighbor, envelope)
        return None if riding is None else neighbor.letter(riding)

    async def _receive(self, message: Message, answering: PeerId | None = None) -> Parcel | None:
        await self._started.wait()
        reacting = self._react(self.peer.receive, message, answering=answering)
        del message
        try:
            return await reacting
        except RemoteProtocolError as error:
            raise Refusal("against_protocol", str(error)) from None

    async def _take_answer(self, neighbor: PeerId, answer: Answer) -> None:
        if answer.message is not None:
            try:
                await self._receive(answer.message)
            except Refusal as refusal:
                self._refuse(neighbor, refusal)
        elif answer.envelope.purpose in GOODBYES:
            await self._commit()

    def _refuse(self, sender: PeerId, refusal: Refusal) -> None:
        self.refusals[refusal.reason] += 1
        refusal.log(_LOGGER, sender)

    def _log_facts(self) -> Mapping[str, str | int]:
        return {"peer": self.peer.peer_id, "round": self.peer.round}

    def _contact_changed(self, neighbor: PeerId, event: str) -> None:
        said = "has left" if event == "left" else f"is {event}"
        _LOGGER.info(f"%(neighbor)s {said}", {"neighbor": neighbor, "event": event})
        self._watcher.contact(self, neighbor, event)
