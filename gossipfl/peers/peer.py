"""The contract of every peer.

Rule 1: a peer never reads a clock, sleeps, or touches a socket, file, thread, training framework or global random
state. Time, messages and trained weights come in as arguments; what it wants comes out as actions.
Rule 2: a peer does not know which engine runs it.
"""

from abc import ABC, abstractmethod

from gossipfl.actions import Action, Update
from gossipfl.messages import Message
from gossipfl.peers.local_model import LocalModel
from gossipfl.peers.snapshot import Snapshot
from gossipfl.weights import ModelVectors, PeerId, Vector


class Peer(ABC):
    """A state machine that trains its own model and talks to its neighbors.

    `local` is its model and training state, `round` the number of local rounds it has completed, `finished` says that
    it wants no more training (it may still have exchanges to drain). All times are in seconds on the engine's clock.
    """

    peer_id: PeerId
    local: LocalModel
    round: int
    finished: bool

    def __init__(self, local: LocalModel) -> None:
        self.peer_id = local.peer_id
        self.local = local
        self.round = 0
        self.finished = False

    @property
    def weights(self) -> Vector:
        return self.local.weights

    @property
    def model(self) -> ModelVectors:
        """Weights and statistics, as they are now."""
        return ModelVectors(self.local.weights, self.local.statistics)

    @property
    def is_drained(self) -> bool:
        """Whether it has finished and waits for nothing any more: nobody owes it an answer."""
        return self.finished

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        """Those without whom it does not go on at the moment, in node order: who has not sent or answered yet. Empty
        while it trains, and for peers that never wait."""
        return ()

    @abstractmethod
    def start(self, now: float) -> list[Action]:
        """Begin, or go on after `restore`: what was asked for and not yet answered is asked for again."""

    @abstractmethod
    def receive(self, message: Message, now: float) -> list[Action]:
        """A message has arrived. Raises RemoteProtocolError, with nothing changed, when it breaks the rules."""

    @abstractmethod
    def training_finished(self, update: Update, now: float) -> list[Action]:
        """The outstanding `Train` is done. Raises LocalProtocolError when this is not its update."""

    @abstractmethod
    def wake(self, now: float) -> list[Action]:
        """The time of the last `WakeAt` has come; at any other time this is harmless."""

    @abstractmethod
    def send_failed(self, message: Message, now: float) -> list[Action]:
        """A message could not be delivered, as far as the engine knows; it may have been delivered all the same."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Everything needed to go on from here to the same bits."""

    @abstractmethod
    def restore(self, snapshot: Snapshot) -> None:
        """Become the peer that the snapshot was taken of."""
