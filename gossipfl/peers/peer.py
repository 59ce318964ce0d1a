"""The contract of every peer.

Rule 1: a peer never reads a clock, sleeps, or touches a socket, file, thread, training framework or global random
state. Time, messages and trained weights come in as arguments; what it wants comes out as actions.
Rule 2: a peer does not know which engine runs it.
"""

from abc import ABC, abstractmethod

from gossipfl.actions import Action, Update, WentBack
from gossipfl.errors import TrainingError
from gossipfl.messages import Message
from gossipfl.peers.local_model import LocalModel
from gossipfl.snapshot import Snapshot
from gossipfl.weights import ModelVectors, PeerId, Vector


class Peer(ABC):
    """A state machine that trains its own model and talks to its neighbors.

    `local` is its model and training state, `round` the number of rounds of the protocol that are over for it,
    `finished` says that it wants no more training (it may still have exchanges to drain). All times are in seconds on
    the engine's clock.
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
    def rounds_done(self) -> int:
        """Those of its rounds in which it did its local work; of a server, rounds of work per client that came in."""
        return self.round

    @property
    def is_drained(self) -> bool:
        """Whether it has finished and waits for nothing any more: nobody owes it an answer."""
        return self.finished

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        """Those without whom it does not go on at the moment, in node order: who has not sent or answered yet. Empty
        while it trains, and for peers that never wait."""
        return ()

    @property
    def num_open(self) -> int:
        """Exchanges to which a peer that has finished has no answer yet. One that a run ends with may be applied at its
        other end alone."""
        return len(self.awaits) if self.finished else 0

    @abstractmethod
    def start(self, now: float) -> list[Action]:
        """Begin, or go on after `restore`: what was asked for and not yet answered is asked for again."""

    @abstractmethod
    def receive(self, message: Message, now: float) -> list[Action]:
        """A message has arrived. Raises RemoteProtocolError, with nothing changed, when it breaks the rules."""

    def training_finished(self, update: Update, now: float) -> list[Action]:
        """The outstanding `Train` is done. Raises LocalProtocolError when this is not its update."""
        if self._has_run_away(update):
            why = (
                f"local round {update.job + 1} of peer {self.peer_id!r} gave weights beyond the magnitude_bound "
                f"({self.local.sharing.magnitude_bound:g}); lower the learning rate or clip gradients (clipnorm)"
            )
            return self.training_failed(TrainingError(why, peer_id=self.peer_id, round=update.job), now)
        return self._go_on_from(update, now)

    def _has_run_away(self, update: Update) -> bool:
        """Whether training has to count as failed, though all that it gave is finite."""
        return self.local.has_run_away(update)

    def training_failed(self, error: TrainingError, now: float) -> list[Action]:
        """The outstanding `Train` has ended in NaN or infinity. Others' vectors that were mixed in since the one before
        are taken out again, and the round is trained anew; see `last_sound`. Raises `error` when they are not why."""
        undone = self.local.go_back(error)
        return [WentBack(undone, str(error)), *self._train_anew(undone)]

    @abstractmethod
    def _go_on_from(self, update: Update, now: float) -> list[Action]:
        """What follows on the training that gave `update`."""

    def _train_anew(self, undone: tuple[PeerId, ...]) -> list[Action]:
        """Train the round again, from weights that the model has gone back to: without what `undone` had sent, or, if
        that is nobody, the first ones."""
        return [self.local.train()]

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
