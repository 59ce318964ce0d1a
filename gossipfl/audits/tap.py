"""A tap on a simulation: everything that reaches a place, in its order, and nothing else.

A place that follows the protocol and is curious knows two things: what comes over the wire, and what its own layers
make of it (the sum of a secure aggregation, say). So each peer is tapped twice: where its engine gives it messages, and
at the peer inside all that wraps it.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gossipfl.actions import Action
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
    was given when that was `opened`."""

    envelopes: list[Envelope] = field(default_factory=list)
    wire: dict[PeerId, list[Message]] = field(default_factory=lambda: defaultdict(list))
    opened: dict[PeerId, list[Message]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def on(cls, simulator: Simulator) -> "Tap":
        """A tap on all peers of a simulation that has not begun."""
        tap = cls()
        for peer in simulator.peers.values():
            _hear(innermost(peer), tap._open)
            _hear(peer, tap._note)
        return tap

    def _note(self, message: Message, now: float) -> None:
        self.envelopes.append(Envelope(now, message.sender, message.receiver, encoded_size(message)))
        self.wire[message.receiver].append(message)

    def _open(self, message: Message, now: float) -> None:
        self.opened[message.receiver].append(message)


def innermost(peer: Peer) -> Peer:
    """The peer inside all that wraps it."""
    inner: Peer | None = getattr(peer, "inner", None)
    return peer if inner is None else innermost(inner)


def _hear(peer: Peer, note: Callable[[Message, float], None]) -> None:
    receive = peer.receive

    def heard(message: Message, now: float) -> list[Action]:
        note(message, now)
        return receive(message, now)

    attributes: dict[str, Any] = vars(peer)
    attributes["receive"] = heard  # of this one peer, before that of its class: whoever calls it is heard
