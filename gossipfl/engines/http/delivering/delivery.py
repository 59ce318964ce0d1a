"""Hosts the correspondences with all neighbors: drains what they want done, tells them what came of it, and wakes them.

None of the rules of delivery is here: they are in `correspondence.py`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from math import inf
from typing import Any

from gossipfl.engines.http.delivering.asks import Fail, Hand, Meet, Post, TakeIn, Tell
from gossipfl.engines.http.delivering.client import Client
from gossipfl.engines.http.delivering.correspondence import Correspondence
from gossipfl.engines.http.delivering.letters import Answer, Letter, NotTaken, Parcel, Traffic
from gossipfl.engines.http.wire.envelope import Envelope, Purpose
from gossipfl.errors import TransportError
from gossipfl.messages import Kind, Message
from gossipfl.snapshot import Snapshot, compose, messages_of_snapshot, part, snapshot_of_messages
from gossipfl.weights import PeerId

_LOGGER = logging.getLogger(__name__)

RIDING = frozenset({Kind.REPLY, Kind.DECLINE, Kind.ACKNOWLEDGE})
"""These may ride in the answer to a request. Nothing tells whether an answer has arrived, but a request whose answer
got lost has failed, and when it is repeated it brings these again."""

GOODBYE_SECONDS = 2.0
"""Seconds for saying goodbye before leaving: a process that is asked to stop should end within 5 s."""


class Delivery:
    """Delivers messages and goodbyes to `neighbors`; what that takes beside, its owner gives.

    `failed` tells the peer of a message that may not have arrived, and has it forgotten in the same step; `came` takes
    in what comes back in answers, and returns when that is on disk; `settled` is called whenever there is less to
    deliver, and `contact_changed` when a neighbor is "reachable" or "unreachable", or has "left". `spawn` lets work
    run.
    """

    def __init__(
        self,
        neighbors: Mapping[PeerId, Correspondence],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        failed: Callable[[Parcel], Coroutine[Any, Any, None]],
        came: Callable[[PeerId, Answer], Coroutine[Any, Any, None]],
        settled: Callable[[], None],
        contact_changed: Callable[[PeerId, str], None],
    ) -> None:
        self._neighbors = neighbors
        self._spawn = spawn
        self._failed = failed
        self._came = came
        self._settled = settled
        self._contact_changed = contact_changed
        self._client: Client | None = None
        self._alarms: dict[PeerId, asyncio.TimerHandle] = {}
        self._progress = asyncio.Event()

    # What the peer does

    def begin(self, client: Client) -> None:
        """Let all that is and will be said leave by `client`."""
        self._client = client
        for neighbor in self._neighbors.values():
            neighbor.begin(_now())
            self._carry_on(neighbor)

    def end(self) -> None:
        """Let nothing leave any more; what is under way is for its owner to stop."""
        for neighbor in self._neighbors.values():
            neighbor.end()
            self._carry_on(neighbor)

    @property
    def undelivered(self) -> list[Message]:
        """Messages that have been said and may not have arrived; a checkpoint holds them."""
        return [
            parcel.message
            for neighbor in self._neighbors.values()
            for parcel in neighbor.undelivered
            if parcel.message is not None
        ]

    def note(self, message: Message) -> Parcel:
        """A parcel for a message that the peer has said; `send` it when a checkpoint knows of it."""
        return self._neighbors[message.receiver].note(message)

    def send(self, parcel: Parcel) -> None:
        """Let a message leave."""
        neighbor = self._of(parcel)
        neighbor.send(parcel)
        self._carry_on(neighbor)

    def forget(self, parcel: Parcel) -> None:
        """The peer has taken back a message that has failed."""
        self._of(parcel).forget(parcel)

    def say_finished(self) -> None:
        """Say goodbye to all who were not told yet."""
        for neighbor in self._neighbors.values():
            neighbor.say_finished()
            self._carry_on(neighbor)

    async def say_leaving(self, client: Client) -> None:
        """Tell all who can be told that this peer leaves: its last words in this life."""
        self._client = client
        for neighbor in self._neighbors.values():
            neighbor.leave(_now())
            self._carry_on(neighbor)
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                while any(neighbor.is_leaving for neighbor in self._neighbors.values()):
                    self._progress.clear()
                    await self._progress.wait()

    def snapshot(self) -> Snapshot:
        """Its part of a checkpoint: what may not have arrived, what has come and gone, who has said goodbye, and who
        has heard ours."""
        neighbors = self._neighbors.values()
        values = {
            "traffic": {neighbor.name: neighbor.traffic for neighbor in neighbors},
            "finished": [neighbor.name for neighbor in neighbors if neighbor.contact == "finished"],
            "told": [neighbor.name for neighbor in neighbors if neighbor.was_told and neighbor.contact != "revoked"],
        }
        mail = {str(i): message for i, message in enumerate(self.undelivered)}
        return compose(values, {"mail": snapshot_of_messages(mail)})

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot; to one that was revoked since, nothing is said any more."""
        values = snapshot[1]
        for name, traffic in values["traffic"].items():
            has_finished, was_told = name in values["finished"], name in values["told"]
            self._neighbors[name].restore(Traffic(*traffic), has_finished=has_finished, was_told=was_told)
        for message in messages_of_snapshot(part("mail", snapshot)).values():
            if self._neighbors[message.receiver].contact != "revoked":
                self.send(self.note(message))

    # What neighbors do

    def arrived(self, neighbor: Correspondence, envelope: Envelope) -> None:
        """A request that is in order has come."""
        neighbor.came(envelope, _now())
        self._carry_on(neighbor)

    async def fetched(self, neighbor: Correspondence, envelope: Envelope) -> Letter | None:
        """The message that goes in the answer to a neighbor that polls."""
        self._settled()
        if envelope.purpose is not Purpose.POLL:  # a poll of this neighbor waits here at the same time
            return None
        poll: asyncio.Future[Letter | None] = asyncio.get_running_loop().create_future()
        neighbor.polled(poll, _now())
        self._carry_on(neighbor)
        return await poll

    def answered(self, neighbor: Correspondence, parcel: Parcel, size: int, is_written: bool) -> None:
        """Note that what rode in an answer has left, or has to go another way."""
        neighbor.rode(parcel, size, is_written)
        self._carry_on(neighbor)
        self._settled()

    # What is to be done

    def _carry_on(self, neighbor: Correspondence) -> None:
        """Do all that is to be done for a neighbor by now, and come back when more will be."""
        for ask in neighbor.drain(_now()):
            match ask:
                case Meet():
                    self._spawn(self._meet(neighbor, ask.parcel))
                case Post():
                    self._spawn(self._post(neighbor, ask.letter))
                case TakeIn():
                    self._spawn(self._take_in(neighbor, ask.parcel, ask.answer))
                case Fail():
                    self._spawn(self._failed(ask.parcel))
                case Hand():
                    assert isinstance(ask.poll, asyncio.Future)
                    if not ask.poll.done():  # else whoever waited for it is gone
                        ask.poll.set_result(ask.letter)
                case Tell():
                    self._contact_changed(neighbor.name, ask.event)
        if (alarm := self._alarms.pop(neighbor.name, None)) is not None:
            alarm.cancel()
        if (wake_at := neighbor.wake_at) < inf:
            loop = asyncio.get_running_loop()
            self._alarms[neighbor.name] = loop.call_at(wake_at, self._carry_on, neighbor)
        self._progress.set()

    async def _meet(self, neighbor: Correspondence, parcel: Parcel) -> None:
        assert self._client is not None
        assert neighbor.url is not None
        try:
            told = await self._client.meet(neighbor.name, neighbor.url)
        except TransportError as error:
            self._unreachable(neighbor, parcel, error)
        else:
            if isinstance(told, NotTaken):
                self._not_taken(neighbor, parcel, told)
            else:
                neighbor.met(told, _now(), parcel)
        self._went_on(neighbor)

    async def _post(self, neighbor: Correspondence, letter: Letter) -> None:
        assert self._client is not None
        assert neighbor.url is not None

        def responded(session: str, size: int) -> None:
            neighbor.responded(letter, session, size, _now())

        try:
            told = await self._client.post(neighbor.url, letter, responded)
        except TransportError as error:
            self._unreachable(neighbor, letter.parcel, error)
        else:
            if isinstance(told, NotTaken):
                self._not_taken(neighbor, letter.parcel, told)
            else:
                neighbor.arrived(letter.parcel, told, _now())
        self._went_on(neighbor)

    async def _take_in(self, neighbor: Correspondence, parcel: Parcel, answer: Answer) -> None:
        await self._came(neighbor.name, answer)
        neighbor.taken_in(parcel, answer, _now())
        self._went_on(neighbor)

    def _unreachable(self, neighbor: Correspondence, parcel: Parcel, error: TransportError) -> None:
        if neighbor.num_failures == 0:
            _LOGGER.info("%s", error)
        neighbor.unreachable(parcel, _now())

    def _not_taken(self, neighbor: Correspondence, parcel: Parcel, said: NotTaken) -> None:
        if neighbor.not_taken(parcel, said, _now()) and parcel.purpose is not Purpose.POLL:
            _LOGGER.warning("%s", said.by(neighbor.name))

    def _went_on(self, neighbor: Correspondence) -> None:
        self._carry_on(neighbor)
        self._settled()

    def _of(self, parcel: Parcel) -> Correspondence:
        assert parcel.message is not None
        return self._neighbors[parcel.message.receiver]


def _now() -> float:
    return asyncio.get_running_loop().time()
