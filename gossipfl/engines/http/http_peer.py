"""One peer as an asyncio program: the engine around a state machine, with the real clock, HTTP and a training room.

Every reaction of the peer happens under one lock, one after the other. What it asks for is carried out here: `Train`
in the training room, `Send` as a parcel for the neighbor's courier or in the answer to the request that caused it,
`WakeAt` as a timer. With a journal, a parcel leaves, and an arrival is confirmed, after the checkpoint that knows of
it.
"""

import asyncio
import logging
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from gossipfl.actions import Action, Send, Train, Update, WakeAt
from gossipfl.engines.http.client import Answer, Client, Refused
from gossipfl.engines.http.credentials import Credentials
from gossipfl.engines.http.envelope import Envelope, Purpose
from gossipfl.engines.http.gate import Gate
from gossipfl.engines.http.journal import Arrays, Checkpoint, Journal, next_incarnation
from gossipfl.engines.http.limits import Limits
from gossipfl.engines.http.log_context import MESSAGE, SPEAKER
from gossipfl.engines.http.neighbor import Neighbor, Parcel
from gossipfl.engines.http.offloading import Offloading
from gossipfl.engines.http.refusals import Refusal
from gossipfl.engines.http.run_facts import RunFacts
from gossipfl.engines.http.sealing import Sealer, Wrapped
from gossipfl.engines.http.server import PeerServer
from gossipfl.engines.http.training_room import TrainingRoom
from gossipfl.errors import RemoteProtocolError, TransportError
from gossipfl.messages import Message
from gossipfl.peers import Peer
from gossipfl.peers.snapshot import compose, messages_of_snapshot, part, snapshot_of_messages
from gossipfl.weights import PeerId

_LOGGER = logging.getLogger(__name__)

GOODBYE_SECONDS = 2.0
"""For saying goodbye before leaving: a process that is asked to stop should end within 5 s."""

_GOODBYES = (Purpose.FINISHED, Purpose.LEAVING)

State: TypeAlias = Literal["new", "meeting", "training", "waiting", "lingering", "over"]


class Watcher(Protocol):
    """Is told what becomes of a peer."""

    def reacted(self, host: "HTTPPeer", round_before: int) -> None:
        """The peer has reacted to something."""
        ...

    def trained(self, host: "HTTPPeer", update: Update) -> None:
        """A round of local training has ended."""
        ...

    def contact(self, host: "HTTPPeer", neighbor: PeerId, event: str) -> None:
        """A neighbor became "unreachable" or "reachable", or has "left"."""
        ...


@dataclass(frozen=True, slots=True)
class Hosting:
    """How a peer is hosted.

    `credentials` sign what it says, and identify it in TLS. `directory` holds its checkpoints; None: it has none.
    `linger` (seconds) is how long it serves on after it has finished, while neighbors have not. `meeting_seconds`
    is how long it waits at the start for neighbors that are not there yet. `listens` is False for a peer that others
    cannot reach: it polls.
    """

    limits: Limits = field(default_factory=Limits)
    credentials: Credentials | None = None
    directory: Path | None = None
    linger: float = 600.0
    meeting_seconds: float = 30.0
    listens: bool = True


