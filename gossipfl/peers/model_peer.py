"""The base of all peers that train a model: it, their rounds, and what becomes of training that failed."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from gossipfl.actions import Action, Job, Outcome, Scores, Update, WentBack
from gossipfl.errors import LocalProtocolError, TrainingError
from gossipfl.messages import Message
from gossipfl.peers.local_model import LocalModel
from gossipfl.peers.standing import Standing
from gossipfl.snapshot import Snapshot, compose, part
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId, Vector


class ModelPeer(ABC):
    """A `Peer` with a model, `local`, that it trains and mixes with those of others."""

    may_go_on: Callable[[], bool] = staticmethod(lambda: True)
    """Asked at the end of every round, and before the first, if another one may begin. It is the class's where nobody
    gives it to a peer: one attribute more takes memory and time at every peer."""

    def __init__(self, local: LocalModel) -> None:
        self.peer_id = local.peer_id
        self.local = local
        self.round = 0
        self.finished = False
        self._changed: Neighbors | None = None  # the neighbors, where they are not those that it was made with

    @property
    def value(self) -> Vector:
        return self.local.weights

    @property
    def weights(self) -> Vector:
        return self.local.weights

    @property
    def standing(self) -> Standing:
        local = self.local
        spending = None if local.protection is None else local.protection.spending
        return Standing(self.peer_id, local.model, local.work.num_examples, local.examples_seen, spending=spending)

    @property
    def num_rounds(self) -> int:
        return self.local.work.num_rounds

    @property
    def rounds_done(self) -> int:
        return self.round

    @property
    def model_round(self) -> int:
        """The round of the protocol that gave the model that it begins to train from."""
        return self.round

    @property
    def is_drained(self) -> bool:
        return self.finished

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        return ()

    @property
    def num_open(self) -> int:
        return len(self.awaits) if self.finished else 0

    @property
    def outstanding(self) -> Job | None:
        return self.local.outstanding

    # Inputs

    @abstractmethod
    def start(self, now: float) -> list[Action]: ...

    @abstractmethod
    def receive(self, message: Message, now: float) -> list[Action]: ...

    def completed(self, outcome: Outcome, now: float) -> list[Action]:
        if isinstance(outcome, Update):
            outcome = self.local.protected(outcome)
            if not self._has_run_away(outcome):
                return self._go_on_from(outcome, now)
            why = (
                f"local round {outcome.job + 1} of peer {self.peer_id!r} gave weights beyond the magnitude_bound "
                f"({self.local.sharing.magnitude_bound:g}); lower the learning rate or clip gradients (clipnorm)"
            )
            outcome = TrainingError(why, peer_id=self.peer_id, round=outcome.job)
        elif isinstance(outcome, Scores):
            return self._go_on_with(outcome, now)
        # Others' vectors that were mixed in since the last training are taken out again; see `last_sound`.
        undone = self.local.go_back(outcome)
        return [WentBack(undone, str(outcome)), *self._train_anew(undone)]

    @abstractmethod
    def wake(self, now: float) -> list[Action]: ...

    @abstractmethod
    def send_failed(self, message: Message, now: float) -> list[Action]: ...

    def neighbors_changed(self, neighbors: Neighbors, now: float) -> list[Action]:
        self._meet(neighbors)
        self._changed = neighbors
        return self._go_on_without(now)

    # What follows

    @abstractmethod
    def _meet(self, neighbors: Neighbors) -> None:
        """Have these neighbors, and forget what came of others. Raises ConfigurationError, with nothing changed, where
        that cannot be."""

    @abstractmethod
    def _go_on_without(self, now: float) -> list[Action]:
        """What follows when some that were awaited are neighbors no more, or new ones are."""

    def _has_run_away(self, update: Update) -> bool:
        """True if training has to count as failed, though all that it gave is finite."""
        return self.local.has_run_away(update)

    @abstractmethod
    def _go_on_from(self, update: Update, now: float) -> list[Action]:
        """What follows on the training that gave `update`."""

    def _train_anew(self, undone: tuple[PeerId, ...]) -> list[Action]:
        """Train the round again, from weights that the model has gone back to: without what `undone` had sent, or, if
        that is nobody, the first ones."""
        return [self.local.train()]

    def _go_on_with(self, scores: Scores, now: float) -> list[Action]:
        """What follows on the evaluation that gave `scores`."""
        raise LocalProtocolError(f"peer {self.peer_id} has asked for no scores")

    def _goes_on(self) -> bool:
        """True if another round begins; else the peer has finished. Nowhere else is that decided."""
        may_go_on = self.may_go_on()
        self.finished = self.round >= self.local.work.num_rounds or not may_go_on
        return not self.finished

    # Persistence

    @abstractmethod
    def snapshot(self) -> Snapshot: ...

    def _snapshot_with(self, values: Mapping[str, Any], parts: Mapping[str, Snapshot]) -> Snapshot:
        """That of what all have, and of what a protocol has beside."""
        changed = None if self._changed is None else asdict(self._changed)
        own = {"round": self.round, "finished": self.finished, "changed": changed}
        return compose({**own, **values}, {"local": self.local.snapshot(), **parts})

    def restore(self, snapshot: Snapshot) -> None:
        _, values = snapshot
        self.local.restore(part("local", snapshot))
        self.round, self.finished = values["round"], values["finished"]
        if values["changed"] is not None:
            self._changed = Neighbors(**values["changed"])
            self._meet(self._changed)
