"""What every trainer offers to the engines: local training and evaluation for many peers in one call."""

from collections.abc import Sequence
from typing import Protocol

from gossipfl.actions import Train, Update
from gossipfl.errors import TrainingError, TransportError
from gossipfl.scores import Score
from gossipfl.weights import ModelVectors, PeerId


class Trainer(Protocol):
    """Turns weights and a shard into new weights. Results do not depend on how jobs were grouped into calls."""

    def prepare(self) -> None:
        """Build what training and evaluation need, so that the first call takes no longer than the others."""
        ...

    def num_examples(self, peer_id: PeerId, first_step: int, num_steps: int) -> int:
        """Number of examples (with repetition) in the steps [first_step, first_step + num_steps) of a peer."""
        ...

    def train(self, jobs: Sequence[Train]) -> list[Update]:
        """Run independent jobs; updates come in the order of the jobs.

        Raises TrainingError, carrying the peer and the round, when a job fails or ends in NaN or infinity.
        """
        ...

    def evaluate(self, models: Sequence[ModelVectors]) -> list[Score]:
        """Scores of several models on the held-out data, in order."""
        ...


def outcomes_of(trainer: Trainer, jobs: Sequence[Train]) -> list[Update | TrainingError]:
    """What each of the jobs comes to: where one fails, it fails alone."""
    try:
        return list(trainer.train(jobs))
    except TrainingError as error:
        if error.outcomes:
            return list(error.outcomes)
        if len(jobs) == 1:
            return [error]
        if isinstance(error.__cause__, TransportError):  # workers died; each job would lose as many again
            raise
        return [outcome for job in jobs for outcome in outcomes_of(trainer, [job])]  # with the same results


def all_failures(outcomes: Sequence[Update | TrainingError]) -> TrainingError:
    """One error for all failed jobs of a call: the first one's, naming a few of the others."""
    first, *others = [outcome for outcome in outcomes if isinstance(outcome, TrainingError)]
    names = ", ".join(repr(failure.peer_id) for failure in others[:6]) + (", ..." if len(others) > 6 else "")
    message = f"{first}; {len(others)} more failed: {names}" if others else str(first)
    error = TrainingError(message, peer_id=first.peer_id, round=first.round, outcomes=outcomes)
    error.__cause__ = first.__cause__
    return error
