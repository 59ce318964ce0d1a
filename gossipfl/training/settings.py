"""The settings of local training, beyond the model and the batches."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.training.metrics import MetricSpec
from gossipfl.training.sharing import ALL_AVERAGED, SharingPatterns


@dataclass(frozen=True, slots=True)
class ExamplePrivacy:
    """Protection of single examples in training (DP-SGD; Abadi et al., 2016), of jobs that have a secret:

        g = (sum_i g_i min(1, C / ||g_i||) + N(0, (z C)^2 I)) / B,

    over the examples i of a batch that is drawn in secret; B is the size of batches that is expected, `clip` is C and
    `noise` z.

    Raises ConfigurationError for a clip that is not above 0 (infinite: nothing is clipped), or a noise below 0 or
    without a finite clip.
    """

    clip: float
    noise: float

    def __post_init__(self) -> None:
        if not (self.clip > 0 and isfinite(self.noise) and self.noise >= 0 and (isfinite(self.clip) or not self.noise)):
            raise ConfigurationError(f"a clip is above 0 and a noise at least 0, both finite, got {self}")


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Optimizer, loss and evaluation batch size of local training.

    `optimizer`: a Keras optimizer by name, or a mapping of its name and arguments, `{"name": "sgd", "learning_rate":
    0.02}`; None takes the one that the model is compiled with.
    `loss`: a Keras loss by name, or a mapping of its name and arguments, `{"name": "sparse_categorical_crossentropy",
    "from_logits": True}`; None takes the one that the model is compiled with, and cross-entropy for an uncompiled one.
    Without the argument `from_logits`, it is found from the activation of the model's last layer.
    `evaluation_batch_size`: examples per step of an evaluation. Higher: fewer, larger steps at the expense of memory
    for the activations of a batch on every core. The scores depend on it by rounding only.
    `metrics`: those by which models are scored; None: those that the model is compiled with, or where there are none,
    accuracy of a classification.
    `class_weight`: a factor of the loss of each example by its class, as `fit` takes it; others have 1.
    `sharing`: which variables stay at each peer, and which are frozen.
    `privacy`: how jobs with a secret protect single examples; None: there are no such jobs.

    Raises ConfigurationError for a mapping without a name, a batch size below 1 or a weight that is no number >= 0.
    """

    optimizer: str | Mapping[str, Any] | None = None
    loss: str | Mapping[str, Any] | None = None
    evaluation_batch_size: int = 500
    metrics: tuple[MetricSpec, ...] | None = None
    class_weight: Mapping[int, float] = field(default_factory=dict)
    sharing: SharingPatterns = ALL_AVERAGED
    privacy: ExamplePrivacy | None = None

    def __post_init__(self) -> None:
        if self.evaluation_batch_size < 1:
            raise ConfigurationError(f"evaluation_batch_size must be >= 1, got {self.evaluation_batch_size}")
        for label, weight in self.class_weight.items():
            if not (isfinite(weight) and weight >= 0):
                raise ConfigurationError(f"class_weight of class {label} must be a number >= 0, got {weight}")
        for name, example in (
            ("optimizer", '{"name": "sgd", "learning_rate": 0.02}'),
            ("loss", '{"name": "sparse_categorical_crossentropy", "from_logits": true}'),
        ):
            value = getattr(self, name)
            if isinstance(value, Mapping) and not isinstance(value.get("name"), str):
                raise ConfigurationError(f'{name} must have a "name", got {dict(value)}; for example {example}')
