"""What a peer says, on its way to its neighbors: kept until it has arrived, or the peer knows that it has failed.

A courier for each neighbor that can be reached delivers one parcel after the other. A neighbor that cannot be reached
polls: the answer to a poll carries the oldest parcel, which is dropped when a later envelope of the neighbor tells that
it has arrived.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import islice

import numpy as np

from gossipfl.engines.http.delivering.client import Answer, Client, Refused
from gossipfl.engines.http.delivering.neighbor import GOODBYES, Neighbor, Parcel
from gossipfl.engines.http.wire.envelope import Envelope, Purpose
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.engines.http.wire.refusals import REASONS
from gossipfl.errors import TransportError
from gossipfl.messages import Kind, Message
from gossipfl.weights import PeerId

_LOGGER = logging.getLogger(__name__)

RIDING = frozenset({Kind.REPLY, Kind.DECLINE, Kind.ACKNOWLEDGE})
"""What may ride in the answer to a request. Nothing tells whether an answer has arrived, but a request whose answer got
lost has failed, and when it is repeated it brings these again."""

GONE_AFTER = 8
"""Failures in a row (some 15 s) after which a neighbor that has said goodbye is taken to be gone. Higher: one that was
killed has more time to be resumed and hear our goodbye, at the expense of ending later when it has heard it and only
its answer was lost."""

GOODBYE_SECONDS = 2.0
"""For saying goodbye before leaving: a process that is asked to stop should end within 5 s."""

POLLS_PER_SECOND = 10
"""At most, of a neighbor that has nothing and does not wait until it has."""


class Delivery:
    """Delivers messages and goodbyes to `neighbors`.

    `failed` is told of messages that may not have arrived, and drops them from `undelivered` in one step with telling
    the peer: a checkpoint between the two would hold them nowhere. `came` is told of what comes back in answers,
    `settled` whenever there is less to deliver. `generator` is for jitter.
    """

    def __init__(
        self,
        neighbors: Mapping[PeerId, Neighbor],
        limits: Limits,
        generator: np.random.Generator,
        failed: Callable[[Parcel], Awaitable[None]],
        came: Callable[[Neighbor, Answer], Awaitable[None]],
        settled: Callable[[], None],
    ) -> None:
        self.undelivered: dict[Parcel, None] = {}
        """Messages, in the order in which they were said; a checkpoint holds them."""
        self._neighbors = neighbors
        self._limits = limits
        self._generator = generator
        self._failed = failed
        self._came = came
        self._settled = settled

    def note(self, messages: list[Message]) -> list[Parcel]:
        """Parcels for messages that the peer has said; `send` them when a checkpoint knows of them."""
        parcels = [Parcel(Purpose.MESSAGE, message) for message in messages]
        self.undelivered.update(dict.fromkeys(parcels))
        return parcels

    async def send(self, parcel: Parcel) -> None:
        """Let a message leave. A neighbor that takes them more slowly than they are said gets the newest ones."""
        assert parcel.message is not None
        neighbor = self._neighbors[parcel.message.receiver]
        if neighbor.contact == "revoked":  # of a checkpoint from before: nothing is said to it since
            await self._failed(parcel)
            return
        neighbor.add(parcel)
        if len(neighbor.parcels) > self._limits.outbox_messages:
            # The first one may be on its way.
            oldest = next(waiting for waiting in islice(neighbor.parcels, 1, None) if waiting.message is not None)
            neighbor.discard(oldest)
            await self._failed(oldest)

    def say_finished(self) -> None:
        """Say goodbye to all who were not told yet."""
        for neighbor in self._neighbors.values():
            if not neighbor.was_told and all(parcel.purpose not in GOODBYES for parcel in neighbor.parcels):
                neighbor.add(Parcel(Purpose.FINISHED))

    async def say_leaving(self, client: Client) -> None:
        """Tell all who can be told that this peer leaves: its last words in this life."""

        async def tell(neighbor: Neighbor) -> None:
            with suppress(TransportError):
                await client.deliver(neighbor, Parcel(Purpose.LEAVING))

        reachable = [neighbor for neighbor in self._neighbors.values() if neighbor.url and neighbor.session]
        for neighbor in self._neighbors.values():
            if neighbor.url is None:
                neighbor.parcels.appendleft(Parcel(Purpose.LEAVING))  # for a poll that waits
                neighbor.waiting.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await asyncio.gather(*map(tell, reachable))

    # To neighbors that can be reached

    async def courier(self, client: Client, neighbor: Neighbor) -> None:
        """Deliver what is for one neighbor, in order, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            neighbor.waiting.clear()
            if not neighbor.parcels:
                await neighbor.waiting.wait()
            elif (pause := neighbor.not_before - loop.time()) > 0:
                await self._fail_messages(neighbor)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await neighbor.waiting.wait()
            else:
                await self._deliver(client, neighbor, neighbor.parcels[0])

    async def _deliver(self, client: Client, neighbor: Neighbor, parcel: Parcel) -> None:
        try:
            answer = await client.deliver(neighbor, parcel)
        except Refused as refused:
            _LOGGER.warning("%s", refused)
            # The neighbor gives the reason; it could make up any number of them.
            neighbor.refusals[refused.reason if refused.reason in REASONS else "other"] += 1
            neighbor.was_told |= parcel.purpose in GOODBYES
            neighbor.discard(parcel)
            if parcel.message is not None:
                await self._failed(parcel)
        except TransportError as error:
            await self._unreachable(neighbor, error)
        else:
            neighbor.was_told |= parcel.purpose in GOODBYES
            neighbor.discard(parcel)
            if answer is not None:
                await self._came(neighbor, answer)
            self.undelivered.pop(parcel, None)  # not before its answer is on disk: it would bring it again
        self._settled()

    async def _unreachable(self, neighbor: Neighbor, error: TransportError) -> None:
        """Leave a neighbor alone for a while; what waits for it has failed, but a goodbye is said when it is back."""
        longest = min(0.1 * 2.0 ** min(neighbor.num_failures, 30), self._limits.max_backoff)
        if neighbor.num_failures == 0:
            _LOGGER.info("%s", error)
        neighbor.lost(asyncio.get_running_loop().time() + longest * self._generator.uniform(0.5, 1.0))
        if neighbor.said_goodbye and neighbor.num_failures >= GONE_AFTER:
            neighbor.taken(GOODBYES)
            neighbor.was_told = True
        await self._fail_messages(neighbor)

    async def _fail_messages(self, neighbor: Neighbor) -> None:
        for parcel in neighbor.taken((Purpose.MESSAGE,)):
            await self._failed(parcel)

    # From a peer that cannot be reached

    async def poll(self, client: Client, neighbor: Neighbor) -> None:
        """Fetch what a neighbor has for this peer, which others cannot reach; for ever."""
        loop = asyncio.get_running_loop()
        while True:
            earliest = loop.time() + 1 / POLLS_PER_SECOND
            try:
                answer = await client.deliver(neighbor, Parcel(Purpose.POLL))
            except Refused:
                await asyncio.sleep(self._generator.uniform(0.5, 1.0))
            except TransportError as error:
                await self._unreachable(neighbor, error)
                self._settled()
                await asyncio.sleep(max(0.0, neighbor.not_before - loop.time()))
            else:
                if answer is None:
                    await asyncio.sleep(max(0.0, earliest - loop.time()))
                else:
                    await self._came(neighbor, answer)

    # To neighbors that poll

    async def fetched(self, neighbor: Neighbor, envelope: Envelope) -> Parcel | None:
        """What goes in the answer to a neighbor that polls; drops what has arrived."""
        while neighbor.parcels and 0 < neighbor.parcels[0].counter == envelope.received:
            parcel = neighbor.parcels.popleft()
            self.undelivered.pop(parcel, None)
            neighbor.was_told |= parcel.purpose in GOODBYES
        self._settled()
        if envelope.purpose is not Purpose.POLL:  # a poll of this neighbor waits here at the same time
            return None
        if not neighbor.parcels:
            neighbor.waiting.set()  # an earlier poll that still waits has been given up
            neighbor.waiting.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.poll_seconds):
                    await neighbor.waiting.wait()
        return neighbor.parcels[0] if neighbor.parcels else None

    def answered(self, neighbor: Neighbor, parcel: Parcel, size: int, is_written: bool) -> None:
        """What rode in an answer has left, or has to go another way."""
        if parcel.message is not None:
            neighbor.count_sent(size)
        if neighbor.url is None:
            return  # its next envelope confirms the arrival
        if is_written or len(neighbor.parcels) >= self._limits.outbox_messages:
            self.undelivered.pop(parcel, None)  # if it got lost, the neighbor asks again
        else:
            neighbor.add(parcel)
        self._settled()
