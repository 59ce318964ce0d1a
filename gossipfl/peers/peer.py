"""The contract of every peer.

Rule 1: a peer never reads a clock, sleeps, or touches a socket, file, thread, training framework or global random
state. Time, messages and what comes of jobs come in as arguments; what it wants comes out as actions.
Rule 2: a peer does not know which engine runs it.
Rule 3: of a peer, one job at most is outstanding, and its outcome comes in once.
"""

from typing import Protocol

from gossipfl.actions import Action, Job, Outcome
from gossipfl.messages import Message
from gossipfl.peers.standing import Standing
from gossipfl.snapshot import Snapshot
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId, Vector


class Peer(Protocol):
    """A state machine that works on something of its own, a model or numbers, and talks to its neighbors.

    All times are in seconds on the engine's clock.
    """

    @property
    def peer_id(self) -> PeerId: ...

    @property
    def value(self) -> Vector:
        """The vector on which all come to agree: weights, or numbers. Another array whenever it has changed."""
        ...

    @property
    def standing(self) -> Standing | None:
        """The model and the work that it is measured by; None: it has no model."""
        ...

    @property
    def num_rounds(self) -> int:
        """Rounds of the protocol after which it has finished, at the latest."""
        ...

    @property
    def round(self) -> int:
        """Rounds of the protocol that are over for it."""
        ...

    @property
    def rounds_done(self) -> int:
        """The rounds in which it did its local work; of a server, rounds of work per client that came in."""
        ...

    @property
    def finished(self) -> bool:
        """True if it begins no more rounds; it may still have exchanges to drain."""
        ...

    @property
    def is_drained(self) -> bool:
        """True if it has finished and waits for nothing any more: nobody owes it an answer."""
        ...

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        """The neighbors without whom it does not go on now, in node order: who has not sent or answered yet. Empty
        while a job of its own runs, and for peers that never wait."""
        ...

    @property
    def num_open(self) -> int:
        """Exchanges to which a peer that has finished has no answer yet. One that a run ends with may be applied at its
        other end alone."""
        ...

    @property
    def outstanding(self) -> Job | None:
        """The job whose outcome it waits for."""
        ...

    def start(self, now: float) -> list[Action]:
        """Begin, or go on after `restore`: what was asked for and not yet answered is asked for again."""
        ...

    def receive(self, message: Message, now: float) -> list[Action]:
        """A message has arrived. Raises RemoteProtocolError, with nothing changed, when it breaks the rules."""
        ...

    def completed(self, outcome: Outcome, now: float) -> list[Action]:
        """The outstanding job is over: this came of it, or it failed. Raises LocalProtocolError when that is the
        outcome of another job, and the failure itself when the peer cannot go on after it."""
        ...

    def wake(self, now: float) -> list[Action]:
        """The time of the last `WakeAt` has come; at any other time this is harmless."""
        ...

    def send_failed(self, message: Message, now: float) -> list[Action]:
        """A message could not be delivered, as far as the engine knows; it may have been delivered all the same."""
        ...

    def neighbors_changed(self, neighbors: Neighbors, now: float) -> list[Action]:
        """These, and nobody else, are its neighbors from now on: others it sends nothing to, awaits nothing from, and
        refuses to hear. Before `start` what it asks for may be dropped: `start` asks again.

        Raises ConfigurationError, with nothing changed, when its algorithm cannot go on with these.
        """
        ...

    def snapshot(self) -> Snapshot:
        """Everything needed to go on from here to the same bits."""
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Become the peer that the snapshot was taken of."""
        ...
