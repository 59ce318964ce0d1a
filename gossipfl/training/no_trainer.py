"""The trainer of peers without a model."""

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gossipfl.actions import Evaluate, Scores, Train, Update
from gossipfl.errors import LocalProtocolError
from gossipfl.scores import Metric, Part, Score
from gossipfl.weights import ModelVectors, PeerId


class NoTrainer:
    """A `Trainer` for peers that have no model, and ask for no work: it has none to do."""

    num_slots = 1
    metrics: tuple[Metric, ...] = ()

    def prepare(self) -> None:
        """There is nothing to build."""

    def num_examples(self, peer_id: PeerId, first_step: int, num_steps: int) -> int:
        _refuse()

    def train(self, jobs: Sequence[Train]) -> list[Update]:
        _refuse()

    def score(self, jobs: Sequence[Evaluate]) -> list[Scores]:
        _refuse()

    def evaluate(
        self, models: Sequence[ModelVectors], part: Part = "test", examples: Sequence[NDArray[np.int64]] | None = None
    ) -> list[Score]:
        _refuse()

    def batch_statistics(
        self, model: ModelVectors, peers: Sequence[PeerId], num_steps: int
    ) -> Sequence[NDArray[np.floating[Any]]]:
        _refuse()


def _refuse() -> NoReturn:
    raise LocalProtocolError("peers without a model ask for no work")
