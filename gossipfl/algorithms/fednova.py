"""FedNova: clients whose steps count alike, however many they take."""

from dataclasses import dataclass
from typing import Annotated

from gossipfl.algorithms.algorithm import Weighting
from gossipfl.algorithms.server_based import EXAMPLES_BOUND, ExamplesBound, ServerPatience, ServerRecipe
from gossipfl.errors import ConfigurationError
from gossipfl.methods import FederatedMethod, NormalizedSteps


@dataclass(frozen=True, slots=True)
class FedNova(ServerRecipe):
    """FedAvg that does not favor clients that take more steps (Wang et al., 2020).

    The local optimizer is SGD with `local_momentum`, from zero in every round, or with weight decay.
    """

    local_momentum: Annotated[float, "Momentum of the local optimizer, by which steps are counted."] = 0.0
    local_decay: Annotated[float, "Share of the weights that weight decay takes away in each local step."] = 0.0
    weighting: Weighting = "examples"
    patience: ServerPatience = None
    examples_bound: ExamplesBound = EXAMPLES_BOUND

    def __post_init__(self) -> None:
        ServerRecipe.__post_init__(self)
        if not 0 <= self.local_momentum < 1:
            raise ConfigurationError(f"local_momentum must be at least 0 and below 1, got {self.local_momentum}")
        if not 0 <= self.local_decay < 1:
            raise ConfigurationError(f"local_decay must be at least 0 and below 1, got {self.local_decay}")
        if self.local_momentum and self.local_decay:
            raise ConfigurationError(
                "FedNova has one count of steps for gradients and weight decay, and Keras's decay acts beside the "
                "momentum, not through it: leave out one of them, or decay by a kernel_regularizer of the model's "
                "layers, which is part of the gradient"
            )
        if self.local_momentum and self.sharing.optimizer_state != "reset":
            raise ConfigurationError(
                "FedNova counts the steps of a momentum that begins at zero in every round: use optimizer_state = "
                f"'reset', not {self.sharing.optimizer_state!r}"
            )

    @property
    def method(self) -> FederatedMethod:
        return NormalizedSteps(self.local_momentum, self.local_decay)
