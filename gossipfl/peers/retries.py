"""Messages that could not be delivered and are sent again a little later."""

from collections.abc import Callable

from gossipfl.actions import Action, Send, WakeAt
from gossipfl.messages import Kind, Message
from gossipfl.snapshot import Snapshot, compose, messages_of_snapshot, part, snapshot_of_messages
from gossipfl.weights import PeerId

RETRY_DELAY = 1.0
"""Seconds between a failed delivery and the next try (the probe interval of memberlist on a LAN)."""


class Retries:
    """The undelivered messages of one peer, and when it is time to send them again."""

    def __init__(self) -> None:
        self._messages: dict[tuple[PeerId, Kind, int], Message] = {}  # one per receiver, kind and round
        self.time: float | None = None

    def add(self, message: Message, now: float) -> None:
        self._messages[message.receiver, message.kind, message.round] = message
        if self.time is None:  # never put off: else a steady stream of failures would keep the first from its retry
            self.time = now + RETRY_DELAY

    def due(self, now: float, is_wanted: Callable[[Message], bool]) -> list[Action]:
        """The messages to send again now; those that nobody wants any more are forgotten."""
        if self.time is None or now < self.time:
            return []
        messages, self._messages, self.time = self._messages, {}, None
        return [Send(message) for message in messages.values() if is_wanted(message)]

    def snapshot(self) -> Snapshot:
        messages = {str(i): message for i, message in enumerate(self._messages.values())}
        return compose({"time": self.time}, {"messages": snapshot_of_messages(messages)})

    def restore(self, snapshot: Snapshot) -> None:
        self.time = snapshot[1]["time"]
        messages = messages_of_snapshot(part("messages", snapshot)).values()
        self._messages = {(message.receiver, message.kind, message.round): message for message in messages}


def wake_at_first(*times: float | None) -> list[Action]:
    """A wake-up at the earliest of the times that are set."""
    wanted = [time for time in times if time is not None]
    return [WakeAt(min(wanted))] if wanted else []
