"""Training alone: the lower bound of a comparison (each peer its own shard) and the upper one (one peer, all data)."""

from dataclasses import replace

import numpy as np

from gossipfl.actions import Action, Scores, Update
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Message
from gossipfl.peers.local_model import LocalModel
from gossipfl.peers.model_peer import ModelPeer
from gossipfl.peers.standing import Standing
from gossipfl.scores import Score
from gossipfl.snapshot import Snapshot, part
from gossipfl.topology import Neighbors
from gossipfl.weights import frozen


class LocalOnlyPeer(ModelPeer):
    """A peer that trains its rounds and never talks. If it `scores_itself`, a round ends when its model has been scored
    on its own examples."""

    def __init__(self, local: LocalModel, *, scores_itself: bool = False) -> None:
        super().__init__(local)
        self._scores_itself = scores_itself
        self._own_score: Score | None = None

    @property
    def standing(self) -> Standing:
        return replace(super().standing, own_score=self._own_score)

    def start(self, now: float) -> list[Action]:
        return [self.local.outstanding] if self.local.outstanding is not None else self._train_on()

    def _go_on_from(self, update: Update, now: float) -> list[Action]:
        self.local.finish(update)
        self.local.take_over(update)
        return [self.local.evaluate(self.standing.model)] if self._scores_itself else self._train_on()

    def _go_on_with(self, scores: Scores, now: float) -> list[Action]:
        self.local.finish_evaluation(scores)
        (self._own_score,) = scores.scores
        return self._train_on()

    def _train_on(self) -> list[Action]:
        self.round = self.local.num_jobs
        return [self.local.train()] if self._goes_on() else []

    def receive(self, message: Message, now: float) -> list[Action]:
        raise RemoteProtocolError(f"peer {self.peer_id} trains alone; peer {message.sender} sent it a {message.kind}")

    def wake(self, now: float) -> list[Action]:
        return []

    def send_failed(self, message: Message, now: float) -> list[Action]:
        return []

    def _meet(self, neighbors: Neighbors) -> None:
        """It talks to nobody."""

    def _go_on_without(self, now: float) -> list[Action]:
        return []

    def snapshot(self) -> Snapshot:
        own: Snapshot = {}, {"names": []}
        if (score := self._own_score) is not None:
            # As an array, because a score may be NaN, which JSON has no word for.
            numbers = frozen(np.array([score.loss, *score.metrics.values()], np.float64))
            own = {"numbers": numbers}, {"names": list(score.metrics)}
        return self._snapshot_with({}, {"own_score": own})

    def restore(self, snapshot: Snapshot) -> None:
        super().restore(snapshot)
        numbers, values = part("own_score", snapshot)
        self._own_score = None
        if numbers:
            loss, *metrics = numbers["numbers"].tolist()
            self._own_score = Score(loss, dict(zip(values["names"], metrics, strict=True)))
