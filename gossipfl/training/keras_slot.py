"""One core's compiled model, and the graphs that train or evaluate a group of peers with it, one peer after the other.

A peer is a row of vectors: its weights, statistics and state are assigned to the model's variables, its batches are
sliced from the data set, which every slot shares, the real optimizer is applied, and the row is read out again, all in
one call of one graph. What a row gives does not depend on the rows beside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError
from gossipfl.training.keras_model import accepts_training, decision_threshold
from gossipfl.training.keras_state import VariableLayout, assign, join, read, size_of, split, variable_layout

Rows: TypeAlias = Mapping[str, NDArray[Any]]
"""Arrays by name whose rows belong to the peers of a group, in order."""


@dataclass(frozen=True)
class DataTensors:
    """The data set as tensors, held once for all slots."""

    train_x: tf.Tensor
    train_y: tf.Tensor
    test_x: tf.Tensor
    test_y: tf.Tensor
    evaluation_batch_size: int

    @property
    def num_test_batches(self) -> int:
        """Number of batches of the held-out data."""
        return -(-int(self.test_y.shape[0]) // self.evaluation_batch_size)

    def for_graph(self, graph: str) -> dict[str, tf.Tensor]:
        """The part that a graph reads, as arguments `x` and `y`: a captured tensor would outlive its graph."""
        x, y = (self.test_x, self.test_y) if graph == "evaluate" else (self.train_x, self.train_y)
        return {"x": x, "y": y}


class Slot:
    """A compiled model with its optimizer. One group at a time: the caller keeps two threads out of one slot."""

    def __init__(self, model: keras.Model, data: DataTensors, evaluation_integers: NDArray[np.int64]) -> None:
        self.model = model
        self.layout: VariableLayout = variable_layout(model)
        self.num_traces = 0
        self._data = data
        self._evaluation_integers = evaluation_integers
        self._threshold = decision_threshold(model)
        self._stopped = tf.Variable(False, trainable=False, name="stopped")
        self._graphs: dict[str, tuple[list[str], Callable[..., Any]]] = {}

    def stop(self) -> None:
        """Make the running graph end after its current step; its results are then void."""
        self._stopped.assign(True)

    def resume(self) -> None:
        """Take back an earlier `stop`."""
        self._stopped.assign(False)

    def trace(self, graph: str) -> None:
        """Build a graph ("train", "train_corrected" or "evaluate") unless it is there already; in one thread at a time.

        Raises ConfigurationError when the model uses variables that are not its own.
        """
        if graph in self._graphs:
            return
        graphs: dict[str, tuple[Callable[..., dict[str, tf.Tensor]], dict[str, tf.TensorSpec]]] = {
            "train": (self._train, self._training_signature()),
            "train_corrected": (self._train, self._corrected_signature()),
            "evaluate": (self._evaluate, self._evaluation_signature()),
        }
        function, signature = graphs[graph]
        signature |= {name: tf.TensorSpec.from_tensor(part) for name, part in self._data.for_graph(graph).items()}
        names = list(signature)
        concrete = tf.function(
            lambda *tensors: function(**dict(zip(names, tensors, strict=True))), autograph=False
        ).get_concrete_function(*signature.values())
        self.num_traces += 1
        self._refuse_foreign_variables(concrete)
        self._graphs[graph] = (names, concrete)

    def run(self, graph: str, arguments: Rows) -> Rows:
        """Call a traced graph.

        "train": `weights` [n, d], `statistics` [n, s], `optimizer` [n, o], `integers` [n, k]; `indices` [steps, width]
        and `sizes` [steps] of the batches of all peers, one peer's after the other's; `first_rows` [n + 1], where each
        peer's batches begin. "train_corrected" adds `c` [n, d], `anchor` [n, d] and `proximal_mu` [n].
        Gives the four rows after training, `loss` and `num_correct` [n] summed over the examples, and `mean_gradient`.

        "evaluate": `weights`, `statistics`, and the `batches` [n, 2], first and end, to score each model on. Gives
        `loss` and `num_correct` of every batch, summed over its examples, one model's batches after the other's.
        """
        names, concrete = self._graphs[graph]
        tensors: dict[str, Any] = {**self._data.for_graph(graph), **arguments}
        outputs = concrete(*[tf.convert_to_tensor(tensors[name]) for name in names])
        return {name: np.asarray(memoryview(tensor)) for name, tensor in outputs.items()}

    def _training_signature(self) -> dict[str, tf.TensorSpec]:
        layout = self.layout
        return {
            "weights": tf.TensorSpec([None, size_of(layout.weights)], tf.float32),
            "statistics": tf.TensorSpec([None, size_of(layout.statistics)], tf.float32),
            "optimizer": tf.TensorSpec([None, size_of(layout.optimizer)], tf.float32),
            "integers": tf.TensorSpec([None, size_of(layout.integers)], tf.int64),
            "indices": tf.TensorSpec([None, None], tf.int32),
            "sizes": tf.TensorSpec([None], tf.int32),
            "first_rows": tf.TensorSpec([None], tf.int32),
        }

    def _corrected_signature(self) -> dict[str, tf.TensorSpec]:
        vector = tf.TensorSpec([None, size_of(self.layout.weights)], tf.float32)
        return {
            **self._training_signature(),
            "c": vector,
            "anchor": vector,
            "proximal_mu": tf.TensorSpec([None], tf.float32),
        }

    def _evaluation_signature(self) -> dict[str, tf.TensorSpec]:
        return {
            "weights": tf.TensorSpec([None, size_of(self.layout.weights)], tf.float32),
            "statistics": tf.TensorSpec([None, size_of(self.layout.statistics)], tf.float32),
            "batches": tf.TensorSpec([None, 2], tf.int32),
        }

    def _train(
        self,
        weights: tf.Tensor,
        statistics: tf.Tensor,
        optimizer: tf.Tensor,
        integers: tf.Tensor,
        indices: tf.Tensor,
        sizes: tf.Tensor,
        first_rows: tf.Tensor,
        x: tf.Tensor,
        y: tf.Tensor,
        **correction: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        layout = self.layout
        num_peers = tf.shape(weights)[0]

        def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            chosen = indices[step, : sizes[step]]
            return tf.gather(x, chosen), tf.gather(y, chosen)

        def train_peer(peer: tf.Tensor, results: dict[str, tf.TensorArray]) -> tuple[tf.Tensor, Any]:
            assign(layout.weights, weights[peer])
            assign(layout.statistics, statistics[peer])
            assign(layout.optimizer, optimizer[peer])
            assign(layout.integers, integers[peer])
            end = first_rows[peer + 1]
            sums = {"loss": tf.zeros([], tf.float64), "num_correct": tf.zeros([], tf.int64)}
            correct: Callable[[list[tf.Tensor]], list[tf.Tensor]] | None = None
            if correction:
                correct = self._correction(**{name: rows[peer] for name, rows in correction.items()})
                sums["gradients"] = [tf.zeros(variable.shape) for variable in layout.weights]
            _, sums = tf.while_loop(
                lambda step, _: tf.logical_and(step < end, tf.logical_not(self._stopped.read_value())),
                lambda step, sums: (step + 1, self._step(*batch(step), sums, correct)),
                (first_rows[peer], sums),
                parallel_iterations=1,
            )
            outcome = {
                "weights": read(layout.weights),
                "statistics": read(layout.statistics),
                "optimizer": read(layout.optimizer),
                "integers": read(layout.integers, tf.int64),
                "loss": sums["loss"],
                "num_correct": sums["num_correct"],
            }
            if correction:
                num_steps = tf.cast(end - first_rows[peer], tf.float32)
                outcome["mean_gradient"] = join(sums["gradients"], tf.float32) / num_steps
            return peer + 1, {name: results[name].write(peer, value) for name, value in outcome.items()}

        outcomes = {
            "weights": (tf.float32, weights.shape[1:]),
            "statistics": (tf.float32, statistics.shape[1:]),
            "optimizer": (tf.float32, optimizer.shape[1:]),
            "integers": (tf.int64, integers.shape[1:]),
            "loss": (tf.float64, []),
            "num_correct": (tf.int64, []),
        }
        if correction:
            outcomes["mean_gradient"] = outcomes["weights"]
        results = {
            name: tf.TensorArray(dtype, num_peers, element_shape=shape) for name, (dtype, shape) in outcomes.items()
        }
        _, results = tf.while_loop(
            lambda peer, _: peer < num_peers, train_peer, (tf.constant(0), results), parallel_iterations=1
        )
        return {name: array.stack() for name, array in results.items()}

    def _step(
        self,
        x: tf.Tensor,
        y: tf.Tensor,
        sums: dict[str, Any],
        correct: Callable[[list[tf.Tensor]], list[tf.Tensor]] | None,
    ) -> dict[str, Any]:
        """One optimizer step, as the `train_step` of Keras does it."""
        model = self.model
        with tf.GradientTape() as tape:
            output, loss = self._forward(x, y, training=True)
            scaled_loss = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, model.trainable_variables)
        new_sums = {
            "loss": sums["loss"] + tf.cast(loss, tf.float64) * tf.cast(tf.shape(y)[0], tf.float64),
            "num_correct": sums["num_correct"] + self._num_correct(output, y),
        }
        if correct is not None:
            scale = model.optimizer.scale_loss(tf.ones([]))
            gradients = [
                tf.zeros(variable.shape) if gradient is None else tf.convert_to_tensor(gradient) / scale
                for gradient, variable in zip(gradients, self.layout.weights, strict=True)
            ]
            new_sums["gradients"] = [total + g for total, g in zip(sums["gradients"], gradients, strict=True)]
            gradients = [gradient * scale for gradient in correct(gradients)]
        model.optimizer.apply(gradients, model.trainable_variables)
        return new_sums

    def _correction(
        self, c: tf.Tensor, anchor: tf.Tensor, proximal_mu: tf.Tensor
    ) -> Callable[[list[tf.Tensor]], list[tf.Tensor]]:
        """g -> g + c + mu (y - anchor), variable by variable."""
        cs, anchors = split(c, self.layout.weights), split(anchor, self.layout.weights)

        def correct(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
            return [
                gradient + part + proximal_mu * (variable.value.read_value() - center)
                for gradient, part, center, variable in zip(gradients, cs, anchors, self.layout.weights, strict=True)
            ]

        return correct

    def _evaluate(
        self, weights: tf.Tensor, statistics: tf.Tensor, batches: tf.Tensor, x: tf.Tensor, y: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        layout = self.layout
        num_models, size = tf.shape(weights)[0], self._data.evaluation_batch_size
        num_results = tf.reduce_sum(batches[:, 1] - batches[:, 0])
        first_result = tf.concat([[0], tf.cumsum(batches[:, 1] - batches[:, 0])], 0)

        def score_model(position: tf.Tensor, results: Any) -> tuple[tf.Tensor, Any]:
            assign(layout.weights, weights[position])
            assign(layout.statistics, statistics[position])
            assign(layout.integers, tf.constant(self._evaluation_integers))
            first, end = batches[position, 0], batches[position, 1]

            def score_batch(batch: tf.Tensor, results: Any) -> tuple[tf.Tensor, Any]:
                labels = y[batch * size : (batch + 1) * size]
                output, loss = self._forward(x[batch * size : (batch + 1) * size], labels, training=False)
                losses, nums_correct = results
                target = first_result[position] + batch - first
                losses = losses.write(target, tf.cast(loss, tf.float64) * tf.cast(tf.shape(labels)[0], tf.float64))
                return batch + 1, (losses, nums_correct.write(target, self._num_correct(output, labels)))

            _, results = tf.while_loop(
                lambda batch, _: tf.logical_and(batch < end, tf.logical_not(self._stopped.read_value())),
                score_batch,
                (first, results),
                parallel_iterations=1,
            )
            return position + 1, results

        results = (
            tf.TensorArray(tf.float64, num_results, element_shape=[]),
            tf.TensorArray(tf.int64, num_results, element_shape=[]),
        )
        _, (losses, nums_correct) = tf.while_loop(
            lambda position, _: position < num_models, score_model, (tf.constant(0), results), parallel_iterations=1
        )
        return {"loss": losses.stack(), "num_correct": nums_correct.stack()}

    def _forward(self, x: tf.Tensor, y: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        model = self.model
        output = model(x, training=training) if accepts_training(model.call) else model(x)
        arguments = {"training": training} if accepts_training(model.compute_loss) else {}
        return output, model.compute_loss(x=x, y=y, y_pred=output, sample_weight=None, **arguments)

    def _num_correct(self, output: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        if output.shape.rank == 2 and output.shape[1] > 1:
            predicted = tf.argmax(output, -1, output_type=tf.int32)
        else:
            predicted = tf.cast(tf.reshape(output, [-1]) > tf.cast(self._threshold, output.dtype), tf.int32)
        return tf.math.count_nonzero(tf.equal(predicted, y))

    def _refuse_foreign_variables(self, concrete: Any) -> None:
        known = [variable.value for variable in self.model.variables]
        known += [variable.value for metric in self.model.metrics for variable in metric.variables]
        known += [variable.value for variable in self.model.optimizer.variables]
        handles = {id(variable.handle) for variable in [*known, self._stopped]}
        foreign = [variable.name for variable in concrete.graph.variables if id(variable.handle) not in handles]
        if foreign:
            raise ConfigurationError(
                f"model {self.model.name!r} uses variables that are not its own: {', '.join(sorted(foreign))}; "
                f"they would be shared by all peers. Make them attributes of a layer; random layers need their own "
                f"keras.random.SeedGenerator"
            )
