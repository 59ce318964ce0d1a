"""Federated averaging, the centralized baseline."""

from dataclasses import dataclass, field

from gossipfl.aggregators import Mean
from gossipfl.algorithms.algorithm import Weighting
from gossipfl.algorithms.server_based import (
    EXAMPLES_BOUND,
    ClientAggregator,
    ExamplesBound,
    ServerPatience,
    ServerRecipe,
)
from gossipfl.methods import FederatedMethod, Proximal


@dataclass(frozen=True, slots=True)
class FedAvg(ServerRecipe):
    """A server averages what sampled clients have trained from its model (McMahan et al., 2017)."""

    aggregator: ClientAggregator = field(default_factory=Mean)
    weighting: Weighting = "examples"
    patience: ServerPatience = None
    examples_bound: ExamplesBound = EXAMPLES_BOUND

    @property
    def method(self) -> FederatedMethod:
        return Proximal(0.0)
