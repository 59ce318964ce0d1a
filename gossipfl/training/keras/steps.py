"""A compiled model in a graph, as it stands: optimizer steps on batches, and scores of held-out batches.

How a peer gets into the model's variables, and out again, is told in `grouped` and `single`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from gossipfl.training.keras.custom import OwnStep
from gossipfl.training.keras.data_tensors import Data, DataTensors, gathered, num_rows, sliced
from gossipfl.training.keras.metrics import ModelMetrics
from gossipfl.training.keras.model import forward
from gossipfl.training.keras.models import BuiltModel
from gossipfl.training.keras.private import PrivateGradients, parts_of
from gossipfl.training.keras.recalibration import without_memory
from gossipfl.training.keras.state import optimizers_of, read, size_of
from gossipfl.training.settings import ExamplePrivacy

Correct: TypeAlias = Callable[[list[tf.Tensor]], list[tf.Tensor]]
"""Gradients in, corrected gradients out, variable by variable."""

BatchArrays: TypeAlias = Mapping[str, tf.TensorArray]
"""The tensors that a `Measure` takes, a row of each batch."""

Pick: TypeAlias = Callable[[tf.Tensor], Data]
"""Number of a batch in, its examples out."""


@dataclass(frozen=True, eq=False)
class Measure:
    """A pass over batches takes tensors of each, by name; `outcomes` are their dtypes and shapes."""

    outcomes: Mapping[str, tuple[tf.DType, Sequence[int]]]
    of_batch: Callable[[Data], Mapping[str, tf.Tensor]]

    def arrays(self, num_batches: tf.Tensor) -> BatchArrays:
        """Room for so many batches."""
        return {
            name: tf.TensorArray(dtype, num_batches, element_shape=shape)
            for name, (dtype, shape) in self.outcomes.items()
        }


class ModelSteps:
    """The steps and scores of one compiled model; its methods build parts of graphs."""

    def __init__(self, built: BuiltModel, data: DataTensors, privacy: ExamplePrivacy | None = None) -> None:
        self.model = model = built.model
        self.layout, self.training, self.scoring = built.layout, built.training, built.scoring
        self.in_order = data.in_order
        self._class_weights = data.class_weights
        self._private = None if privacy is None else PrivateGradients(built.model, privacy)
        self.stopped = tf.Variable(False, trainable=False, name="stopped")
        self._schedule_step = tf.Variable(0, trainable=False, dtype=tf.int64, name="schedule_step")
        follows = [_follow(optimizer, self._schedule_step) for optimizer in built.optimizers]
        self.has_schedule = any(follows)
        self.may_skip = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) and (
            model.optimizer in built.optimizers
        )
        self._evaluation_batch_size = data.evaluation_batch_size

    @property
    def own_variables(self) -> Sequence[tf.Variable]:
        """The variables that are no part of the model."""
        counted = chain(self.training.variables, self.scoring.variables)
        return self.stopped, self._schedule_step, *(variable.value for variable in counted)

    def train(
        self,
        data: Data,
        indices: tf.Tensor,
        batches: tf.Tensor,
        first: tf.Tensor,
        end: tf.Tensor,
        first_step: tf.Tensor | None,
        correction: Mapping[str, Any],
        noise_seeds: tf.Tensor | None = None,
        expected_sizes: tf.Tensor | None = None,
    ) -> dict[str, Any]:
        """Train on the batches [first, end); `batches` [steps, 2] has where each begins in `indices`, and its size. If
        the examples come `in_order`, it has the first example of each in place of that. `first_step` is the peer's step
        that the first batch is; without a schedule nobody asks.

        With `noise_seeds` [steps, 2] and the `expected_sizes` [steps] of batches, examples are protected. `correction`
        is empty, or has the arguments of `corrected_by` and a `gradient_sum`, variable by variable. Gives
        the `loss`, summed over the examples, the `metrics`, `num_skipped` where the model `may_skip` steps, and with a
        correction the `gradient_sum` after these steps.
        """
        sums: dict[str, Any] = {"metrics": self.training.start()}
        if self.may_skip:
            sums["num_skipped"] = tf.zeros([], tf.int64)
        losses = tf.TensorArray(tf.float32, end - first, element_shape=[])
        correct: Correct | None = None
        if correction:
            correction = dict(correction)
            sums["gradient_sum"] = correction.pop("gradient_sum")
            correct = corrected_by(self.layout.weights, **correction)

        # A step of a small model is a few dozen microseconds of arithmetic, and every operation costs one more: so the
        # losses are weighted after the loop, and a batch is three operations away.
        def train_batch(step: tf.Tensor, state: Any) -> tuple[tf.Tensor, Any]:
            losses, sums = state
            begin, size = tf.split(tf.gather(batches, step), 2)
            if self.in_order:  # a slice of neighbors is not copied
                batch = sliced(data, begin, begin + size)
            else:
                batch = gathered(data, tf.slice(indices, begin, size))
            batch = self._with_class_weights(batch)
            if first_step is not None:
                self._schedule_step.assign(first_step + tf.cast(step - first, tf.int64))
            if noise_seeds is not None and expected_sizes is not None:
                assert self._private is not None
                assert not isinstance(self.training, OwnStep)
                chance = tf.gather(noise_seeds, step), tf.gather(expected_sizes, step)
                loss, sums = self._private.step(self.training, batch, sums, *chance)
            elif isinstance(self.training, OwnStep):
                loss, sums = tf.zeros([]), self._own_step(self.training, batch, sums)
            else:
                loss, sums = self._step(self.training, batch, sums, correct)
            return step + 1, (losses.write(step - first, loss), sums)

        _, (losses, sums) = tf.while_loop(
            self._before(end), train_batch, (first, (losses, sums)), parallel_iterations=1
        )
        sums["metrics"] = self.training.end(sums["metrics"])
        if noise_seeds is not None:
            sums["num_examples"] = tf.reduce_sum(batches[first:end, 1])
        sums["loss"] = tf.reduce_sum(tf.cast(losses.stack(), tf.float64) * tf.cast(batches[first:end, 1], tf.float64))
        return sums

    def measure(self, graph: str) -> Measure:
        """A graph takes of batches: to "recalibrate", the `statistics` that each batch alone gives; else the
        `loss`, summed over the examples of each, and the state of the `metrics` after each."""
        if graph == "recalibrate":
            size = size_of(self.layout.statistics)
            return Measure({"statistics": (tf.float32, [size])}, self._statistics_of)
        return Measure({"loss": (tf.float64, []), "metrics": self.scoring.of_batches}, self._scores_of)

    def slices(self, data: Data) -> Pick:
        """The batches of all examples in their order."""
        size = self._evaluation_batch_size
        return lambda batch: sliced(data, [batch * size], [(batch + 1) * size])

    def score(
        self,
        measure: Measure,
        pick: Pick,
        first: tf.Tensor,
        end: tf.Tensor,
        arrays: BatchArrays,
        position: tf.Tensor,
    ) -> BatchArrays:
        """Measure the batches [first, end), and write what that gives from `position` on."""
        self.scoring.start()

        def score_batch(number: tf.Tensor, arrays: BatchArrays) -> tuple[tf.Tensor, BatchArrays]:
            values = measure.of_batch(pick(number))
            target = position + number - first
            return number + 1, {name: arrays[name].write(target, value) for name, value in values.items()}

        _, arrays = tf.while_loop(self._before(end), score_batch, (first, arrays), parallel_iterations=1)
        return arrays

    def _before(self, end: tf.Tensor) -> Callable[..., tf.Tensor]:
        """The condition of a loop over batches: there is one more, and nobody asked to stop."""
        return lambda batch, _: tf.logical_and(batch < end, tf.logical_not(self.stopped.read_value()))

    def _statistics_of(self, batch: Data) -> dict[str, tf.Tensor]:
        with without_memory(self.model):
            forward(self.model, *parts_of(batch), training=True)
        return {"statistics": read(self.layout.statistics)}

    def _scores_of(self, batch: Data) -> dict[str, tf.Tensor]:
        scoring, num_examples = self.scoring, tf.cast(num_rows(batch), tf.float64)
        if isinstance(scoring, OwnStep):
            return {"loss": tf.zeros([], tf.float64), "metrics": scoring.results(*parts_of(batch), num_examples)}
        scoring.start_batch()
        scored, loss = forward(self.model, *parts_of(batch), training=False)
        return {"loss": tf.cast(loss, tf.float64) * num_examples, "metrics": scoring.batch_state(scored)}

    def _own_step(self, step: OwnStep, batch: Data, sums: dict[str, Any]) -> dict[str, Any]:
        """One step of the model's own, and the sums with it."""
        counter = optimizers_of(self.model.optimizer)[-1]._iterations
        before = tf.identity(counter) if self.may_skip else None
        results = step.results(*parts_of(batch), num_rows(batch))
        new_sums: dict[str, Any] = {"metrics": step.add(sums["metrics"], results)}
        if self.may_skip:
            is_skipped = tf.equal(tf.identity(counter), before)
            new_sums["num_skipped"] = sums["num_skipped"] + tf.cast(is_skipped, tf.int64)
        return new_sums

    def _step(
        self, metrics: ModelMetrics, batch: Data, sums: dict[str, Any], correct: Correct | None
    ) -> tuple[tf.Tensor, dict[str, Any]]:
        """One optimizer step, as the `train_step` of Keras does it: its loss, and the sums with it."""
        model = self.model
        with tf.GradientTape() as tape:
            trained, loss = forward(model, *parts_of(batch), training=True)
            scaled_loss = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, model.trainable_variables)
        new_sums: dict[str, Any] = {"metrics": metrics.add(sums["metrics"], trained)}
        plain: list[tf.Tensor] = []
        if correct is not None:
            scale = model.optimizer.scale_loss(tf.ones([]))
            shared = {id(variable) for variable in self.layout.weights}  # what is local is corrected by nobody
            by_variable = list(zip(gradients, model.trainable_variables, strict=True))
            plain = [
                tf.zeros(variable.shape) if gradient is None else tf.convert_to_tensor(gradient) / scale
                for gradient, variable in by_variable
                if id(variable) in shared
            ]
            corrected = iter(correct(plain))
            gradients = [
                next(corrected) * scale if id(variable) in shared else gradient for gradient, variable in by_variable
            ]
        if not self.may_skip:
            model.optimizer.apply(gradients, model.trainable_variables)
        else:
            counter = optimizers_of(model.optimizer)[-1]._iterations  # `iterations` counts accumulated gradients once
            before = tf.identity(counter)
            model.optimizer.apply(gradients, model.trainable_variables)
            is_applied = tf.identity(counter) > before
            plain = [tf.where(is_applied, gradient, tf.zeros_like(gradient)) for gradient in plain]
            new_sums["num_skipped"] = sums["num_skipped"] + tf.cast(tf.logical_not(is_applied), tf.int64)
        if correct is not None:
            new_sums["gradient_sum"] = [total + g for total, g in zip(sums["gradient_sum"], plain, strict=True)]
        return tf.cast(loss, tf.float32), new_sums

    def _with_class_weights(self, batch: Data) -> Data:
        """The batch with the weights of its examples' classes, as `fit` makes sample weights of them."""
        if self._class_weights is None:
            return batch
        classes = batch["y"] if batch["y"].shape.rank == 1 else tf.argmax(batch["y"], -1)
        return {**batch, "weight": tf.gather(tf.constant(self._class_weights), classes)}


