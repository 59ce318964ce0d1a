"""The events in the life of one peer, as a program that hosts it is told of them."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from gossipfl.agreements import Agreement
from gossipfl.scores import Score
from gossipfl.weights import PeerId

MOST_WAITING = 1000
"""Events that wait for a reader at most. Higher: a slower reader misses nothing, at the expense of memory."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A round of local work has ended; `metrics` are the means over its `num_examples`, the loss among them."""

    round: int
    num_examples: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RoundOver:
    """A round of the protocol is over: it is in `round` from now on."""

    round: int


@dataclass(frozen=True, slots=True)
class Measured:
    """The peer's own model as it was after `round` has this score; None for a server that reads nothing."""

    round: int
    score: Score | None


@dataclass(frozen=True, slots=True)
class ContactChanged:
    """A neighbor became "unreachable" or "reachable", or has "left"."""

    neighbor: PeerId
    contact: str


@dataclass(frozen=True, slots=True)
class CameToKnow:
    """The peer has come to know how good all peers' models are."""

    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Missed:
    """So many older events were dropped, because nobody has read them in time."""

    num_events: int


PeerEvent: TypeAlias = Trained | RoundOver | Measured | ContactChanged | CameToKnow | Missed


class EventStream:
    """The events of a peer from now on, in order, until it is over: an asynchronous iterator for one reader."""

    def __init__(self) -> None:
        self._waiting: deque[PeerEvent] = deque()
        self._num_missed = 0
        self._is_over = False
        self._news = asyncio.Event()

    def put(self, event: PeerEvent) -> None:
        """Tell the reader, and drop the oldest that waits where there are too many."""
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            self._num_missed += 1
        self._waiting.append(event)
        self._news.set()

    def end(self) -> None:
        """There are no more."""
        self._is_over = True
        self._news.set()

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> PeerEvent:
        while not self._waiting:
            if self._is_over:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        if self._num_missed:
            missed, self._num_missed = Missed(self._num_missed), 0
            return missed
        return self._waiting.popleft()
