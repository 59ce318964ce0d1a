"""One core's compiled model, and the graphs that train or evaluate peers with it, one peer after the other.

A peer is its vectors: weights, statistics and state. They are set as the model's variables, the peer's batches are
sliced from the data set, which every slot shares, the real optimizer is applied, and the vectors are read out again.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError
from gossipfl.scores import LOSS, Score
from gossipfl.training.keras.data_tensors import DataTensors
from gossipfl.training.keras.grouped import SCORING, Arrays, GroupedGraphs
from gossipfl.training.keras.metrics import KerasMetrics
from gossipfl.training.keras.models import BuiltModel
from gossipfl.training.keras.runtime import fits_one_thread, on_one_thread
from gossipfl.training.keras.single import SingleGraphs
from gossipfl.training.keras.state import VariableLayout
from gossipfl.training.keras.steps import ModelSteps
from gossipfl.training.settings import ExamplePrivacy
from gossipfl.weights import Constants

MAX_GROUPED_FLOATS = 10**6
"""Models with more weights, statistics and optimizer floats are trained one peer a call.

Measured, milliseconds a peer for one step of 10 examples, where a call's cost shows most, in a group and alone: 44
thousand floats 1.7 and 9.3, 0.2 million 2.4 and 6.3, 0.9 million 5.3 and 7.6, 1.5 million 20 and 13, 5.6 million 74 and
50. Beyond memory, the copies of a group's rows cost time.
"""

MAX_MAPPED_BYTES = 64 * 2**20
"""So much of a part that is mapped from files is in memory at once for an evaluation, at each slot."""


class Slot:
    """A compiled model with its optimizer. One group at a time: the caller keeps two threads out of one slot."""

    def __init__(
        self,
        built: BuiltModel,
        data: DataTensors,
        evaluation_seeds: NDArray[np.int64],
        privacy: ExamplePrivacy | None = None,
    ) -> None:
        self._steps = ModelSteps(built, data, privacy)
        self.built = built
        self.layout: VariableLayout = built.layout
        self.num_traces = 0
        self._data = data
        kind = SingleGraphs if self.layout.num_floats > MAX_GROUPED_FLOATS else GroupedGraphs
        self._graphs = kind(self._steps, evaluation_seeds)
        self._traced: dict[tuple[str, str], tuple[Callable[[], AbstractContextManager[None]], Callable[..., Any]]] = {}

    @property
    def num_bytes_per_batch(self) -> int:
        """Memory that the scores of one batch of an evaluation take."""
        dtype, shape = self.built.scoring.of_batches
        return 8 + int(dtype.size) * math.prod(shape)

    def set_constants(self, constants: Constants) -> None:
        """Take the constants of the run, and forget the graphs in which others are no variables."""
        self.built.set_constants(constants)
        if self.built.normalizations:
            self._traced.clear()

    def stop(self) -> None:
        """Make the running graph end after its current step; its results are then void."""
        self._steps.stopped.assign(True)

    def resume(self) -> None:
        """Take back an earlier `stop`."""
        self._steps.stopped.assign(False)

    def trace(self, graph: str, part: str = "train") -> None:
        """Build a graph ("train", "train_corrected", "train_private", "evaluate", "score" or "recalibrate", and what
        these need) for a part of the data set, unless it is there already; in one thread at a time.

        Raises ConfigurationError when the model uses variables that are not its own.
        """
        if graph == "evaluate" and self._data.is_mapped(part):
            graph = "score"
        key = graph, self._data.kinds[part]
        if key in self._traced:
            return
        metrics = self.built.scoring
        if graph in SCORING and graph != "recalibrate" and isinstance(metrics, KerasMetrics):
            self.trace("results")
        function: Any = {
            "evaluate": self._graphs.evaluate,
            "score": self._graphs.score,
            "recalibrate": partial(self._graphs.score, graph="recalibrate"),
            "results": getattr(metrics, "results_of", None),
        }.get(graph, self._graphs.train)
        if graph == "results":
            signature: dict[str, Any] = {"states": tf.TensorSpec([None, *metrics.of_batches[1]], tf.float64)}
        else:
            signature = {**self._graphs.signature(graph), "data": self._data.signature(part)}
        for executor in (on_one_thread, nullcontext):
            with executor():
                concrete = tf.function(
                    lambda *tensors: function(**tf.nest.pack_sequence_as(signature, tensors)), autograph=False
                ).get_concrete_function(*tf.nest.flatten(signature))
            if fits_one_thread(concrete):
                break
        self.num_traces += 1
        self._refuse_foreign_variables(concrete)
        self._traced[key] = executor, concrete

    def run(self, graph: str, peers: Sequence[Arrays], part: str = "train") -> list[Arrays]:
        """Run a traced graph for each peer on a part of the data set; arguments and results are arrays by name.

        "train": the vectors of all `ROLES`; `indices` [examples] and `sizes` [steps] of the batches, and `first_step`,
        which a learning-rate schedule goes on from. "train_corrected" adds `c`, `anchor` and `gradient_sum` [d] and
        `proximal_mu`. Gives the vectors after training, `loss` summed over the examples, `metrics` [...],
        `num_skipped` (steps that a LossScaleOptimizer did not apply), and, corrected, the `gradient_sum` [d] with those
        of these steps. "train_private" adds `noise_seeds` [steps, 2] and `expected_sizes` [steps], and gives
        `num_examples`, too.

        "evaluate": `weights`, `statistics`, and the `batches` [2], first and end, to score the model on. Gives `loss`
        of every batch, summed over its examples, and the state of the `metrics` after it.

        "score": the same for `weights` and `statistics` on chosen examples, `indices` in batches of the `sizes`.

        "recalibrate": with the arguments of "score", the `statistics` that every batch alone gives.
        """
        if graph == "evaluate" and self._data.is_mapped(part):
            return self._evaluate_mapped(peers, part)
        return self._graphs.run(graph, peers, partial(self._call, graph, part))

    def _evaluate_mapped(self, models: Sequence[Arrays], part: str) -> list[Arrays]:
        """Results of "evaluate" by "score": the examples of some batches become tensors, and all models are scored on
        them; what may not be cut wants all batches of a model at once."""
        data, results = self._data, [list[Arrays]() for _ in models]
        num_bytes = data.bytes_per_example(part) * data.evaluation_batch_size
        at_a_time = max(1, MAX_MAPPED_BYTES // num_bytes) if self.built.may_be_cut else data.num_batches(part)
        bounds = np.stack([model["batches"] for model in models])
        for begin in range(int(bounds[:, 0].min()), int(bounds[:, 1].max()), at_a_time):
            firsts, ends = np.clip(bounds, begin, begin + at_a_time).T
            scored = np.flatnonzero(firsts < ends).tolist()
            peers = [{**models[i], **data.batches(part, int(firsts[i]), int(ends[i]))} for i in scored]
            outcomes = self._graphs.run("score", peers, partial(self._call, "score", part))
            for i, outcome in zip(scored, outcomes, strict=True):
                results[i].append(outcome)
        return [{name: np.concatenate([one[name] for one in each]) for name in each[0]} for each in results]

    def scores(self, batches: Sequence[Arrays], nums_examples: Sequence[int]) -> list[Score]:
        """The scores of models, from what "evaluate" or "score" gave of all batches of each."""
        metrics = self.built.scoring
        results: Any = [metrics.model_state(one["metrics"]) for one in batches]
        if batches and isinstance(metrics, KerasMetrics):
            results = self._call("results", None, {"states": np.stack(results)}).numpy()
        scores = []
        for one, result, num_examples in zip(batches, results, nums_examples, strict=True):
            values = metrics.values(result, num_examples)  # with a loss, if a test_step of the model's own says it
            loss = values.pop(LOSS.name, None)
            scores.append(Score(float(one["loss"].sum()) / num_examples if loss is None else loss, values))
        return scores

    def _call(self, graph: str, part: str | None, arguments: Mapping[str, Any]) -> Any:
        # The data are an argument: a captured tensor would outlive its graph.
        if part is not None:
            data, arguments = self._data.for_call(part, arguments)
            arguments = {**arguments, "data": data}
        executor, concrete = self._traced[graph, self._data.kinds[part or "train"]]
        with executor():
            return concrete(*map(tf.convert_to_tensor, tf.nest.flatten(dict(arguments))))

    def _refuse_foreign_variables(self, concrete: Any) -> None:
        model = self._steps.model
        known = [variable.value for variable in model.variables]
        known += [variable.value for metric in model.metrics for variable in metric.variables]
        known += [variable.value for optimizer in self.built.optimizers for variable in optimizer.variables]
        handles = {id(variable.handle) for variable in [*known, *self._steps.own_variables]}
        foreign = [variable.name for variable in concrete.graph.variables if id(variable.handle) not in handles]
        if foreign:
            raise ConfigurationError(
                f"model {model.name!r} uses variables that are not its own: {', '.join(sorted(foreign))}; "
                f"they would be shared by all peers. Make them attributes of a layer; random layers need their own "
                f"keras.random.SeedGenerator"
            )
