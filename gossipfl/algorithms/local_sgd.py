"""Plain SGD of local training, for the recipes that calculate with what it does to the weights."""

from collections.abc import Collection
from dataclasses import dataclass

from gossipfl.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class LocalSGD:
    """The numbers of plain local SGD: w <- w - learning_rate m - decay w with m <- momentum m + g.

    `learning_rate` is None where it changes from step to step; `decay`, the share of the weights that each step takes
    away, is the learning rate times the weight decay. The defaults are those of Keras.
    """

    learning_rate: float | None = 0.01
    momentum: float = 0.0
    decay: float = 0.0

    def __post_init__(self) -> None:
        if self.learning_rate is not None and not 0 <= self.learning_rate < float("inf"):
            raise ConfigurationError(f"learning_rate must be at least 0 and finite, got {self.learning_rate}")
        if not 0 <= self.momentum < 1:
            raise ConfigurationError(f"momentum must be at least 0 and below 1, got {self.momentum}")
        if not 0 <= self.decay < 1:
            raise ConfigurationError(f"decay must be at least 0 and below 1, got {self.decay}")


def not_plain_sgd(algorithm: str, calculates_with: Collection[str], optimizer: object) -> ConfigurationError:
    """The error for an `optimizer` that is not the plain SGD with whose numbers an algorithm calculates."""
    what = " and ".join(name.replace("_", " ") for name in calculates_with)
    momentum = ", momentum = 0.9" if "momentum" in calculates_with else ""
    return ConfigurationError(
        f"{algorithm!r} calculates with the {what} of plain local SGD, got the optimizer {optimizer!r}; give it one, "
        f'such as optimizer = {{name = "sgd", learning_rate = 0.1{momentum}}}'
    )
