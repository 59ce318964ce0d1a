"""A tap on a simulation: everything that reaches a place, in its order, and nothing else.

A place that follows the protocol and is curious knows two things: what comes over the wire, and what its own layers
make of it (the sum of a secure aggregation, say). So each peer is tapped twice: where its engine gives it messages, and
at the peer inside all that wraps it. That one knows its own models, too.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gossipfl.actions import Action, Send
from gossipfl.codec.sizes import encoded_size
from gossipfl.engines.virtual.simulator import Simulator
from gossipfl.messages import Message
from gossipfl.peers import Peer
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class Envelope:
    """The part of a message that TLS leaves to an eavesdropper: who talks to whom, when, and how much."""

    time: float
    sender: PeerId
    receiver: PeerId
    num_bytes: int


@dataclass(eq=False, slots=True)
class Tap:
    """The messages of a run: `envelopes` of all, and by receiver what came over the `wire`, and what the peer inside
    was given when that was `opened`; by sender what the peer inside gave out to be `sent`."""

    envelopes: list[Envelope] = field(default_factory=list)
    wire: dict[PeerId, list[Message]] = field(default_factory=lambda: defaultdict(list))
    opened: dict[PeerId, list[Message]] = field(default_factory=lambda: defaultdict(list))
    sent: dict[PeerId, list[Message]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def on(cls, simulator: Simulator) -> "Tap":
        """A tap on all peers of a simulation that has not begun."""
        tap = cls()
        for peer in simulator.peers.values():
            inner = innermost(peer)
            _put_before(inner, "receive", on_input=tap._open, on_action=tap._say)
            _put_before(inner, "completed", on_action=tap._say)
            _put_before(peer, "receive", on_input=tap._note)
        return tap

    def _note(self, message: Message, now: float) -> None:
        self.envelopes.append(Envelope(now, message.sender, message.receiver, encoded_size(message)))
        self.wire[message.receiver].append(message)

    def _open(self, message: Message, now: float) -> None:
        self.opened[message.receiver].append(message)

    def _say(self, action: Action) -> None:
        if isinstance(action, Send):
            self.sent[action.message.sender].append(action.message)


def innermost(peer: Peer) -> Peer:
    """The peer inside all that wraps it."""
    inner: Peer | None = getattr(peer, "inner", None)
    return peer if inner is None else innermost(inner)


def _put_before(
    peer: Peer,
    name: str,
    *,
    on_input: Callable[[Any, float], None] = lambda given, now: None,
    on_action: Callable[[Action], None] = lambda action: None,
) -> None:
    """Have a method of this one peer tell what it is given, and which actions it wants, whoever calls it."""
    method = getattr(peer, name)

    def told(given: Any, now: float) -> list[Action]:
        on_input(given, now)
        actions: list[Action] = method(given, now)
        for action in actions:
            on_action(action)
        return actions

    attributes: dict[str, Any] = vars(peer)
    attributes[name] = told  # which is found before that of its class
