"""One peer a call, its vectors set and read outside the graph, variable by variable: for large models.

Rows of a group are copied on their way in (made tensors, sliced, split) and out (joined, stacked). For a model of 100
MB the memory beside its variables peaked at 4 models for a group of one, and at 3 in evaluation; here at 2, which is
what `fit` takes for the gradients and SGD's step, and at 1. Between calls the variables are empty: a peer has its
vectors, and its model would take as much again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gossipfl.training.keras.data_tensors import Data
from gossipfl.training.keras.grouped import SCORING, Arrays, batch_bounds
from gossipfl.training.keras.state import ROLES, emptied, empty, load, parts_of, vector_of
from gossipfl.training.keras.steps import ModelSteps, Pick, chosen


class SingleGraphs:
    """Graphs that train or score whatever stands in the model's variables."""

    def __init__(self, steps: ModelSteps, evaluation_seeds: NDArray[np.int64]) -> None:
        self._steps = steps
        self._evaluation_seeds = evaluation_seeds

    def signature(self, graph: str) -> dict[str, Any]:
        """The arguments of a graph, the data set apart."""
        if graph == "evaluate":
            return {"batches": tf.TensorSpec([2], tf.int32)}
        signature: dict[str, Any] = {
            "indices": tf.TensorSpec([None], tf.int32),
            "batches": tf.TensorSpec([None, 2], tf.int32),
        }
        if graph in SCORING:
            return signature
        if self._steps.has_schedule:
            signature["first_step"] = tf.TensorSpec([], tf.int64)
        if graph == "train_private":
            signature |= {"noise_seeds": tf.TensorSpec([None, 2], tf.int64)}
            signature |= {"expected_sizes": tf.TensorSpec([None], tf.float32)}
        if graph == "train_corrected":
            vector = [tf.TensorSpec(variable.shape, tf.float32) for variable in self._steps.layout.weights]
            signature |= dict.fromkeys(("c", "anchor", "gradient_sum"), vector)
            signature["proximal_mu"] = tf.TensorSpec([], tf.float32)
        return signature

    def run(self, graph: str, peers: Sequence[Arrays], call: Callable[[Mapping[str, Any]], Any]) -> list[Arrays]:
        """The results of each peer, by a call of the graph for each."""
        return [self._run_one(graph, peer, call) for peer in peers]

    def _run_one(self, graph: str, peer: Arrays, call: Callable[[Mapping[str, Any]], Any]) -> Arrays:
        layout = self._steps.layout
        vectors = peer if graph not in SCORING else {**peer, "seeds": self._evaluation_seeds}
        variables = {role: layout.of(role) for role in ROLES if role in vectors}
        for role in variables:
            load(variables[role], vectors[role])
        if graph != "evaluate":
            examples = peer["indices"] if self._steps.in_order and graph not in SCORING else None
            peer = {**peer, "batches": batch_bounds(peer["sizes"], examples)}
        arguments: dict[str, Any] = {name: peer[name] for name in self.signature(graph)}
        for name in arguments.keys() & {"c", "anchor", "gradient_sum"}:
            arguments[name] = parts_of(peer[name], layout.weights)
        outcome = call(arguments)
        if graph in SCORING:
            for role in variables:
                for variable in variables[role]:
                    empty(variable)
            return {name: tensor.numpy() for name, tensor in outcome.items()}
        results: dict[str, Any] = {}
        if graph == "train_corrected":
            results["gradient_sum"] = vector_of(outcome.pop("gradient_sum"), layout.weights, np.float32)
        results |= {name: tensor.numpy() for name, tensor in outcome.items()}
        for role in variables:
            results[role] = vector_of(emptied(variables[role]), variables[role], ROLES[role])
        return results

    def train(
        self,
        indices: tf.Tensor,
        batches: tf.Tensor,
        data: Data,
        first_step: tf.Tensor | None = None,
        noise_seeds: tf.Tensor | None = None,
        expected_sizes: tf.Tensor | None = None,
        **correction: Any,
    ) -> dict[str, Any]:
        """The training graphs: the batches of the peer, its `first_step` for a schedule, and with corrections `c`,
        `anchor` and `gradient_sum`, variable by variable, and `proximal_mu`. Gives what `ModelSteps.train` does."""
        end = tf.shape(batches)[0]
        private = noise_seeds, expected_sizes
        return self._steps.train(data, indices, batches, tf.constant(0), end, first_step, correction, *private)

    def evaluate(self, batches: tf.Tensor, data: Data) -> dict[str, tf.Tensor]:
        """The evaluation graph: the `batches`, first and end. Gives `loss` and `metrics` of every batch."""
        return self._score("evaluate", self._steps.slices(data), batches[0], batches[1])

    def score(self, indices: tf.Tensor, batches: tf.Tensor, data: Data, graph: str = "score") -> dict[str, tf.Tensor]:
        """The evaluation graph for chosen examples: all the `batches` in `indices`; as graph "recalibrate", it gives
        the statistics of each batch alone, by forward passes in training mode."""
        return self._score(graph, chosen(data, indices, batches), tf.constant(0), tf.shape(batches)[0])

    def _score(self, graph: str, pick: Pick, first: tf.Tensor, end: tf.Tensor) -> dict[str, tf.Tensor]:
        measure = self._steps.measure(graph)
        arrays = self._steps.score(measure, pick, first, end, measure.arrays(end - first), tf.constant(0))
        return {name: array.stack() for name, array in arrays.items()}
