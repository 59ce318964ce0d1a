"""Metrics that a scenario names become metrics of Keras, for the outputs and the targets of a model."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import did_you_mean
from gossipfl.names.user_functions import user_function
from gossipfl.scores import Metric
from gossipfl.training.keras.batch import shown_shape
from gossipfl.training.keras.named import first_line, made
from gossipfl.training.metrics import MetricSpec

_OF_CLASSES = {
    "AUC", "Precision", "Recall", "F1Score", "FBetaScore", "PrecisionAtRecall", "RecallAtPrecision",
    "SensitivityAtSpecificity", "SpecificityAtSensitivity", "TruePositives", "TrueNegatives", "FalsePositives",
    "FalseNegatives", "CategoricalAccuracy", "TopKCategoricalAccuracy", "CategoricalCrossentropy", "CategoricalHinge",
    "OneHotIoU", "OneHotMeanIoU",
}  # fmt: skip
"""Keras wants a target for each class here: class numbers are made those, [N] -> [N, classes]."""


_WORDS = ("accuracy", "crossentropy", "perplexity")
"""Metrics that are no class of Keras: two are chosen by the targets, and Keras does not have the third."""


class Perplexity(keras.metrics.Mean):  # type: ignore[misc]
    """exp(mean cross-entropy) of class numbers [...] or one-hot targets, masked ones left out; nats, not bits."""

    def __init__(
        self, name: str = "perplexity", from_logits: bool = False, ignore_class: int | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name, dtype)
        self.from_logits, self.ignore_class = from_logits, ignore_class

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        mask = getattr(y_pred, "_keras_mask", None)
        if len(y_true.shape) < len(y_pred.shape):
            values = keras.losses.sparse_categorical_crossentropy(
                y_true, y_pred, from_logits=self.from_logits, ignore_class=self.ignore_class
            )
            if self.ignore_class is not None:
                is_kept = keras.ops.not_equal(y_true, keras.ops.cast(self.ignore_class, y_true.dtype))
                mask = is_kept if mask is None else keras.ops.logical_and(mask, is_kept)
        else:
            values = keras.losses.categorical_crossentropy(y_true, y_pred, from_logits=self.from_logits)
        weights = None if mask is None else keras.ops.cast(mask, self.dtype)
        if sample_weight is not None:
            given = keras.ops.cast(sample_weight, self.dtype)
            while len(given.shape) < len(values.shape):
                given = keras.ops.expand_dims(given, -1)
            weights = given if weights is None else weights * given
        super().update_state(values, weights)

    def result(self) -> Any:
        """The perplexity of all batches so far."""
        return keras.ops.exp(super().result())


@dataclass(frozen=True)
class RunMetric:
    """A metric of a run, and the metric of Keras that computes it for one output; with `weighted`, examples count by
    their sample weights."""

    metric: Metric
    computed: keras.metrics.Metric
    output: str
    as_targets: Callable[[Any], Any]
    weighted: bool

    def update(self, targets: Mapping[str, Any], outputs: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
        """Add a batch, given by the names of the outputs."""
        weight = weights.get(self.output) if self.weighted else None
        self.computed.update_state(self.as_targets(targets[self.output]), outputs[self.output], sample_weight=weight)


def is_made(spec: MetricSpec) -> bool:
    """True if the metric is made for the run; False if its name is that of one that the model is compiled with."""
    return ":" in spec.keras_name or spec.keras_name in _WORDS or hasattr(keras.metrics, spec.keras_name)


def run_metric(
    spec: MetricSpec, model: keras.Model, targets: Mapping[str, Any], outputs: Mapping[str, Any]
) -> RunMetric:
    """The metric that a specification of a run stands for.

    `targets` and `outputs` are those of some examples. Raises ConfigurationError when Keras has no such metric, or none
    that fits them.
    """
    name = spec.metric.name
    output = _output(spec, targets)
    target, predicted = targets[output], outputs[output]
    arguments = dict(spec.arguments)
    weighted = bool(arguments.pop("weighted", False))
    kind = _class(spec.keras_name, target, predicted)
    parameters = inspect.signature(kind).parameters
    loss = _loss(model, output, list(outputs))
    for argument in ("from_logits", "ignore_class"):
        if argument in parameters and argument not in arguments and getattr(loss, argument, None) is not None:
            arguments[argument] = getattr(loss, argument)
    if spec.keras_name == "accuracy" and kind is keras.metrics.BinaryAccuracy and getattr(loss, "from_logits", False):
        arguments.setdefault("threshold", 0.0)  # a logit is for class 1 above 0
    computed = made(f"metric {name!r}", kind, {"name": name, **arguments})
    if not isinstance(computed, keras.metrics.Metric):
        raise ConfigurationError(f"metric {name!r} is a {type(computed).__name__}, expected a keras.metrics.Metric")
    one = RunMetric(spec.metric, computed, output, _targets_of(kind, target, predicted), weighted)
    try:
        one.update(targets, outputs, {})
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ConfigurationError(
            f"metric {name!r} does not take targets of shape {shown_shape(target)} and outputs of shape "
            f"{shown_shape(predicted)}: {first_line(error)}"
        ) from error
    return one


def _output(spec: MetricSpec, targets: Mapping[str, Any]) -> str:
    if spec.output is None and len(targets) == 1:
        return next(iter(targets))
    if spec.output in targets:
        return str(spec.output)
    known = ", ".join(map(repr, targets)) or "none that has targets"
    name = spec.metric.name
    if spec.output is None:
        raise ConfigurationError(
            f"metric {name!r} must say of which output it is, because the model has several: {{name = {name!r}, "
            f"output = ...}} with one of {known}"
        )
    hint = did_you_mean(spec.output, targets)
    raise ConfigurationError(f"metric {name!r} is of the output {spec.output!r}, but the model has {known}.{hint}")


def _class(keras_name: str, target: Any, predicted: Any) -> Any:
    if ":" in keras_name:
        return user_function(keras_name)
    if keras_name == "perplexity":
        return Perplexity
    if keras_name not in ("accuracy", "crossentropy"):
        return getattr(keras.metrics, keras_name)
    suffix = keras_name.title()
    if len(predicted.shape) == 1 or predicted.shape[-1] == 1:
        return getattr(keras.metrics, f"Binary{suffix}")
    return getattr(
        keras.metrics, f"SparseCategorical{suffix}" if _is_sparse(target, predicted) else f"Categorical{suffix}"
    )


def _is_sparse(target: Any, predicted: Any) -> bool:
    """True if targets are numbers of the classes that the outputs are for."""
    if len(target.shape) < len(predicted.shape):
        return True
    return bool(target.shape[-1] == 1 and predicted.shape[-1] > 1)


def _targets_of(kind: Any, target: Any, predicted: Any) -> Callable[[Any], Any]:
    if kind.__name__ in _OF_CLASSES and kind.__module__.startswith("keras."):
        num_classes = predicted.shape[-1]
        if len(predicted.shape) > 1 and num_classes == 1 and len(target.shape) < len(predicted.shape):
            return lambda y: tf.expand_dims(y, -1)
        if len(predicted.shape) > 1 and _is_sparse(target, predicted):
            squeezed = len(target.shape) == len(predicted.shape)
            return lambda y: keras.ops.one_hot(tf.squeeze(y, -1) if squeezed else y, num_classes, dtype=predicted.dtype)
    return lambda y: y


def _loss(model: keras.Model, output: str, outputs: Sequence[str]) -> Any:
    """The loss of an output, as the model is compiled with it."""
    loss = model.loss
    if isinstance(loss, Mapping):
        return loss.get(output)
    if isinstance(loss, list | tuple):
        return loss[outputs.index(output)] if len(loss) == len(outputs) else None
    return loss
