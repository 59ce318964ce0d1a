"""SCAFFOLD: clients whose drift is corrected by control variates."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gossipfl.algorithms.algorithm import Weighting
from gossipfl.algorithms.server_based import EXAMPLES_BOUND, ExamplesBound, ServerRecipe
from gossipfl.errors import ConfigurationError
from gossipfl.methods import FederatedMethod
from gossipfl.methods import Scaffold as ScaffoldMethod


@dataclass(frozen=True, slots=True)
class Scaffold(ServerRecipe):
    """FedAvg that corrects clients' drift with control variates, for twice the bytes (Karimireddy et al., 2020).

    It waits for every sampled client: without a lost answer, the server's control is the mean of the clients', and a
    lost one would part them for good. Both means are by examples only where all clients train in every round: a control
    that is weighed by examples needs the numbers of all clients, also of those that were never sampled.
    """

    needs_everybody: ClassVar[str | None] = "the server's control would keep what is of the client that is gone"
    weighting: Weighting = "uniform"
    patience: ClassVar[float | None] = None
    takes_no: ClassVar[Mapping[str, str]] = {
        **ServerRecipe.takes_no,
        "aggregator": "the server's control has to stay the mean of the clients', and no other rule keeps it",
    }
    examples_bound: ExamplesBound = EXAMPLES_BOUND

    def __post_init__(self) -> None:
        ServerRecipe.__post_init__(self)
        if self.weighting == "examples" and self.client_fraction < 1:
            raise ConfigurationError(
                "SCAFFOLD weighs the control of each client by its examples among those of all clients, and knows them "
                f"only when all train in every round: use client_fraction = 1 (now {self.client_fraction:g}), or "
                "weighting = 'uniform'"
            )

    @property
    def method(self) -> FederatedMethod:
        return ScaffoldMethod()
