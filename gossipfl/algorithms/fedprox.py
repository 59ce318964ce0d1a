"""FedProx: clients that stay near the model they got."""

from dataclasses import dataclass, field
from typing import Annotated

from gossipfl.aggregators import Mean
from gossipfl.algorithms.algorithm import Weighting
from gossipfl.algorithms.server_based import (
    EXAMPLES_BOUND,
    ClientAggregator,
    ExamplesBound,
    ServerPatience,
    ServerRecipe,
)
from gossipfl.errors import ConfigurationError
from gossipfl.methods import FederatedMethod, Proximal


@dataclass(frozen=True, slots=True)
class FedProx(ServerRecipe):
    """FedAvg whose clients are pulled back to the model they got (Li et al., 2020)."""

    mu: Annotated[float, "Strength of the pull. Higher: less drift, at the expense of slower training."] = 0.01
    aggregator: ClientAggregator = field(default_factory=Mean)
    weighting: Weighting = "examples"
    patience: ServerPatience = None
    examples_bound: ExamplesBound = EXAMPLES_BOUND

    def __post_init__(self) -> None:
        ServerRecipe.__post_init__(self)
        if not 0 <= self.mu < float("inf"):
            raise ConfigurationError(f"mu must be at least 0 and finite, got {self.mu}")

    @property
    def method(self) -> FederatedMethod:
        return Proximal(self.mu)
