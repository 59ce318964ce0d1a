"""A peer gives something away, and it arrives exactly once.

A push is kept, unchanged, until its receipt has come: choosing its receiver again, after a back-off, repeats it instead
of giving anew; see `exchanges` for the laws. Whoever finishes repeats what is left.
"""

from collections.abc import Callable

import numpy as np

from gossipfl.actions import Action, Send
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import ExchangeId, Kind, Message
from gossipfl.peers.exchanges import Exchanges
from gossipfl.peers.random_neighbors import Backoff, RandomNeighbors
from gossipfl.snapshot import Snapshot, compose, messages_of_snapshot, part, snapshot_of_messages
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId

LEAST_MASS = 2.0**-500
"""A peer with less mass keeps it: halves and ratios of masses stay far from where floats lose precision."""

_ROUNDING = 1e-9


def check_mass(push: Message, own: float, total: float) -> None:
    """Raises RemoteProtocolError for a push whose mass would be more, with one's own, than all peers have."""
    mass = push.number("mass")
    if own + mass > total * (1 + _ROUNDING):
        raise RemoteProtocolError(
            f"peer {push.sender} pushes a mass of {mass}; with {own} here it would be more than all peers have "
            f"({total})"
        )


class Pushes:
    """The pushes of one peer to others, and what it has decided on theirs.

    `make` makes a new one. `apply` takes in what another peer has given away; it is called once for each push, and
    raises RemoteProtocolError, with nothing changed, for one that breaks the rules.
    """

    def __init__(
        self,
        peer_id: PeerId,
        neighbors: Neighbors,
        backoff: Backoff,
        generator: np.random.Generator,
        make: Callable[[ExchangeId], Message],
        apply: Callable[[Message], list[Action]],
    ) -> None:
        self._peer_id = peer_id
        self._neighbors = neighbors
        self._random_receivers = RandomNeighbors(neighbors.receivers, backoff, generator)
        self._exchanges = Exchanges(peer_id)
        self._open: dict[PeerId, Message] = {}  # by receiver: at most one that has no receipt yet
        self._make = make
        self._apply = apply

    @property
    def unconfirmed(self) -> list[PeerId]:
        """Neighbors that have not confirmed a push; of one that is gone, no receipt is awaited."""
        return [receiver for receiver in self._open if receiver in self._neighbors.receivers]

    def push(self, now: float, *, has_something: bool) -> list[Action]:
        """Push to a random receiver that is not left alone for now: anew if there `has_something` to give, or again."""
        receiver = self._random_receivers.choose(now)
        if receiver is None or not (has_something or receiver in self._open):
            return []
        self._random_receivers.leave_alone(receiver, now)
        return [self._to(receiver)]

    def drain(self, now: float) -> list[Action]:
        """Repeat what has no receipt yet, and wake for the rest."""
        return self._random_receivers.drain(self.unconfirmed, self._to, now)

    def _to(self, receiver: PeerId) -> Send:
        if receiver not in self._open:
            self._open[receiver] = self._make(self._exchanges.open(receiver))
        return Send(self._open[receiver])

    def receive(self, message: Message, round: int) -> list[Action]:
        """Apply a neighbor's push, if it is new, and confirm it; or forget the push whose receipt this is.

        Raises RemoteProtocolError, with nothing changed, for any other message, and as `apply` does.
        """
        if message.kind is Kind.ACKNOWLEDGE and message.sender in self._neighbors.receivers:
            if self._exchanges.resolve(message):
                del self._open[message.sender]
                self._random_receivers.answered(message.sender)
            return []
        if message.kind is not Kind.PUSH or message.sender not in self._neighbors.senders:
            raise RemoteProtocolError(f"peer {self._peer_id} expects no {message.kind} from peer {message.sender}")
        decision = self._exchanges.decision(message)
        if decision == "old":  # its sender is known to have the receipt
            return []
        actions: list[Action] = []
        if decision == "new":
            actions = self._apply(message)
            decision = Message(self._peer_id, message.sender, Kind.ACKNOWLEDGE, round, message.exchange)
            self._exchanges.decide(decision)
        return [*actions, Send(decision)]

    def meet(self, neighbors: Neighbors) -> None:
        """Push to these and hear from these, and nobody else."""
        self._neighbors = neighbors
        self._random_receivers.meet(neighbors.receivers)

    def snapshot(self) -> Snapshot:
        parts = {
            "receivers": self._random_receivers.snapshot(),
            "exchanges": self._exchanges.snapshot(),
            "open": snapshot_of_messages(self._open),
        }
        return compose({}, parts)

    def restore(self, snapshot: Snapshot) -> None:
        self._random_receivers.restore(part("receivers", snapshot))
        self._exchanges.restore(part("exchanges", snapshot))
        self._open = messages_of_snapshot(part("open", snapshot))
