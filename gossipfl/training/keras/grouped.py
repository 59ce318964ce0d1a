"""A group of peers in one call of one graph, one peer after the other: for models of up to a few megabytes.

A call costs more than a step of a small model. So the peers' vectors are rows of arrays; in the graph a row is
assigned to the model's variables, trained, and read out again. What a row gives does not depend on the rows beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gossipfl.training.keras.data_tensors import Data
from gossipfl.training.keras.state import MODEL_ROLES, ROLES, assign, join, read, size_of, split
from gossipfl.training.keras.steps import ModelSteps, Pick, chosen

SCORING = ("evaluate", "score", "recalibrate")
"""The graphs that change nothing: they score models on the held-out data, and on chosen examples, and say which
statistics these give."""

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
"""Arrays of one peer, or of one call, by name."""


PRIVATE = ("noise_seeds", "expected_sizes")
"""The arguments of a training that protects examples, a row for each batch."""


class GroupedGraphs:
    """Graphs whose arguments and results have a row per peer."""

    def __init__(self, steps: ModelSteps, evaluation_seeds: NDArray[np.int64]) -> None:
        self._steps = steps
        self._evaluation_seeds = evaluation_seeds

    def signature(self, graph: str) -> dict[str, tf.TensorSpec]:
        """The arguments of a graph, the data set apart."""
        layout = self._steps.layout
        # Every operation costs a microsecond, also those on nothing: roles without variables are left out.
        rows = {
            role: tf.TensorSpec([None, size_of(layout.of(role))], dtype)
            for role, dtype in ROLES.items()
            if layout.of(role)
        }
        pairs, numbers = tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([None], tf.int32)
        if graph in SCORING:
            chosen = {"indices": numbers, "chunks": pairs} if graph != "evaluate" else {}
            return {**{role: rows[role] for role in MODEL_ROLES if role in rows}, "batches": pairs, **chosen}
        signature = {
            **rows,
            "indices": numbers,
            "batches": pairs,
            "first_batches": numbers,
        }
        if self._steps.has_schedule:
            signature["first_step"] = tf.TensorSpec([None], tf.int64)
        if graph == "train_private":
            signature |= {"noise_seeds": tf.TensorSpec([None, 2], tf.int64)}
            signature |= {"expected_sizes": tf.TensorSpec([None], tf.float32)}
        if graph == "train_corrected":
            signature |= dict.fromkeys(("c", "anchor", "gradient_sum"), rows["weights"])
            signature["proximal_mu"] = tf.TensorSpec([None], tf.float32)
        return signature

    def run(self, graph: str, peers: Sequence[Arrays], call: Callable[[Mapping[str, Any]], Any]) -> list[Arrays]:
        """The results of each peer, by one call of the graph."""
        if graph in SCORING:
            return self._run_scoring(graph, peers, call)
        indices = np.concatenate([peer["indices"] for peer in peers])
        sizes = np.concatenate([peer["sizes"] for peer in peers])
        batches = {
            "indices": indices,
            "batches": batch_bounds(sizes, indices if self._steps.in_order else None),
            "first_batches": np.cumsum([0, *(len(peer["sizes"]) for peer in peers)], dtype=np.int32),
        }
        if graph == "train_private":
            batches |= {name: np.concatenate([peer[name] for peer in peers]) for name in PRIVATE}
        names = self.signature(graph).keys() - batches.keys()
        rows = {name: stacked([peer[name] for peer in peers]) for name in names}
        results = {name: _array(tensor) for name, tensor in call({**rows, **batches}).items()}
        return [{name: _own(array, row) for name, array in results.items()} for row in range(len(peers))]

    def _run_scoring(
        self, graph: str, models: Sequence[Arrays], call: Callable[[Mapping[str, Any]], Any]
    ) -> list[Arrays]:
        roles = [role for role in MODEL_ROLES if self._steps.layout.of(role)]
        arguments = {role: stacked([model[role] for model in models]) for role in roles}
        if graph == "evaluate":
            batches = stacked([model["batches"] for model in models])
        else:
            nums_chunks = np.array([len(model["sizes"]) for model in models], np.int32)
            ends = np.cumsum(nums_chunks, dtype=np.int32)
            batches = np.stack([ends - nums_chunks, ends], axis=1)
            arguments["indices"] = np.concatenate([model["indices"] for model in models])
            arguments["chunks"] = batch_bounds(np.concatenate([model["sizes"] for model in models]), None)
        cuts = np.cumsum(batches[:, 1] - batches[:, 0])[:-1]
        results = call({**arguments, "batches": batches})
        columns = {name: np.split(_array(tensor), cuts) for name, tensor in results.items()}
        return [{name: column[row] for name, column in columns.items()} for row in range(len(models))]

    def train(
        self,
        indices: tf.Tensor,
        batches: tf.Tensor,
        first_batches: tf.Tensor,
        data: Data,
        first_step: tf.Tensor | None = None,
        noise_seeds: tf.Tensor | None = None,
        expected_sizes: tf.Tensor | None = None,
        **vectors: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The training graphs: rows [n, size] of all `ROLES` that the model has; the batches of all peers, one peer's
        after the other's; `first_batches` [n + 1], where each peer's begin; `first_step` [n] for a schedule; with
        corrections `c`, `anchor` and `gradient_sum` [n, d] and `proximal_mu` [n].

        Gives the rows after training, `loss` [n], `metrics` [n, ...], `num_skipped` [n] of a model that may skip
        steps, and with corrections `gradient_sum` [n, d].
        """
        layout = self._steps.layout
        num_peers = tf.shape(vectors["weights"])[0]
        rows = {role: vectors[role] for role in ROLES if role in vectors}
        correction = {name: values for name, values in vectors.items() if name not in ROLES}
        variables = {role: layout.of(role) for role in rows}

        def train_peer(peer: tf.Tensor, results: dict[str, tf.TensorArray]) -> tuple[tf.Tensor, Any]:
            for role in variables:
                assign(variables[role], tf.gather(rows[role], peer))
            parts = {
                name: values[peer] if name == "proximal_mu" else split(values[peer], layout.weights)
                for name, values in correction.items()
            }
            first, end = tf.gather(first_batches, peer), tf.gather(first_batches, peer + 1)
            step = None if first_step is None else tf.gather(first_step, peer)
            outcome = self._steps.train(data, indices, batches, first, end, step, parts, noise_seeds, expected_sizes)
            if correction:
                outcome["gradient_sum"] = join(outcome["gradient_sum"], tf.float32)
            outcome |= {role: read(variables[role], rows[role].dtype) for role in variables}
            return peer + 1, {name: results[name].write(peer, value) for name, value in outcome.items()}

        outcomes = {role: (rows[role].dtype, rows[role].shape[1:]) for role in variables}
        outcomes |= {"loss": (tf.float64, []), "metrics": self._steps.training.of_job}
        if noise_seeds is not None:
            outcomes["num_examples"] = (tf.int32, [])
        if self._steps.may_skip:
            outcomes["num_skipped"] = (tf.int64, [])
        if correction:
            outcomes["gradient_sum"] = outcomes["weights"]
        results = {
            name: tf.TensorArray(dtype, num_peers, element_shape=shape) for name, (dtype, shape) in outcomes.items()
        }
        _, results = tf.while_loop(
            lambda peer, _: peer < num_peers, train_peer, (tf.constant(0), results), parallel_iterations=1
        )
        return {name: array.stack() for name, array in results.items()}

    def evaluate(self, batches: tf.Tensor, data: Data, **vectors: tf.Tensor) -> dict[str, tf.Tensor]:
        """The evaluation graph: rows [n, size] of the `MODEL_ROLES` that the model has, and the `batches` [n, 2], first
        and end, to score each model on. Gives `loss` and state of the `metrics` of every batch, one model's after the
        other's.
        """
        return self._score("evaluate", vectors, batches, self._steps.slices(data))

    def score(
        self,
        batches: tf.Tensor,
        indices: tf.Tensor,
        chunks: tf.Tensor,
        data: Data,
        graph: str = "score",
        **vectors: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The evaluation graph for chosen examples: what `evaluate` takes, and `chunks`, the batches in `indices`; as
        graph "recalibrate", it gives the statistics of each batch alone, by forward passes in training mode."""
        return self._score(graph, vectors, batches, chosen(data, indices, chunks))

    def _score(
        self, graph: str, vectors: Mapping[str, tf.Tensor], batches: tf.Tensor, pick: Pick
    ) -> dict[str, tf.Tensor]:
        layout, measure = self._steps.layout, self._steps.measure(graph)
        num_models, nums_batches = tf.shape(vectors["weights"])[0], batches[:, 1] - batches[:, 0]
        positions = tf.cumsum(nums_batches, exclusive=True)

        def score_model(model: tf.Tensor, scores: Any) -> tuple[tf.Tensor, Any]:
            for role, rows in vectors.items():
                assign(layout.of(role), rows[model])
            assign(layout.seeds, tf.constant(self._evaluation_seeds))
            first, end = batches[model, 0], batches[model, 1]
            return model + 1, self._steps.score(measure, pick, first, end, scores, positions[model])

        scores = measure.arrays(tf.reduce_sum(nums_batches))
        _, scores = tf.while_loop(
            lambda model, _: model < num_models, score_model, (tf.constant(0), scores), parallel_iterations=1
        )
        return {name: array.stack() for name, array in scores.items()}


def batch_bounds(sizes: NDArray[np.int32], examples: NDArray[np.int32] | None) -> NDArray[np.int32]:
    """The beginning and the size of each batch, int32 [steps, 2], for batches that lie one after the other; with
    `examples`, which of them it begins with."""
    begins = np.cumsum(sizes, dtype=np.int32) - sizes
    return np.stack([begins if examples is None else examples[begins], sizes], axis=1)


def stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One array whose rows are the arrays; a single one is not copied."""
    if len(arrays) == 1:
        return arrays[0][np.newaxis]
    rows = np.empty((len(arrays), *arrays[0].shape), arrays[0].dtype)
    for row, array in enumerate(arrays):
        rows[row] = array
    return rows


def _array(tensor: tf.Tensor) -> NDArray[Any]:
    return np.asarray(memoryview(tensor))


def _own(rows: NDArray[Any], row: int) -> NDArray[Any]:
    """A copy, so that one peer's vector does not keep its whole group's in memory; a single row is its own group."""
    own: NDArray[Any] = rows[row]
    return own if len(rows) == 1 else own.copy()
