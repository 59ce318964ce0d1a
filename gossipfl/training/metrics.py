"""The metrics by which a run may judge its models: those of Keras, with their directions and units, and the users' own.

A scenario names them in `evaluation.metrics`; a trainer computes them as Keras does. Tables, report and files follow
what is declared here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import did_you_mean, snake_case
from gossipfl.scores import Metric, Unit

_HIGHER_SHARES = """
    accuracy BinaryAccuracy CategoricalAccuracy SparseCategoricalAccuracy TopKCategoricalAccuracy
    SparseTopKCategoricalAccuracy AUC Precision Recall F1Score FBetaScore PrecisionAtRecall RecallAtPrecision
    SensitivityAtSpecificity SpecificityAtSensitivity IoU BinaryIoU MeanIoU OneHotIoU OneHotMeanIoU
"""
_HIGHER_NUMBERS = """
    CosineSimilarity R2Score PearsonCorrelation ConcordanceCorrelation TruePositives TrueNegatives
"""
_LOWER_NUMBERS = """
    crossentropy perplexity BinaryCrossentropy CategoricalCrossentropy SparseCategoricalCrossentropy KLDivergence
    Poisson Hinge SquaredHinge CategoricalHinge MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError
    MeanSquaredLogarithmicError RootMeanSquaredError LogCoshError FalsePositives FalseNegatives
"""
_DIRECTIONS: Mapping[str, tuple[bool, Unit]] = {
    **dict.fromkeys(_HIGHER_SHARES.split(), (True, "share")),
    **dict.fromkeys(_HIGHER_NUMBERS.split(), (True, "number")),
    **dict.fromkeys(_LOWER_NUMBERS.split(), (False, "number")),
}
"""Every class of `keras.metrics` that compares targets with predictions, and three that are no class: `accuracy` and
`crossentropy`, of which `compile` finds the class by the targets, and `perplexity`, exp(mean cross-entropy)."""

_ALIASES = {
    "acc": "accuracy",
    "ce": "crossentropy",
    "bce": "BinaryCrossentropy",
    "mae": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "mse": "MeanSquaredError",
    "msle": "MeanSquaredLogarithmicError",
    "rmse": "RootMeanSquaredError",
    "logcosh": "LogCoshError",
}

_OF_TABLE = ("as", "output", "higher_is_better", "unit")
"""The fields of a metric's table that are no arguments of its class."""

_BY_LETTERS = _ALIASES | {name.lower(): name for name in _DIRECTIONS}


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A metric of a run, and how it is made: a Keras metric with `arguments`, of one `output` of a model with several.

    `keras_name` is the name of a class in `keras.metrics`; `accuracy`, `crossentropy` or `perplexity`;
    `package.module:Class`, a user's own; or, in any other case, the name of a metric that the model is compiled with.
    """

    metric: Metric
    keras_name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    output: str | None = None


def metric_spec(given: str | Mapping[str, Any]) -> MetricSpec:
    """The metric that an entry of `evaluation.metrics` stands for: a name, or a table of a `name`, arguments, and
    perhaps `as` (the name that is shown), `output`, `higher_is_better` and `unit`.

    Raises ConfigurationError, with the nearest spelling, for a name that nobody knows.

    >>> metric_spec("mae").metric.higher_is_better
    False
    >>> metric_spec({"name": "recall", "class_id": 3, "as": "recall_of_3"}).arguments
    {'class_id': 3}
    """
    table: dict[str, Any] = {"name": given} if isinstance(given, str) else dict(given)
    name = table.pop("name", None)
    if not isinstance(name, str):
        raise ConfigurationError(
            f'a metric is a name or a table with a name, such as {{name = "auc", num_thresholds = 500}}; got {given}'
        )
    shown, output, higher_is_better, unit = (table.pop(key, None) for key in _OF_TABLE)
    for key, value, wanted, is_right in (
        ("as", shown, "a word", isinstance(shown, str | None)),
        ("output", output, "a word", isinstance(output, str | None)),
        ("higher_is_better", higher_is_better, "true or false", isinstance(higher_is_better, bool | None)),
        ("unit", unit, " or ".join(get_args(Unit)), unit in (None, *get_args(Unit))),
    ):
        if not is_right:
            raise ConfigurationError(f"metric {name!r}: {key} is {value!r}, expected {wanted}")
    keras_name = _keras_name(name)
    usual: tuple[bool | None, Unit] = _DIRECTIONS.get(keras_name, (None, "number"))
    if usual[0] is None and higher_is_better is None and ":" not in name:
        hint = did_you_mean(name, [*_ALIASES, *map(snake_case, _DIRECTIONS)])
        raise ConfigurationError(
            f"there is no metric {name!r} in Keras.{hint} A metric of your own is named package.module:Class; one that "
            f'the model is compiled with needs its direction: {{name = "{name}", higher_is_better = true}}'
        )
    if shown is None:
        last = name.rpartition(":")[2].rpartition(".")[2]
        shown = snake_case(last) if last[:1].isupper() else last
        shown = shown if output is None else f"{output}_{shown}"
    if shown in ("loss", "peers"):
        raise ConfigurationError(f"no metric can be shown as {shown!r}, which every run has; give it another name: as")
    if higher_is_better is None:
        higher_is_better = usual[0]
    return MetricSpec(Metric(shown, higher_is_better, usual[1] if unit is None else unit), keras_name, table, output)


def metric_specs(given: Sequence[str | Mapping[str, Any]]) -> tuple[MetricSpec, ...]:
    """The metrics of `evaluation.metrics`. Raises ConfigurationError also where two have the same name."""
    specs = tuple(map(metric_spec, given))
    names = [spec.metric.name for spec in specs]
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise ConfigurationError(
            f'two metrics are called {doubled[0]!r}; give one of them another name: {{name = ..., as = "another"}}'
        )
    return specs


def named_metric(name: str, class_name: str | None = None) -> Metric:
    """The declaration of a metric of this name, and of this class where it is not the name that says it; its direction
    is None where Keras has no such class: its values are shown, and are no targets.

    >>> named_metric("error", "MeanAbsoluteError").higher_is_better, named_metric("own").higher_is_better
    (False, None)
    """
    return Metric(name, *_DIRECTIONS.get(_keras_name(class_name or name), (None, "number")))


def _keras_name(name: str) -> str:
    return _BY_LETTERS.get(name.replace("_", "").lower(), name)


ACCURACY = (metric_spec("accuracy"),)
"""The metrics of a classification where neither the scenario names any, nor the model is compiled with any."""