def _follow(optimizer: keras.optimizers.Optimizer, step: tf.Variable) -> bool:
    """Let learning-rate schedules follow a step of the peer, in place of the optimizer's counter, which is reset with
    its momenta; whether there is any."""
    found = False
    for part in optimizers_of(optimizer):
        schedule = part._learning_rate
        if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            part.learning_rate = partial(schedule, step)
            found = True
    return found


def chosen(data: Data, indices: tf.Tensor, batches: tf.Tensor) -> Pick:
    """Batches of any examples: `batches` [n, 2] has where each begins in `indices`, and its size."""

    def pick(batch: tf.Tensor) -> Data:
        begin, size = tf.split(tf.gather(batches, batch), 2)
        return gathered(data, tf.slice(indices, begin, size))

    return pick


def corrected_by(
    variables: Sequence[keras.Variable], c: Sequence[tf.Tensor], anchor: Sequence[tf.Tensor], proximal_mu: tf.Tensor
) -> Correct:
    """g -> g + c + mu (y - anchor), variable by variable."""

    # The same bits with a minus: TensorFlow 2.21 makes one node of two additions in a row, gives it a temporary
    # variable once it estimates a graph at more than 205 MB (models from about 2 million weights), and then fails with
    # AlreadyExistsError when the loop around it runs again.
    def correct(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        return [
            gradient + part - proximal_mu * (center - variable.value.read_value())
            for gradient, part, center, variable in zip(gradients, c, anchor, variables, strict=True)
        ]

    return correct
