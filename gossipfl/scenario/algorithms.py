"""The sections of a scenario on its algorithms: one per recipe of `gossipfl.algorithms`."""

from typing import Annotated, Literal, TypeAlias

import networkx as nx
from pydantic import BeforeValidator, Field

from gossipfl.algorithms import Algorithm, Centralized, FedAvg, LocalOnly, PairwiseGossip, SynchronousGossip, Weighting
from gossipfl.peers import Sharing
from gossipfl.scenario.section import Positive, Section, by_name
from gossipfl.scenario.sections import TopologySection, TrainingSection
from gossipfl.topology import checked_matrix


class _AlgorithmSection(Section):
    label: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,64}$")] | None = None
    """What tables and charts call it; absent: its name, with the topology where several are compared."""
    topology: (
        Annotated[TopologySection, BeforeValidator(by_name, json_schema_input_type=str | TopologySection)] | None
    ) = None
    """Its own topology; absent: the scenario's."""
    optimizer_state: Literal["keep", "average", "reset"] = "keep"
    """Whether a peer keeps momentum and the like between rounds, averages it with the weights, or starts afresh."""

    def sharing(self, training: TrainingSection) -> Sharing:
        return Sharing(optimizer_state=self.optimizer_state, statistics=training.statistics)


class PairwiseSection(_AlgorithmSection):
    """Asynchronous gossip in random pairs."""

    name: Literal["pairwise"]
    """Chooses this algorithm."""
    timeout: Positive = 30.0
    """Seconds that a peer waits for the neighbor it asked. Higher: fewer repeated exchanges on slow links, at the
    expense of idle time when a neighbor is gone."""
    max_backoff: Positive = 600.0
    """At most so many seconds a silent neighbor is left alone."""

    def recipe(self, training: TrainingSection, weighting: Weighting, graph: nx.Graph) -> Algorithm:
        return PairwiseGossip(self.timeout, self.max_backoff, self.sharing(training))


class SynchronousSection(_AlgorithmSection):
    """Synchronous gossip with all neighbors (D-PSGD)."""

    name: Literal["synchronous"]
    """Chooses this algorithm."""
    mixing: Literal["metropolis_hastings", "max_degree"] | list[list[float]] = "metropolis_hastings"
    """The rule for the mixing matrix, or the matrix itself (rows in node order)."""
    patience: Positive | None = None
    """Seconds after which a peer mixes with whoever has answered; absent: it waits for ever."""

    def recipe(self, training: TrainingSection, weighting: Weighting, graph: nx.Graph) -> Algorithm:
        mixing = self.mixing if isinstance(self.mixing, str) else checked_matrix(graph, self.mixing)
        return SynchronousGossip(mixing, self.patience, self.sharing(training))


class FedAvgSection(_AlgorithmSection):
    """Federated averaging with a server."""

    name: Literal["fedavg"]
    """Chooses this algorithm."""
    optimizer_state: Literal["keep", "average", "reset"] = "reset"
    """Whether a client keeps momentum and the like between rounds, averages it with the weights, or starts afresh."""
    client_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the clients that train in each round."""
    server_learning_rate: Positive = 1.0
    """1.0 takes the clients' mean as it is."""
    patience: Positive | None = None
    """Seconds after which the server averages whatever has come; absent: it waits for ever."""

    def recipe(self, training: TrainingSection, weighting: Weighting, graph: nx.Graph) -> Algorithm:
        sharing = self.sharing(training)
        return FedAvg(self.client_fraction, self.server_learning_rate, weighting, self.patience, sharing)


class LocalSection(_AlgorithmSection):
    """Every peer alone: the lower bound."""

    name: Literal["local"]
    """Chooses this algorithm."""

    def recipe(self, training: TrainingSection, weighting: Weighting, graph: nx.Graph) -> Algorithm:
        return LocalOnly(self.sharing(training))


class CentralizedSection(_AlgorithmSection):
    """All data at one participant: the upper bound."""

    name: Literal["centralized"]
    """Chooses this algorithm."""

    def recipe(self, training: TrainingSection, weighting: Weighting, graph: nx.Graph) -> Algorithm:
        return Centralized(self.sharing(training))


AlgorithmSection: TypeAlias = Annotated[
    PairwiseSection | SynchronousSection | FedAvgSection | LocalSection | CentralizedSection,
    Field(discriminator="name"),
]
