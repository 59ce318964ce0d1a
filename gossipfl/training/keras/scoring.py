"""Scores of models on examples of their own: each model is a row of a group, whoever asks for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gossipfl.actions import Evaluate, Scores
from gossipfl.errors import TrainingError
from gossipfl.scores import Part, Score
from gossipfl.training.batches import Batches
from gossipfl.training.groups import balanced_groups
from gossipfl.training.keras.grouped import Arrays
from gossipfl.training.keras.jobs import vectors_by_role
from gossipfl.training.keras.slot import Slot
from gossipfl.training.keras.slot_pool import SlotPool
from gossipfl.weights import ModelVectors


@dataclass(frozen=True, eq=False, slots=True)
class _Row:
    """A model to be scored, perhaps for a job, on these examples."""

    job: Evaluate | None
    model: ModelVectors
    examples: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Scoring:
    """Scores models in inference mode.

    The examples are taken `batch_size` at a time, which decides the last bits only.
    """

    pool: SlotPool
    batches: Batches
    batch_size: int
    bytes_per_example: int
    """Memory that the examples of a job take, if they are mapped from files."""

    def scores(self, jobs: Sequence[Evaluate], max_bytes: int) -> list[Scores | TrainingError]:
        """The outcomes of the jobs, by groups of at most `max_bytes` together."""
        rows = [
            _Row(job, model, examples)
            for job in jobs
            for examples in [self.batches.indices(job.peer_id, job.first_step, job.num_steps)[0]]
            for model in job.models
        ]
        in_order = iter(self._outcomes(rows, "train", max_bytes))
        return [self._of_job(job, [next(in_order) for _ in job.models]) for job in jobs]

    def of_examples(
        self, models: Sequence[ModelVectors], part: Part, examples: Sequence[NDArray[np.int64]], max_bytes: int
    ) -> list[Score]:
        """The scores of models, each on its own examples of a part of the data."""
        rows = [_Row(None, model, own.astype(np.int32)) for model, own in zip(models, examples, strict=True)]
        return [outcome for outcome in self._outcomes(rows, part, max_bytes) if isinstance(outcome, Score)]

    def _outcomes(self, rows: Sequence[_Row], part: Part, max_bytes: int) -> list[Score | TrainingError]:
        if rows:
            self.pool.trace("score", part)
        num_slots = len(self.pool.slots)
        groups = balanced_groups(
            work=[len(row.examples) for row in rows],
            num_bytes=[self._num_bytes(row) for row in rows],
            num_groups=num_slots,
            max_bytes=max_bytes // num_slots,
        )
        outcomes = self.pool.run([partial(self._score_group, part, [rows[row] for row in group]) for group in groups])
        by_row = dict(zip(chain(*groups), chain(*outcomes), strict=True))
        return [by_row[row] for row in range(len(rows))]

    def _of_job(self, job: Evaluate, outcomes: Sequence[Score | TrainingError]) -> Scores | TrainingError:
        failures = [outcome for outcome in outcomes if isinstance(outcome, TrainingError)]
        if failures:
            return failures[0]
        scores = tuple(outcome for outcome in outcomes if isinstance(outcome, Score))
        num_examples = self.batches.num_examples(job.peer_id, job.first_step, job.num_steps)
        return Scores(job.peer_id, job.job, scores, num_examples)

    def _num_bytes(self, row: _Row) -> int:
        num_floats = row.model.weights.size + row.model.statistics.size + row.model.local.size
        num_batches = -(-len(row.examples) // self.batch_size)
        num_bytes = (4 + self.bytes_per_example) * len(row.examples)
        return 8 * num_floats + num_bytes + num_batches * self.pool.slots[0].num_bytes_per_batch

    def _score_group(self, part: Part, rows: list[_Row], slot: Slot) -> list[Score | TrainingError]:
        try:
            results = slot.run("score", [self._arguments(row) for row in rows], part)
        except tf.errors.OpError as error:
            if len(rows) > 1:  # find whose job it was
                return [outcome for row in rows for outcome in self._score_group(part, [row], slot)]
            job = rows[0].job
            if job is None:
                raise
            failure = TrainingError(
                f"evaluation {job.job + 1} of peer {job.peer_id!r} failed: {error.message}",
                peer_id=job.peer_id,
                round=job.job,
            )
            failure.__cause__ = error
            return [failure]
        return [*slot.scores(results, [len(row.examples) for row in rows])]

    def _arguments(self, row: _Row) -> Arrays:
        num_batches = -(-len(row.examples) // self.batch_size)
        sizes = np.full(num_batches, self.batch_size, np.int32)
        sizes[-1] = len(row.examples) - (num_batches - 1) * self.batch_size
        return {
            **vectors_by_role(row.model),
            "indices": row.examples,
            "sizes": sizes,
        }
