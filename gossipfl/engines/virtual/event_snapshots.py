"""The events of a simulator's heap, and how they are written as values and arrays and read again."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeAlias

from numpy.typing import NDArray

from gossipfl.engines.virtual.network import Transfer
from gossipfl.messages import Message
from gossipfl.snapshot import Snapshot, message_of_snapshot, snapshot_of_message
from gossipfl.weights import PeerId


class EventKind(StrEnum):
    """The thing that happens to the subject of an event."""

    ALARM = "alarm"
    """A peer is woken, if it still wishes to be."""
    JOB_OVER = "job over"
    """A peer's outstanding job, training or evaluation, ends."""
    AT_DOWNLINK = "at downlink"
    """The first byte of a transfer reaches the receiver's queue."""
    ARRIVAL = "arrival"
    """The last byte of a transfer arrives."""
    SEND_FAILED = "send failed"
    """The sender of a message learns that it did not arrive."""


Event: TypeAlias = tuple[float, int, EventKind, Any]
"""An event has a time, a number in the order of scheduling, a kind, and a subject: a peer, a message, a transfer."""

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


def snapshot_of_events(heap: Sequence[Event]) -> tuple[list[Mapping[str, Any]], Mapping[str, Snapshot]]:
    """The events in the order of the heap, JSON-ready, and by their numbers the messages that they are about."""
    events: list[Mapping[str, Any]] = [
        {"time": time, "number": number, "kind": kind, "subject": _described(subject)}
        for time, number, kind, subject in heap
    ]
    messages = {
        str(number): snapshot_of_message(message)
        for _, number, _, subject in heap
        if (message := _message_of(subject)) is not None
    }
    return events, messages


def events_of_snapshot(
    events: Iterable[Mapping[str, Any]],
    messages: Mapping[str, Mapping[str, Any]],
    arrays: Mapping[str, Arrays],
) -> list[Event]:
    """The heap of a snapshot, with the values and the arrays of its messages."""
    heap: list[Event] = []
    for event in events:
        number, subject = event["number"], event["subject"]
        if str(number) in messages:
            message = message_of_snapshot((arrays.get(str(number), {}), messages[str(number)]))
            subject = message if subject is None else Transfer(message, *subject)
        heap.append((event["time"], number, EventKind(event["kind"]), subject))
    heapq.heapify(heap)
    return heap


def _message_of(subject: PeerId | Message | Transfer) -> Message | None:
    """The message that an event is about, if it is about one."""
    if isinstance(subject, Transfer):
        return subject.message
    return subject if isinstance(subject, Message) else None


def _described(subject: PeerId | Message | Transfer) -> PeerId | Sequence[float] | None:
    """What an event is about, its message apart."""
    if isinstance(subject, Transfer):
        return [subject.num_bytes, subject.first_byte, subject.last_byte]
    return None if isinstance(subject, Message) else subject
