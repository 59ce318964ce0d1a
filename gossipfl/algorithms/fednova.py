"""FedNova: clients whose steps count alike, however many they take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from gossipfl.algorithms.algorithm import Weighting
from gossipfl.algorithms.local_sgd import LocalSGD
from gossipfl.algorithms.server_based import EXAMPLES_BOUND, ExamplesBound, ServerPatience, ServerRecipe
from gossipfl.errors import ConfigurationError
from gossipfl.methods import FederatedMethod, NormalizedSteps


@dataclass(frozen=True, slots=True)
class FedNova(ServerRecipe):
    """FedAvg that does not favor clients that take more steps (Wang et al., 2020).

    The local optimizer is SGD with momentum, from zero in every round, or with weight decay.
    """

    sgd: LocalSGD = field(default_factory=LocalSGD)
    weighting: Weighting = "examples"
    patience: ServerPatience = None
    examples_bound: ExamplesBound = EXAMPLES_BOUND

    calculates_with: ClassVar[tuple[str, ...]] = ("momentum", "decay")
    takes_no: ClassVar[Mapping[str, str]] = {
        **ServerRecipe.takes_no,
        "aggregator": "clients are weighed by their steps, and no other rule weighs them",
    }

    def __post_init__(self) -> None:
        ServerRecipe.__post_init__(self)
        if self.sgd.momentum and self.sgd.decay:
            raise ConfigurationError(
                "FedNova has one count of steps for gradients and weight decay, and Keras's decay acts beside the "
                "momentum, not through it: leave out one of them, or decay by a kernel_regularizer of the model's "
                "layers, which is part of the gradient"
            )
        if self.sgd.momentum and self.sharing.optimizer_state != "reset":
            raise ConfigurationError(
                "FedNova counts the steps of a momentum that begins at zero in every round: use optimizer_state = "
                f"'reset', not {self.sharing.optimizer_state!r}"
            )

    @property
    def method(self) -> FederatedMethod:
        return NormalizedSteps(self.sgd.momentum, self.sgd.decay)
