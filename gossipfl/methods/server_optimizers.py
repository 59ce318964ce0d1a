"""An optimizer takes the way to the mean of trained models for a gradient (Reddi et al., 2021).

With x the model before a round and Delta = mean_i(y_i) - x the mean of what local training has changed, -Delta plays
the part of the gradient. `memory` is what an optimizer remembers, by name; it is empty at the beginning.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Annotated, Protocol, TypeAlias

import numpy as np

from gossipfl.errors import ConfigurationError
from gossipfl.weights import Vector, frozen

Memory: TypeAlias = Mapping[str, Vector]
"""The vectors that an optimizer or a method remembers between rounds, of the size of the weights; none at first."""


class ServerOptimizer(Protocol):
    """A frozen dataclass with one method; all arithmetic is in the dtype of x, and what it gives is read-only."""

    def step(self, x: Vector, mean: Vector, memory: Memory) -> tuple[Vector, Memory]:
        """The new model and memory after a round that began with `x` and whose trained models have this `mean`."""
        ...


@dataclass(frozen=True, slots=True)
class ServerSGD:
    """x += learning_rate v with v <- momentum v + Delta (FedAvgM; Hsu et al., 2019).

    With `nesterov`, x += learning_rate (Delta + momentum v): the outer optimizer of DiLoCo (Douillard et al., 2023).
    The defaults give the mean itself, bit for bit (FedAvg; McMahan et al., 2017).
    """

    learning_rate: Annotated[
        float, "Step length; 1 goes to the mean. Higher: faster, at the expense of overshooting."
    ] = 1.0
    momentum: Annotated[
        float, "Decay of earlier rounds. Higher: less noise of sampled clients, at the expense of overshooting."
    ] = 0.0
    nesterov: Annotated[bool, "Whether to look one step of the momentum ahead."] = False

    def __post_init__(self) -> None:
        _check_positive("learning_rate", self.learning_rate)
        _check_decay("momentum", self.momentum)
        if self.nesterov and not self.momentum:
            raise ConfigurationError("nesterov needs a momentum above 0; give one, or leave nesterov out")

    def step(self, x: Vector, mean: Vector, memory: Memory) -> tuple[Vector, Memory]:
        if self.learning_rate == 1 and not self.momentum:
            return frozen(mean), memory  # x + (mean - x) would round
        direction: Vector = mean - x
        if self.momentum:
            velocity = frozen(self.momentum * memory.get("velocity", np.zeros_like(x)) + direction)
            memory = {"velocity": velocity}
            direction = direction + self.momentum * velocity if self.nesterov else velocity
        return frozen(x + self.learning_rate * direction), memory


_StepLength: TypeAlias = Annotated[float, "Step length per weight. Higher: faster, at the expense of overshooting."]
_Beta1: TypeAlias = Annotated[float, "Decay of the mean m. Higher: less noise, at the expense of turning slower."]
_Beta2: TypeAlias = Annotated[
    float, "Decay of the mean square v. Higher: steadier step lengths, at the expense of adapting slower."
]
_Adaptivity: TypeAlias = Annotated[
    float, "Higher: weights that hardly change stay calm, at the expense of adapting less to each weight."
]


@dataclass(frozen=True, slots=True)
class ServerAdagrad:
    """x += learning_rate m / (sqrt(v) + adaptivity) with v <- v + Delta^2 (FedAdagrad; Reddi et al., 2021).

    m <- beta_1 m + (1 - beta_1) Delta; m begins at 0, v at adaptivity^2.
    """

    learning_rate: _StepLength = 0.1
    beta_1: _Beta1 = 0.0
    adaptivity: _Adaptivity = 1e-3

    def __post_init__(self) -> None:
        _check_adaptive(self)

    def step(self, x: Vector, mean: Vector, memory: Memory) -> tuple[Vector, Memory]:
        return _adaptive_step(self, x, mean, memory, lambda v, square: v + square)


@dataclass(frozen=True, slots=True)
class ServerAdam:
    """Adagrad's step with v <- beta_2 v + (1 - beta_2) Delta^2 (FedAdam; Reddi et al., 2021).

    As in the paper, m and v are not corrected for their beginning.
    """

    learning_rate: _StepLength = 0.01
    beta_1: _Beta1 = 0.9
    beta_2: _Beta2 = 0.99
    adaptivity: _Adaptivity = 1e-3

    def __post_init__(self) -> None:
        _check_adaptive(self)
        _check_decay("beta_2", self.beta_2)

    def step(self, x: Vector, mean: Vector, memory: Memory) -> tuple[Vector, Memory]:
        return _adaptive_step(self, x, mean, memory, lambda v, square: self.beta_2 * v + (1 - self.beta_2) * square)


@dataclass(frozen=True, slots=True)
class ServerYogi:
    """Adagrad's step with v <- v - (1 - beta_2) Delta^2 sign(v - Delta^2) (FedYogi; Reddi et al., 2021).

    Where Delta is small, v shrinks by what Delta brings and not by a share of itself: step lengths grow slower than
    those of Adam.
    """

    learning_rate: _StepLength = 0.01
    beta_1: _Beta1 = 0.9
    beta_2: _Beta2 = 0.99
    adaptivity: _Adaptivity = 1e-3

    def __post_init__(self) -> None:
        _check_adaptive(self)
        _check_decay("beta_2", self.beta_2)

    def step(self, x: Vector, mean: Vector, memory: Memory) -> tuple[Vector, Memory]:
        return _adaptive_step(
            self, x, mean, memory, lambda v, square: v - (1 - self.beta_2) * square * np.sign(v - square)
        )


SERVER_OPTIMIZERS: Mapping[str, type[ServerOptimizer]] = MappingProxyType(
    {"sgd": ServerSGD, "adam": ServerAdam, "yogi": ServerYogi, "adagrad": ServerAdagrad}
)
"""The server optimizers by the names that scenarios use."""

_Adaptive: TypeAlias = ServerAdagrad | ServerAdam | ServerYogi


def _adaptive_step(
    optimizer: _Adaptive, x: Vector, mean: Vector, memory: Memory, accumulate: Callable[[Vector, Vector], Vector]
) -> tuple[Vector, Memory]:
    delta = mean - x
    m = memory.get("m", np.zeros_like(x))
    v = memory.get("v", np.full_like(x, optimizer.adaptivity**2))
    m = frozen(optimizer.beta_1 * m + (1 - optimizer.beta_1) * delta)
    v = frozen(accumulate(v, delta * delta))
    return frozen(x + optimizer.learning_rate * m / (np.sqrt(v) + optimizer.adaptivity)), {"m": m, "v": v}


def _check_adaptive(optimizer: _Adaptive) -> None:
    _check_positive("learning_rate", optimizer.learning_rate)
    _check_decay("beta_1", optimizer.beta_1)
    _check_positive("adaptivity", optimizer.adaptivity)


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < inf:
        raise ConfigurationError(f"{name} of a server optimizer must be above 0 and finite, got {value}")


def _check_decay(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigurationError(f"{name} of a server optimizer must be at least 0 and below 1, got {value}")
