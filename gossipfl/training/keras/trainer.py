"""Local training and evaluation of many peers with Keras: one compiled model per core, groups of peers in its graph.

`model.fit` costs about 100 ms a call before any work, and each further model instance half a second; so peers are rows
of vectors that are swapped in and out of one model per core (a slot), and a call trains a whole group of them in one
graph. The results are those of `model.fit` with the same batches, bit for bit (BatchNorm and layers of a single unit:
to rounding). They are the same bits however peers are grouped and however many slots there are.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gossipfl.actions import Evaluate, Scores, Train, Update
from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError, TrainingError
from gossipfl.scores import Metric, Part, Score
from gossipfl.training.batches import Batches
from gossipfl.training.cores import available_cores, available_memory, slots_with_room
from gossipfl.training.groups import balanced_groups, equal_parts
from gossipfl.training.keras.data_tensors import DataTensors
from gossipfl.training.keras.exact_inputs import refuse_collapsing_numbers
from gossipfl.training.keras.grouped import Arrays
from gossipfl.training.keras.jobs import JobFormat, check_size, graph_of, vectors_by_role
from gossipfl.training.keras.losses import check_range
from gossipfl.training.keras.models import ModelRecipe
from gossipfl.training.keras.private import refuse_private
from gossipfl.training.keras.recalibration import refuse_recalibration
from gossipfl.training.keras.runtime import runtime_flags, use_slots
from gossipfl.training.keras.scoring import Scoring
from gossipfl.training.keras.slot import Slot
from gossipfl.training.keras.slot_pool import SlotPool
from gossipfl.training.keras.state import schema_of, values_of
from gossipfl.training.models import BuildModel
from gossipfl.training.settings import TrainingSettings
from gossipfl.training.trainer import Flags, all_failures
from gossipfl.weights import NOTHING, Constants, ModelVectors, PeerId, WeightsSchema

MAX_CALL_BYTES = 128 * 2**20
"""Bound on the rows and indices of all running groups together; more peers make more groups."""


class KerasTrainer:
    """Trains peers on their `batches` of the `dataset`, with models built by `build_model`; a `ModelTrainer`.

    `seed` is the run's: it decides the initial weights and the seed generators of layers such as Dropout. `slots` is
    the number of groups trained at the same time (None: one per core, or fewer where memory has no room for so many
    models); each slot holds one model and one optimizer. The state of a peer is `optimizer` (float32: momenta and the
    like, and their counters), `local` (float32: variables that it shares with nobody), `loss_scale` (float32) and
    `seeds` (int64: seed generators); a part that is missing begins anew. A learning-rate schedule follows the peer's
    step, whatever becomes of its optimizer.

    Calls from several threads share the slots. XLA is not used, whatever the model was compiled with.

    Raises ConfigurationError when the model cannot be trained this way, with the reason.
    """

    def __init__(
        self,
        build_model: BuildModel,
        dataset: Dataset,
        batches: Batches,
        settings: TrainingSettings,
        seed: int,
        slots: int | None = None,
    ) -> None:
        num_slots = available_cores() if slots is None else slots
        if num_slots < 1:
            raise ConfigurationError(f"slots must be >= 1, got {num_slots}")
        if batches.num_positions > len(dataset.train):
            raise ConfigurationError(
                f"the shards name example {batches.num_positions - 1}, but data set {dataset.name!r} has only "
                f"{len(dataset.train)} training examples; partition the data set that is trained on"
            )
        use_slots(num_slots)
        data = DataTensors.of(dataset, settings, batches.in_order and settings.privacy is None)
        memory = available_memory() if slots is None else None
        models = ModelRecipe(build_model, dataset.task, settings, seed).models(
            num_slots, lambda num_floats: slots_with_room(num_slots, num_floats, memory)
        )
        for part, examples in dataset.parts:
            refuse_collapsing_numbers(models[0].model, examples)
            check_range(models[0].model, examples.y, f"the {part} part of {dataset.name}")
        if settings.privacy is not None:
            refuse_private(models[0])
        self._pool = SlotPool(models, data, seed, settings.privacy)
        self._nums_batches = {part: data.num_batches(part) for part, _ in dataset.parts}
        self._nums_examples = {part: len(examples) for part, examples in dataset.parts}
        self._scoring = Scoring(self._pool, batches, settings.evaluation_batch_size, data.bytes_per_example("train"))
        built = self._pool.slots[0].built
        layout, training = built.layout, built.training
        self.metrics: tuple[Metric, ...] = built.scoring.metrics
        self.schema: WeightsSchema = schema_of(layout.weights)
        self.statistics_schema: WeightsSchema = schema_of(layout.statistics)
        self.local_schema: WeightsSchema = schema_of(layout.local)
        self._initial = built.stored.vectors
        self._format = JobFormat(
            batches=batches,
            seed=seed,
            layout=layout,
            num_weights=self.schema.size,
            num_statistics=self.statistics_schema.size,
            initial_optimizer=values_of(layout.optimizer),
            initial_loss_scale=values_of(layout.loss_scale),
            counting=training,
            initial_local=self._initial.local,
            bytes_per_example=data.bytes_per_example("train"),
            privacy=settings.privacy,
        )

    @property
    def num_slots(self) -> int:
        """Number of groups that are trained at the same time."""
        return len(self._pool.slots)

    @property
    def flags(self) -> Flags:
        """Versions, thread counts and determinism flags in force, for the run's manifest."""
        return {**runtime_flags(), "slots": self.num_slots}

    @property
    def num_traces(self) -> int:
        """Number of graphs built so far: at most six per slot (three for training, two for scores, recalibration)."""
        return sum(slot.num_traces for slot in self._pool.slots)

    @property
    def optimizer_size(self) -> int:
        """Number of floats in the optimizer's state, its counters included."""
        return int(self._format.initial_optimizer.size)

    def prepare(self) -> None:
        """Build the graphs of training and evaluation, which takes a second or two each; those of corrections and of
        scores are built when they are first needed."""
        self._pool.trace("train")
        self._pool.trace("evaluate", "validation" if "validation" in self._nums_batches else "test")

    def initial(self) -> ModelVectors:
        """The model's initial weights and statistics: the same bits for the same seed."""
        return self._initial

    def forget_initial(self) -> None:
        """Keep the initial vectors no longer: a process with a single peer needs them once."""
        self._initial = ModelVectors(NOTHING, NOTHING)

    @property
    def constants(self) -> Constants:
        """The variables that training never changes, the same for all peers."""
        return self._pool.slots[0].built.constants

    def set_constants(self, constants: Constants) -> None:
        """Train and evaluate with other constants than the model function gives; while nothing is running.

        Raises SchemaMismatchError for constants that do not belong to this model.
        """
        for slot in self._pool.slots:
            slot.set_constants(constants)

    def num_examples(self, peer_id: PeerId, first_step: int, num_steps: int) -> int:
        """Number of examples (with repetition) in the steps [first_step, first_step + num_steps) of a peer."""
        return self._format.batches.num_examples(peer_id, first_step, num_steps)

    def train(self, jobs: Sequence[Train]) -> list[Update]:
        """Run independent jobs; updates come in the order of the jobs.

        Raises SchemaMismatchError for a job whose vectors do not belong to this model, before anything is trained, and
        TrainingError, carrying peer and job number, when a job fails or ends in NaN or infinity.
        """
        for job in jobs:
            self._format.check(job)
        tasks: list[Callable[[Slot], list[Update | TrainingError]]] = []
        order: list[int] = []
        for graph in ("train", "train_corrected", "train_private"):
            chosen = [position for position, job in enumerate(jobs) if graph_of(job) == graph]
            if not chosen:
                continue
            self._pool.trace(graph)
            for group in self._groups([jobs[position] for position in chosen]):
                positions = [chosen[member] for member in group]
                tasks.append(partial(self._train_group, graph, [jobs[position] for position in positions]))
                order += positions
        outcomes = [outcome for outcomes in self._pool.run(tasks) for outcome in outcomes]
        by_position = dict(zip(order, outcomes, strict=True))
        outcomes = [by_position[position] for position in range(len(jobs))]
        updates = [outcome for outcome in outcomes if isinstance(outcome, Update)]
        if len(updates) < len(jobs):
            raise all_failures(outcomes)
        return updates

    def evaluate(
        self, models: Sequence[ModelVectors], part: Part = "test", examples: Sequence[NDArray[np.int64]] | None = None
    ) -> list[Score]:
        """Scores of each model on a part of the data, in order, in inference mode; or of each on its own `examples` of
        that part.

        Raises SchemaMismatchError for vectors that do not belong to this model.
        """
        self._check_sizes(models)
        if examples is not None:
            return self._scoring.of_examples(models, part, examples, MAX_CALL_BYTES)
        self._pool.trace("evaluate", part)
        num_bytes = self._nums_batches[part] * self._pool.slots[0].num_bytes_per_batch
        at_a_time = max(1, MAX_CALL_BYTES // num_bytes)
        calls = [models[first : first + at_a_time] for first in range(0, len(models), at_a_time)]
        return [score for call in calls for score in self._evaluate(call, part)]

    def score(self, jobs: Sequence[Evaluate]) -> list[Scores]:
        """Score the models of independent jobs, each on batches of its peer, in inference mode.

        Raises SchemaMismatchError for vectors that do not belong to this model, before anything is scored, and
        TrainingError, carrying peer and job number, when a job fails; a score of NaN is no failure.
        """
        for job in jobs:
            self._check_sizes(job.models, f" of evaluation {job.job} of peer {job.peer_id!r}")
        outcomes = self._scoring.scores(jobs, MAX_CALL_BYTES)
        scores = [outcome for outcome in outcomes if isinstance(outcome, Scores)]
        if len(scores) < len(jobs):
            raise all_failures(outcomes)
        return scores

    def batch_statistics(
        self, model: ModelVectors, peers: Sequence[PeerId], num_steps: int
    ) -> list[NDArray[np.float32]]:
        """For each peer the statistics that a model has after each of the batches of its first steps, [num_steps,
        size]: means and variances are those of the batch, by a forward pass in training mode that changes nothing else.

        Raises ConfigurationError when the model's statistics are not of this kind, SchemaMismatchError for vectors of
        another model, and TrainingError, carrying the peer, when its examples cannot be passed.
        """
        self._check_sizes([model])
        refuse_recalibration(self._pool.slots[0].built)
        for peer_id in peers:
            self._format.check_examples(peer_id, 0, num_steps, "evaluation.recalibrate")
        self._pool.trace("recalibrate")
        return self._pool.run([partial(self._statistics_of, model, peer_id, num_steps) for peer_id in peers])

    def _statistics_of(self, model: ModelVectors, peer_id: PeerId, num_steps: int, slot: Slot) -> NDArray[np.float32]:
        indices, sizes = self._format.batches.indices(peer_id, 0, num_steps)
        try:
            (result,) = slot.run("recalibrate", [{**vectors_by_role(model), "indices": indices, "sizes": sizes}])
        except tf.errors.OpError as error:
            message = f"recalibration on examples of peer {peer_id!r} failed: {error.message}"
            raise TrainingError(message, peer_id=peer_id, round=0) from error
        return result.get("statistics", np.empty((num_steps, 0), np.float32))

    def _check_sizes(self, models: Sequence[ModelVectors], where: str = "") -> None:
        for position, vectors in enumerate(models):
            check_size(f"weights of model {position}{where}", vectors.weights, self.schema.size)
            check_size(f"statistics of model {position}{where}", vectors.statistics, self.statistics_schema.size)
            check_size(f"local part of model {position}{where}", vectors.local, self.local_schema.size)

    def _evaluate(self, models: Sequence[ModelVectors], part: Part) -> list[Score]:
        # All batches of all models are one line of work, cut where a slot's share or its memory ends.
        num_slots, num_batches = self.num_slots, self._nums_batches[part]
        num_floats = self.schema.size + self.statistics_schema.size + self.local_schema.size
        num_bytes = 4 * len(models) * num_floats
        num_parts = num_slots * max(1, min(len(models), -(-num_bytes // MAX_CALL_BYTES)))
        unit = 1 if self._pool.slots[0].built.may_be_cut else num_batches
        cuts = equal_parts(len(models) * num_batches // unit, num_parts)
        tasks = [partial(self._evaluate_batches, models, part, first * unit, end * unit) for first, end in cuts]
        results = self._pool.run(tasks)

        joined = {
            name: np.split(np.concatenate([scores[name] for result in results for scores in result]), len(models))
            for name in ("loss", "metrics")
        }
        batches = [dict(zip(joined, one, strict=True)) for one in zip(*joined.values(), strict=True)]
        nums_examples = [self._nums_examples[part]] * len(models)
        (scores,) = self._pool.run([partial(Slot.scores, batches=batches, nums_examples=nums_examples)])
        return scores

    def _groups(self, jobs: Sequence[Train]) -> list[list[int]]:
        return balanced_groups(
            work=[job.num_steps for job in jobs],
            num_bytes=[self._format.num_bytes(job) for job in jobs],
            num_groups=self.num_slots,
            max_bytes=MAX_CALL_BYTES // self.num_slots,
        )

    def _train_group(self, graph: str, jobs: list[Train], slot: Slot) -> list[Update | TrainingError]:
        try:
            results = slot.run(graph, [self._format.arguments(job) for job in jobs])
        except tf.errors.OpError as error:
            if len(jobs) > 1:  # find whose job it was; a job may be run again with the same result
                return [outcome for job in jobs for outcome in self._train_group(graph, [job], slot)]
            job = jobs[0]
            failure = TrainingError(
                f"local round {job.job + 1} of peer {job.peer_id!r} failed: {error.message}",
                peer_id=job.peer_id,
                round=job.job,
            )
            failure.__cause__ = error
            return [failure]
        return [self._format.outcome(job, result) for job, result in zip(jobs, results, strict=True)]

    def _evaluate_batches(
        self, models: Sequence[ModelVectors], part: Part, first: int, end: int, slot: Slot
    ) -> list[Arrays]:
        num_batches = self._nums_batches[part]
        return slot.run(
            "evaluate",
            part=part,
            peers=[
                {
                    **vectors_by_role(models[i]),
                    "batches": np.clip(
                        [first - i * num_batches, end - i * num_batches], 0, num_batches, dtype=np.int32
                    ),
                }
                for i in range(first // num_batches, -(-end // num_batches))
            ],
        )
