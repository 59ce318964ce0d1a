"""A model's metrics as Keras computes them, in the graphs that train and score many peers.

A Keras metric adds to its variables batch by batch, and makes its result of them. In training, that is what happens: a
job begins with fresh variables and ends with the results, as `fit` reports them. An evaluation may be cut between
slots; there, every batch begins with fresh variables, which are read out after it as one vector. The sum of these
vectors, in float64 and in the order of the batches, is the state that results are made of, wherever the evaluation was
cut. A metric that is not one of Keras need not be a sum: its batches stay together, and the variables after the last
one count.

The accuracy of a single output and integer labels takes a way of its own, to the same number: its metric of Keras would
cost a small model a fifth of a step.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import did_you_mean
from gossipfl.scores import LOSS, Metric
from gossipfl.training.keras.batch import Batch, by_output, outputs_by_name
from gossipfl.training.keras.named import first_line, overrides
from gossipfl.training.keras.run_metrics import Perplexity, RunMetric, is_made, run_metric
from gossipfl.training.keras.state import assign, join, read, size_of
from gossipfl.training.metrics import ACCURACY, MetricSpec, named_metric


class PlainAccuracy:
    """The share of examples whose class is chosen: the largest of several outputs, or, of a single one, class 1 above
    the `threshold`."""

    is_additive = True
    variables: Sequence[keras.Variable] = ()
    of_batches: tuple[Any, list[int]] = (tf.int64, [])
    of_job: tuple[Any, list[int]] = (tf.int64, [])

    def __init__(self, metric: Metric, threshold: float) -> None:
        self.metrics = (metric,)
        self._threshold = threshold

    def start(self) -> list[tf.Tensor]:
        """Begin to count: a loop over batches carries the number of right answers on."""
        return [tf.zeros([], tf.int64)]

    def start_batch(self) -> None:
        """Nothing: nothing is left of the batch before."""

    def add(self, carried: list[tf.Tensor], batch: Batch) -> list[tf.Tensor]:
        """Count a batch in."""
        return [carried[0] + self.batch_state(batch)]

    def end(self, carried: list[tf.Tensor]) -> tf.Tensor:
        """The number of right answers."""
        return carried[0]

    def batch_state(self, batch: Batch) -> tf.Tensor:
        """The number of right answers in a batch."""
        output = batch.output
        if output.shape.rank == 2 and output.shape[1] > 1:
            predicted = tf.argmax(output, -1, output_type=tf.int32)
        else:
            predicted = tf.cast(tf.reshape(output, [-1]) > tf.cast(self._threshold, output.dtype), tf.int32)
        return tf.math.count_nonzero(tf.equal(predicted, batch.y))

    def model_state(self, batch_states: NDArray[Any]) -> NDArray[Any]:
        """The number of right answers in all batches."""
        return np.asarray(batch_states.sum())

    def values(self, num_correct: NDArray[Any], num_examples: int) -> dict[str, float]:
        """The accuracy by its name."""
        return {self.metrics[0].name: int(num_correct) / num_examples}


class KerasMetrics:
    """Metrics of Keras: those that a run names, or, where `named` is None, all of the model's.

    A name alone is that of one of the model's. `batch` has two examples, on which the metrics build their variables.
    """

    def __init__(self, model: keras.Model, named: Mapping[Metric, RunMetric | str] | None, batch: Batch) -> None:
        self._model = model
        self._own = {metric: one for metric, one in (named or {}).items() if isinstance(one, RunMetric)}
        self._uses_model = named is None or len(self._own) < len(named)
        self._update(batch)
        self.tracked = [one.computed for one in self._own.values()]
        if self._uses_model:
            self.tracked += _metrics_of(model)
            _refuse_loss(model)
        self._sums = [metric for metric in self.tracked if _is_sum(metric)]
        self._others = [metric for metric in self.tracked if not _is_sum(metric)]
        self.is_additive = not self._others
        sums, others = ([v for metric in part for v in metric.variables] for part in (self._sums, self._others))
        self._num_sums = size_of(sums)
        self.variables: Sequence[keras.Variable] = [*sums, *others]
        self._dtype = tf.float32 if all(variable.dtype == "float32" for variable in self.variables) else tf.float64
        self.of_batches = self._dtype, [size_of(self.variables)]
        results = self._results()
        self._keys = list(results) if named is None else [_key(metric, one, results) for metric, one in named.items()]
        declared = named or map(partial(declaration, model), self._keys)
        self.metrics = tuple(chain.from_iterable(map(_each, declared, map(results.get, self._keys))))
        self.of_job = tf.float32, [len(self.metrics)]
        _check_distinct(self.metrics)

    @property
    def may_be_weighted(self) -> bool:
        """True if sample weights count in any of the metrics."""
        if self._uses_model:
            return bool(getattr(self._model._compile_metrics, "_user_weighted_metrics", None))
        return any(one.weighted for one in self._own.values())

    def start(self) -> list[tf.Tensor]:
        """Begin a job, or the evaluation of a model; a loop over batches carries nothing on."""
        for metric in self.tracked:
            metric.reset_state()
        return []

    def start_batch(self) -> None:
        """Begin a batch of an evaluation."""
        for metric in self._sums:
            metric.reset_state()

    def add(self, carried: list[tf.Tensor], batch: Batch) -> list[tf.Tensor]:
        """Count a batch in."""
        self._update(batch)
        return carried

    def end(self, carried: list[tf.Tensor]) -> tf.Tensor:
        """The results, float32 [metrics]."""
        results = self._results()
        return join([results[key] for key in self._keys], tf.float32)

    def batch_state(self, batch: Batch) -> tf.Tensor:
        """The variables [size] after a batch of an evaluation."""
        self._update(batch)
        return read(self.variables, self._dtype)

    def results_of(self, states: tf.Tensor) -> tf.Tensor:
        """In a graph: the results [n, metrics] of states [n, size]."""

        def result_of(row: tf.Tensor, results: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            assign(self.variables, states[row])
            return row + 1, results.write(row, self.end([]))

        num_rows = tf.shape(states)[0]
        results = tf.TensorArray(tf.float32, num_rows, element_shape=[len(self.metrics)])
        _, results = tf.while_loop(
            lambda row, _: row < num_rows, result_of, (tf.constant(0), results), parallel_iterations=1
        )
        return results.stack()

    def model_state(self, batch_states: NDArray[Any]) -> NDArray[Any]:
        """The state [size] of a model after batches with the states [batches, size]."""
        sums = batch_states[:, : self._num_sums].sum(axis=0, dtype=np.float64)
        return np.concatenate([sums, batch_states[-1, self._num_sums :]])

    def values(self, results: NDArray[Any], num_examples: int) -> dict[str, float]:
        """The metrics by name."""
        return dict(zip((metric.name for metric in self.metrics), map(shortest, results), strict=True))

    def _update(self, batch: Batch) -> None:
        if self._uses_model:
            self._model.compute_metrics(batch.x, batch.y, batch.output, sample_weight=batch.weight)
        if self._own:
            outputs = outputs_by_name(self._model, batch.output)
            targets, weights = by_output(list(outputs), batch.y), by_output(list(outputs), batch.weight)
            for one in self._own.values():
                one.update(targets, outputs, weights)

    def _results(self) -> dict[Metric | str, Any]:
        """Numbers, or arrays of them, each by its name in the model, or by the metric of the run."""
        of_model = self._model.get_metrics_result() if self._uses_model else {}
        results: dict[Metric | str, Any] = {name: value for name, value in of_model.items() if name != LOSS.name}
        return results | {metric: one.computed.result() for metric, one in self._own.items()}


def shortest(number: np.float32) -> float:
    """The shortest number that is this float32: 0.9, not 0.8999999762."""
    return float(str(number))


ModelMetrics: TypeAlias = PlainAccuracy | KerasMetrics


def model_metrics(
    model: keras.Model, specs: Sequence[MetricSpec] | None, batch: Batch, has_classes: bool
) -> ModelMetrics:
    """The metrics of a run: its `specs`; None: those of the model, or accuracy, where it has none and the task classes.

    `batch` has two examples, on which metrics build their variables. Raises ConfigurationError for a metric that there
    is not, or that does not take what the model gives.
    """
    if specs is None:
        try:
            metrics = KerasMetrics(model, None, batch)
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise ConfigurationError(
                f"the metrics of model {model.name!r} do not take the data's targets: {first_line(error)}"
            ) from error
        if metrics.metrics or not has_classes:
            return _in_short(metrics, model, batch)
        specs = ACCURACY
    outputs = outputs_by_name(model, batch.output)
    targets = by_output(list(outputs), batch.y)
    named = {
        spec.metric: run_metric(spec, model, targets, outputs) if is_made(spec) else spec.keras_name for spec in specs
    }
    return _in_short(KerasMetrics(model, named, batch), model, batch)


def _in_short(metrics: KerasMetrics, model: keras.Model, batch: Batch) -> ModelMetrics:
    """The same accuracy in fewer operations, where it is all there is: of integer labels [n], and outputs [n, classes],
    [n, 1] or [n]."""
    steps = ("compute_metrics", "get_metrics_result", "reset_metrics")
    if len(metrics.tracked) != 1 or len(metrics.metrics) != 1 or any(overrides(model, step) for step in steps):
        return metrics
    if batch.weight is not None and metrics.may_be_weighted:
        return metrics
    (metric,), output, y = metrics.tracked, batch.output, batch.y
    if not batch.is_single or getattr(output, "_keras_mask", None) is not None:
        return metrics
    is_single = tuple(output.shape[1:]) in ((), (1,))
    fits = type(metric) is (keras.metrics.BinaryAccuracy if is_single else keras.metrics.SparseCategoricalAccuracy)
    if not fits or y.dtype != tf.int32 or len(y.shape) != 1 or len(output.shape) > 2:
        return metrics
    return PlainAccuracy(metrics.metrics[0], metric._fn_kwargs["threshold"] if is_single else 0.0)


def _metrics_of(model: keras.Model) -> Iterator[keras.metrics.Metric]:
    """The metrics that a model is compiled with, the losses of its outputs, and its own; not its loss, which is known
    without them."""
    for metric in model.metrics:
        if metric is not getattr(model, "_loss_tracker", None):
            compiled = getattr(metric, "metrics", None)
            yield from [metric] if compiled is None else compiled


def _refuse_loss(model: keras.Model) -> None:
    """Raise ConfigurationError for a metric that `fit` would show in the place of the loss."""
    if any(metric.name == LOSS.name for metric in getattr(model._compile_metrics, "metrics", [])):
        raise ConfigurationError(
            f"a metric of model {model.name!r} is called 'loss', which is the name of the loss: give it another name"
        )


def _is_sum(metric: keras.metrics.Metric) -> bool:
    """True if the variables of many batches are the sums of those of each, as they are of every metric of Keras."""
    return type(metric).__module__.startswith("keras.") or type(metric) is Perplexity


def _key(metric: Metric, one: RunMetric | str, results: Mapping[Metric | str, Any]) -> Metric | str:
    if isinstance(one, RunMetric):
        return metric
    if one not in results:
        known = [name for name in results if isinstance(name, str)]
        raise ConfigurationError(
            f"there is no metric {one!r} in Keras, nor is the model compiled with it.{did_you_mean(one, known)} The "
            f"model has {', '.join(known) or 'none'}"
        )
    return one


def declaration(model: keras.Model, name: str) -> Metric:
    """The declaration of one of the model's own metrics, by its class, or by the function that it is the mean of."""
    losses = getattr(getattr(model, "_compile_loss", None), "metrics", [])
    shown = re.sub(r"\W", "_", name, flags=re.ASCII)
    shown = shown if shown[:1].isalpha() else f"metric_{shown}"
    for metric in _metrics_of(model):
        if metric.name == name or name.endswith(f"_{metric.name}"):
            if metric in losses:
                return replace(LOSS, name=shown)
            function = getattr(metric, "_fn", None) if type(metric) is keras.metrics.MeanMetricWrapper else None
            return named_metric(shown, str(getattr(function, "__name__", type(metric).__name__)))
    return Metric(shown, None, "number")


def _each(metric: Metric, result: Any) -> Iterator[Metric]:
    """The metric, or one for each number of an array."""
    if tuple(result.shape) == ():
        yield metric
    else:
        yield from (replace(metric, name=f"{metric.name}_{place}") for place in range(int(np.prod(result.shape))))


def _check_distinct(metrics: Sequence[Metric]) -> None:
    names = [metric.name for metric in metrics]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"two metrics of the model are called {name!r}: give one of them another name")
