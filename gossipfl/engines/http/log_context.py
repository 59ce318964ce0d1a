"""The speaker of a log line: set by the engine where its tasks begin, read by whoever formats the lines."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar

Facts = Mapping[str, str | int]

SPEAKER: ContextVar[Callable[[], Facts]] = ContextVar("SPEAKER", default=dict)
"""Gives the peer that speaks, and its round at this moment."""

MESSAGE: ContextVar[str] = ContextVar("MESSAGE", default="")
"""The message that is being handled: sender/incarnation/counter of its envelope."""


def facts() -> dict[str, str | int]:
    """Peer, round and message id of the line that is being written, as far as there are any."""
    found = dict(SPEAKER.get()())
    if message := MESSAGE.get():
        found["message"] = message
    return found
