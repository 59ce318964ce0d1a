"""Trainers train and evaluate for many peers in one call; experiments ask them, too, what their model is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from gossipfl.actions import Evaluate, Job, Outcome, Scores, Train, Update
from gossipfl.errors import TrainingError, TransportError
from gossipfl.scores import Metric, Part, Score
from gossipfl.weights import Constants, ModelVectors, PeerId, WeightsSchema

Flags: TypeAlias = Mapping[str, str | int | bool]
"""Versions, thread counts and determinism flags by name."""

_Kind = TypeVar("_Kind", Train, Evaluate)


class Trainer(Protocol):
    """Turns weights and a shard into new weights: all that engines ask for.

    Results do not depend on how jobs were grouped into calls.
    """

    @property
    def num_slots(self) -> int:
        """Number of calls that are served at the same time."""
        ...

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that its scores carry, in order; it may score by others than were named, those of its model."""
        ...

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

    def score(self, jobs: Sequence[Evaluate]) -> list[Scores]:
        """Score the models of independent jobs, each on batches of its peer, in inference mode.

        Raises TrainingError, carrying the peer and the job, when a job fails; a score of NaN is no failure.
        """
        ...

    def evaluate(
        self, models: Sequence[ModelVectors], part: Part = "test", examples: Sequence[NDArray[np.int64]] | None = None
    ) -> list[Score]:
        """Scores of several models on a part of the data, in order; or of each on its own `examples` of that part."""
        ...

    def batch_statistics(
        self, model: ModelVectors, peers: Sequence[PeerId], num_steps: int
    ) -> Sequence[NDArray[np.floating[Any]]]:
        """For each peer the statistics of a model after each of the batches of its first steps, [num_steps, size]:
        means and variances are those of the batch.

        Raises ConfigurationError when the model's statistics are not of this kind.
        """
        ...


class ModelFacts(Protocol):
    """The facts of a model, whatever makes and trains it."""

    @property
    def schema(self) -> WeightsSchema:
        """The variables in its weights."""
        ...

    @property
    def statistics_schema(self) -> WeightsSchema:
        """The variables in its statistics."""
        ...

    @property
    def local_schema(self) -> WeightsSchema:
        """The variables that stay at each peer."""
        ...

    @property
    def optimizer_size(self) -> int:
        """Number of floats in the state of its optimizer, counters included."""
        ...

    @property
    def constants(self) -> Constants:
        """The variables that training never changes, the same for all peers."""
        ...


class ModelTrainer(Trainer, ModelFacts, Protocol):
    """A trainer, what its model is, and what that begins with: all that experiments ask for."""

    @property
    def flags(self) -> Flags:
        """Everything in force that can change results or speed, for the run's manifest."""
        ...

    def initial(self) -> ModelVectors:
        """The initial weights and statistics: the same bits for the same seed."""
        ...

    def forget_initial(self) -> None:
        """Keep the initial vectors no longer: a process with a single peer needs them once."""
        ...

    def set_constants(self, constants: Constants) -> None:
        """Train and evaluate with other constants than the model function gives; while nothing is running.

        Raises SchemaMismatchError for constants that do not belong to this model.
        """
        ...


def outcomes_of(trainer: Trainer, jobs: Sequence[Job]) -> list[Outcome]:
    """The outcomes of jobs, in order, from one call for each kind of job: where one fails, it fails alone."""
    updates = iter(_each(trainer.train, [job for job in jobs if isinstance(job, Train)]))
    evaluations = [job for job in jobs if isinstance(job, Evaluate)]
    on_batches = iter(_each(trainer.score, [job for job in evaluations if not job.is_held_out]))
    held_out = _held_out_scores(trainer, [job for job in evaluations if job.is_held_out])

    def next_of(job: Job) -> Outcome:
        if isinstance(job, Train):
            return next(updates)
        return next(held_out if job.is_held_out else on_batches)

    return [next_of(job) for job in jobs]


def _held_out_scores(trainer: Trainer, jobs: Sequence[Evaluate]) -> Iterator[Scores]:
    """The scores on held-out examples, from one call for each part; what several have is scored once."""

    def key(job: Evaluate, model: ModelVectors) -> tuple[object, ...]:
        return (*(id(getattr(model, one.name)) for one in fields(model)), job.part, id(job.examples))

    pairs = {key(job, model): (job, model) for job in jobs for model in job.models}
    scores: dict[tuple[object, ...], Score] = {}
    for part, is_whole in dict.fromkeys((job.part, job.examples is None) for job in jobs):
        chosen = {
            key: pair for key, pair in pairs.items() if (pair[0].part, pair[0].examples is None) == (part, is_whole)
        }
        models = [model for _, model in chosen.values()]
        examples = None if is_whole else [job.examples for job, _ in chosen.values() if job.examples is not None]
        scores |= zip(chosen, trainer.evaluate(models, part, examples), strict=True)
    for job in jobs:
        num_examples = 0 if job.examples is None else job.examples.size
        yield Scores(job.peer_id, job.job, tuple(scores[key(job, model)] for model in job.models), num_examples)


def _each(run: Callable[[Sequence[_Kind]], Sequence[Outcome]], jobs: Sequence[_Kind]) -> list[Outcome]:
    if not jobs:
        return []
    try:
        return list(run(jobs))
    except TrainingError as error:
        if error.outcomes:
            return list(error.outcomes)
        if len(jobs) == 1:
            return [error]
        if isinstance(error.__cause__, TransportError):  # workers died; each job would lose as many again
            raise
        return [outcome for job in jobs for outcome in _each(run, [job])]  # with the same results


def all_failures(outcomes: Sequence[Outcome]) -> TrainingError:
    """One error for all failed jobs of a call: the first one's, naming a few of the others."""
    first, *others = [outcome for outcome in outcomes if isinstance(outcome, TrainingError)]
    names = ", ".join(repr(failure.peer_id) for failure in others[:6]) + (", ..." if len(others) > 6 else "")
    message = f"{first}; {len(others)} more failed: {names}" if others else str(first)
    error = TrainingError(message, peer_id=first.peer_id, round=first.round, outcomes=outcomes)
    error.__cause__ = first.__cause__
    return error