class HTTPPeer:
    """Runs `peer` in the run `facts`; `neighbors` names those that may talk to it.

    `listen`, then `connect` with the neighbors' addresses, then `run` until it is over.
    """

    def __init__(
        self,
        peer: Peer,
        facts: RunFacts,
        room: TrainingRoom,
        neighbors: tuple[PeerId, ...],
        watcher: Watcher,
        hosting: Hosting | None = None,
    ) -> None:
        self.peer = peer
        self.facts = facts
        self.hosting = hosting or Hosting()
        self.refusals: Counter[str] = Counter()
        """What was refused of others, by reason."""
        self.scores: dict[str, float] = {}
        """Loss and accuracy on held-out data, from whoever has evaluated the peer last."""
        self.training_metrics: Mapping[str, float] = {}
        self.state: State = "new"
        self.incarnation = 1 if self.hosting.directory is None else next_incarnation(self.hosting.directory)
        self.room = room
        self._watcher = watcher
        self._generator = np.random.default_rng(secrets.randbits(64))  # for jitter alone: no result depends on it
        self.neighbors = {name: Neighbor(name, None, self._contact_changed) for name in neighbors}
        credentials = self.hosting.credentials
        verifier = None if credentials is None else credentials.verifier()
        self.gate = Gate(facts, peer.peer_id, secrets.token_hex(16), neighbors, verifier)
        self._offloading = Offloading()
        self._sealer = Sealer(self.gate, self.incarnation, credentials, self._offloading)
        self._lock = asyncio.Lock()
        self._started = asyncio.Event()
        self._over = asyncio.Event()
        self._failure: BaseException | None = None
        self._is_leaving = False
        self._is_drained = False
        self._undelivered: dict[Parcel, None] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._training: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._earliest_now = 0.0
        self._journal = None if self.hosting.directory is None else Journal(self.hosting.directory, self._take)
        self._client = Client(self._sealer, self.hosting.limits, self._refuse)
        self._server = PeerServer(
            self.gate, self.hosting.limits, self._offloading, self._handle, self._answered, self._refuse
        )

    # Life

    async def listen(
        self, where: tuple[str, int] | socket.socket, tls: ssl.SSLContext | None = None
    ) -> tuple[str, int]:
        """Open the server on host and port, or on a bound socket; gives host and port. Requests wait until the peer has
        begun."""
        SPEAKER.set(self._log_facts)
        return await self._server.start(where, tls)

    def connect(self, addresses: Mapping[PeerId, str | None]) -> None:
        """Say where the neighbors are; None for one that polls."""
        for name, neighbor in self.neighbors.items():
            neighbor.url = addresses[name]

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint: the peer as it was, and what it had said that may not have arrived."""
        snapshot = (checkpoint.arrays, checkpoint.values)
        self.peer.restore(part("peer", snapshot))
        self._earliest_now = checkpoint.values["time"]
        for message in messages_of_snapshot(part("mail", snapshot)).values():
            if message.receiver in self.neighbors:
                parcel = Parcel(Purpose.MESSAGE, message)
                self._undelivered[parcel] = None
                self.neighbors[message.receiver].add(parcel)

    async def run(self) -> None:
        """Live until all rounds are done and the neighbors know, or until `stop`.

        Raises TrainingError when local training fails, OSError when a checkpoint cannot be written.
        """
        SPEAKER.set(self._log_facts)
        self._began = asyncio.get_running_loop().time() - self._earliest_now
        for neighbor in self.neighbors.values():
            if neighbor.url is not None:
                self._spawn(self._courier(neighbor))
                if not self.hosting.listens:
                    self._spawn(self._poll(neighbor))
        beginning = self._spawn(self._begin())
        await self._over.wait()
        beginning.cancel()
        try:
            await self._end()
        finally:
            self.state = "over"
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Leave: drop the unfinished round, and end within seconds. Exchanges that are open stay open."""
        self._is_leaving = True
        if self._training is not None:
            self._training.cancel()
        self._over.set()

    def now(self) -> float:
        """Seconds since the peer began, time when it was not running left out."""
        self._earliest_now = max(self._earliest_now, asyncio.get_running_loop().time() - self._began)
        return self._earliest_now

    async def _begin(self) -> None:
        self.state = "meeting"
        meetings = [self._meet(neighbor) for neighbor in self.neighbors.values() if neighbor.url is not None]
        with suppress(TimeoutError):
            async with asyncio.timeout(self.hosting.meeting_seconds):
                await asyncio.gather(*meetings)
        self.state = "training"
        await self._react(self.peer.start)
        self._started.set()

    async def _meet(self, neighbor: Neighbor) -> None:
        """Wait until a neighbor is there."""
        pause = 0.05
        while not neighbor.session:
            with suppress(TransportError):
                await self._client.meet(neighbor)
                return
            await asyncio.sleep(pause * self._generator.uniform(0.5, 1.0))
            pause = min(2 * pause, 2.0)

    async def _end(self) -> None:
        async with self._lock:  # a reaction that runs is not torn apart
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._alarm is not None:
            self._alarm.cancel()
        try:
            if self._journal is not None and self._failure is None:
                await self._journal.commit()
            if self._is_leaving or self._failure is not None:
                await self._say_goodbye()
        finally:
            await self._server.stop()
            await self._client.close()
            if self._journal is not None:
                await self._journal.close()
            self._offloading.close()

    async def _say_goodbye(self) -> None:
        async def tell(neighbor: Neighbor) -> None:
            with suppress(TransportError):
                await self._client.deliver(neighbor, Parcel(Purpose.LEAVING))

        reachable = [neighbor for neighbor in self.neighbors.values() if neighbor.url and neighbor.session]
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await asyncio.gather(*map(tell, reachable))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._over.set()

    # Reactions

    async def _react(
        self, method: Callable[..., list[Action]], *arguments: Message | Update, answering: PeerId | None = None
    ) -> Parcel | None:
        """Let the peer react, and carry out what it wants; gives what rides in the answer to peer `answering`."""
        async with self._lock:
            round_before = self.peer.round
            actions = await self._offloading.run(self.facts.max_body_bytes, method, *arguments, self.now())
            parcels = []
            for action in actions:
                match action:
                    case Send():
                        parcels.append(Parcel(Purpose.MESSAGE, action.message))
                    case Train():
                        self._training = self._spawn(self._train(action))
                    case WakeAt():
                        self._set_alarm(action.time)
            self._undelivered.update(dict.fromkeys(parcels))
            if self.peer.finished and self.state != "lingering":
                self.state = "lingering"
            self._watcher.reacted(self, round_before)
        if self._journal is not None:
            await self._journal.commit()
        riding = None
        for parcel in parcels:
            assert parcel.message is not None
            neighbor = self.neighbors[parcel.message.receiver]
            if riding is None and neighbor.name == answering and neighbor.url is not None:
                riding = parcel
            else:
                await self._post(neighbor, parcel)
        self._check_over()
        return riding

    async def _post(self, neighbor: Neighbor, parcel: Parcel) -> None:
        neighbor.add(parcel)
        if neighbor.url is None and len(neighbor.parcels) > self.hosting.limits.outbox_messages:
            await self._give_up(neighbor.parcels.popleft())

    async def _give_up(self, parcel: Parcel) -> None:
        self._undelivered.pop(parcel, None)
        if parcel.message is not None:
            await self._react(self.peer.send_failed, parcel.message)

    async def _train(self, job: Train) -> None:
        if self.state == "waiting":
            self.state = "training"
        update = await self.room.train(job)
        self.state = "waiting"
        self._training = None
        self.training_metrics = update.metrics
        self._watcher.trained(self, update)
        await self._react(self.peer.training_finished, update)

    def _set_alarm(self, time: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(self._began + time, self._ring, time)

    def _ring(self, time: float) -> None:
        self._earliest_now = max(self._earliest_now, time)  # a loop may call a clock tick too early
        self._spawn(self._wake())

    async def _wake(self) -> None:
        await self._react(self.peer.wake)

    def _check_over(self) -> None:
        """When nothing is left to do: say goodbye, and end when all neighbors have, too."""
        if not (self.peer.is_drained and self._training is None and not self._undelivered):
            return
        if not self._is_drained:
            self._is_drained = True
            self._spawn(self._linger())
            for neighbor in self.neighbors.values():
                neighbor.add(Parcel(Purpose.FINISHED))
        if all(neighbor.said_goodbye and neighbor.was_told for neighbor in self.neighbors.values()):
            self._over.set()

    async def _linger(self) -> None:
        await asyncio.sleep(self.hosting.linger)
        self._over.set()

    async def _take(self) -> tuple[Arrays, Mapping[str, Any]]:
        """The present state, for a checkpoint."""
        async with self._lock:
            messages = {str(i): parcel.message for i, parcel in enumerate(self._undelivered) if parcel.message}
            values = {"time": self.now(), "run": self.facts.run_id}
            return compose(values, {"peer": self.peer.snapshot(), "mail": snapshot_of_messages(messages)})

    # Outwards

    async def _courier(self, neighbor: Neighbor) -> None:
        """Deliver what is for one neighbor, in order, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            neighbor.waiting.clear()
            if not neighbor.parcels:
                await neighbor.waiting.wait()
                continue
            if (pause := neighbor.not_before - loop.time()) > 0:
                await self._fail_messages(neighbor)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await neighbor.waiting.wait()
                continue
            parcel = neighbor.parcels[0]
            try:
                answer = await self._client.deliver(neighbor, parcel)
            except Refused as refused:
                neighbor.refusals[refused.reason] += 1
                _LOGGER.warning("%s", refused)
                neighbor.parcels.remove(parcel)
                neighbor.was_told |= parcel.purpose in _GOODBYES
                await self._give_up(parcel)
            except TransportError as error:
                await self._unreachable(neighbor, error)
            else:
                neighbor.parcels.remove(parcel)
                self._undelivered.pop(parcel, None)
                neighbor.was_told |= parcel.purpose in _GOODBYES
                await self._take_answer(neighbor, answer)
            self._check_over()

    async def _unreachable(self, neighbor: Neighbor, error: TransportError) -> None:
        """Leave a neighbor alone for a while; what waits for it has failed, but a goodbye is said when it is back."""
        loop = asyncio.get_running_loop()
        longest = min(0.1 * 2.0 ** min(neighbor.num_failures, 30), self.hosting.limits.max_backoff)
        if neighbor.num_failures == 0:
            _LOGGER.info("%s", error)
        neighbor.lost(loop.time() + longest * self._generator.uniform(0.5, 1.0))
        if neighbor.said_goodbye:
            neighbor.taken(_GOODBYES)
            neighbor.was_told = True
        await self._fail_messages(neighbor)

    async def _fail_messages(self, neighbor: Neighbor) -> None:
        for parcel in neighbor.taken((Purpose.MESSAGE,)):
            await self._give_up(parcel)

    async def _poll(self, neighbor: Neighbor) -> None:
        """Fetch what a neighbor has for this peer, which others cannot reach; for ever."""
        while True:
            try:
                answer = await self._client.deliver(neighbor, Parcel(Purpose.POLL))
            except TransportError as error:
                if not isinstance(error, Refused):
                    await self._unreachable(neighbor, error)
                pause = max(0.5, neighbor.not_before - asyncio.get_running_loop().time())
                await asyncio.sleep(pause * self._generator.uniform(0.5, 1.0))
            else:
                await self._take_answer(neighbor, answer)

    async def _take_answer(self, neighbor: Neighbor, answer: Answer | None) -> None:
        if answer is None:
            return
        if answer.envelope.purpose in _GOODBYES:
            neighbor.goodbye(answer.envelope.purpose)
            self._check_over()
        if answer.message is not None:
            try:
                await self._react(self.peer.receive, answer.message)
            except RemoteProtocolError as error:
                self._refuse(neighbor.name, Refusal("against_protocol", str(error)))

    # Inwards

    async def _handle(self, envelope: Envelope, message: Message | None) -> Wrapped | None:
        """What the server calls with a request that is in order; gives what rides in the answer."""
        MESSAGE.set(f"{envelope.sender}/{envelope.incarnation}/{envelope.counter}")
        neighbor = self.neighbors[envelope.sender]
        neighbor.heard(envelope.session, asyncio.get_running_loop().time())
        neighbor.received_bytes += envelope.size
        riding = None
        if message is not None:
            riding = await self._receive(message)
        elif envelope.purpose in _GOODBYES:
            neighbor.goodbye(envelope.purpose)
            self._check_over()
        if neighbor.url is None:
            riding = await self._next_for(neighbor, envelope)
        return None if riding is None else await self._sealer.wrap(neighbor, riding)

    async def _receive(self, message: Message) -> Parcel | None:
        await self._started.wait()
        if self._over.is_set():
            raise Refusal("stopping")
        try:
            riding = await self._react(self.peer.receive, message, answering=message.sender)
        except RemoteProtocolError as error:
            raise Refusal("against_protocol", str(error)) from None
        return riding

    async def _next_for(self, neighbor: Neighbor, envelope: Envelope) -> Parcel | None:
        """The oldest parcel for a neighbor that polls, after those are dropped that are known to have arrived."""
        while neighbor.parcels and 0 < neighbor.parcels[0].counter <= envelope.received:
            parcel = neighbor.parcels.popleft()
            self._undelivered.pop(parcel, None)
        self._check_over()
        if envelope.purpose is Purpose.POLL and not neighbor.parcels:
            neighbor.waiting.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.hosting.limits.poll_seconds):
                    await neighbor.waiting.wait()
        return neighbor.parcels[0] if neighbor.parcels else None

    def _answered(self, envelope: Envelope, wrapped: Wrapped, is_written: bool) -> None:
        """What rode in an answer has left, or has to go another way."""
        neighbor = self.neighbors[envelope.sender]
        neighbor.sent += wrapped.size
        neighbor.num_messages += wrapped.parcel.message is not None
        if wrapped.parcel.purpose in _GOODBYES:
            # It polls, and nothing tells whether it has read this; it will poll again, or be gone.
            neighbor.parcels.remove(wrapped.parcel)
            neighbor.was_told = True
            self._check_over()
        elif neighbor.url is not None:
            if is_written:
                self._undelivered.pop(wrapped.parcel, None)
                self._check_over()
            else:
                neighbor.add(wrapped.parcel)

    def _refuse(self, sender: PeerId, refusal: Refusal) -> None:
        self.refusals[refusal.reason] += 1
        _LOGGER.log(
            logging.WARNING if sender else logging.DEBUG,
            "refused what %s sent: %s (%s)",
            sender or "a stranger",
            refusal.reason,
            refusal.detail,
        )

    def _log_facts(self) -> Mapping[str, str | int]:
        return {"peer": self.peer.peer_id, "round": self.peer.round}

    def _contact_changed(self, neighbor: Neighbor, event: str) -> None:
        _LOGGER.info("%s is %s", neighbor.name, event)
        self._watcher.contact(self, neighbor.name, event)
