"""Recipes: which peers an algorithm needs, and how to make each of them.

A recipe is a frozen value. It makes one peer at a time, so that a host builds its own peer and not all n.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, TypeAlias

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.aggregators import ExampleWeightedMean, MixingRow, UniformMean
from gossipfl.errors import ConfigurationError
from gossipfl.peers import (
    Backoff,
    FedAvgClient,
    FedAvgServer,
    LocalModel,
    LocalOnlyPeer,
    PairwiseGossipPeer,
    Peer,
    Sharing,
    SynchronousGossipPeer,
)
from gossipfl.randomness import generator
from gossipfl.topology import MixingScheme, mixing_row
from gossipfl.weights import ModelVectors, PeerId

Weighting: TypeAlias = Literal["uniform", "examples"]

SERVER: PeerId = "server"
"""The name of the FedAvg server among the participants."""

POOL: PeerId = "pool"
"""The name of the one participant that holds all data."""


class Algorithm(Protocol):
    """A frozen recipe for the peers of one algorithm."""

    hub: ClassVar[PeerId | None]
    """A participant without data that keeps the model, joins no per-peer statistic and counts the rounds."""
    pools_data: ClassVar[bool]
    """Whether all data lie at one participant."""
    weightings: ClassVar[frozenset[str]]
    """The goals that the algorithm can keep: the mean of the peers' objectives, "uniform" or by "examples"."""

    @property
    def patience(self) -> float | None:
        """Seconds after which a silent peer is no longer waited for; None waits for ever."""
        ...

    def network(self, graph: nx.Graph) -> nx.Graph:
        """Who takes part and who talks to whom, made from the graph of the data holders."""
        ...

    def make_peer(self, peer_id: PeerId, network: nx.Graph, initial: ModelVectors, work: LocalWork, seed: int) -> Peer:
        """One participant of `network`, which `Algorithm.network` has given."""
        ...


@dataclass(frozen=True, slots=True)
class PairwiseGossip:
    """Train, average with one random neighbor, train on (AD-PSGD; Lian et al., 2018): no rounds, no barrier.

    `timeout` (seconds) is how long a peer waits for the neighbor it asked. Higher: fewer exchanges repeated on slow
    links, at the expense of idle time when a neighbor is gone; it should exceed a round trip with the weights.
    A neighbor that does not answer is left alone for up to `max_backoff` seconds.
    """

    timeout: float = 30.0
    max_backoff: float = 600.0
    sharing: Sharing = field(default_factory=Sharing)

    hub: ClassVar[PeerId | None] = None
    pools_data: ClassVar[bool] = False
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform"})

    def __post_init__(self) -> None:
        Backoff(self.timeout, self.max_backoff)

    @property
    def patience(self) -> float | None:
        return self.timeout

    def network(self, graph: nx.Graph) -> nx.Graph:
        return graph

    def make_peer(self, peer_id: PeerId, network: nx.Graph, initial: ModelVectors, work: LocalWork, seed: int) -> Peer:
        positions = {neighbor: network.nodes[neighbor]["position"] for neighbor in network.neighbors(peer_id)}
        return PairwiseGossipPeer(
            LocalModel(peer_id, work, initial, self.sharing),
            network.nodes[peer_id]["position"],
            positions,
            Backoff(self.timeout, self.max_backoff),
            generator(seed, "pairwise", peer_id),
        )


@dataclass(frozen=True, slots=True)
class SynchronousGossip:
    """Train, swap with all neighbors, mix with the mixing row (D-PSGD; Lian et al., 2017).

    `mixing` is the rule for the mixing matrix, or a matrix that `topology.checked_matrix` has accepted. `patience`
    (seconds) bounds the wait for a silent neighbor; None waits for ever.
    """

    mixing: MixingScheme = "metropolis_hastings"
    patience: float | None = None
    sharing: Sharing = field(default_factory=Sharing)

    hub: ClassVar[PeerId | None] = None
    pools_data: ClassVar[bool] = False
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform"})

    def __post_init__(self) -> None:
        _check_patience(self.patience)

    def network(self, graph: nx.Graph) -> nx.Graph:
        return graph

    def make_peer(self, peer_id: PeerId, network: nx.Graph, initial: ModelVectors, work: LocalWork, seed: int) -> Peer:
        local = LocalModel(peer_id, work, initial, self.sharing)
        return SynchronousGossipPeer(local, mixing_row(network, peer_id, self.mixing), MixingRow(), self.patience)


@dataclass(frozen=True, slots=True)
class FedAvg:
    """A server averages what sampled clients have trained from its model (McMahan et al., 2017).

    `client_fraction` C: max(1, round(C n)) of n clients train in each round. `server_learning_rate` 1.0 takes the
    clients' mean as it is. `weighting` is the mean: by "examples", or "uniform". `patience` (seconds) bounds the wait
    for a silent client; None waits for ever.
    """

    client_fraction: float = 1.0
    server_learning_rate: float = 1.0
    weighting: Weighting = "examples"
    patience: float | None = None
    sharing: Sharing = field(default_factory=lambda: Sharing(optimizer_state="reset"))

    hub: ClassVar[PeerId | None] = SERVER
    pools_data: ClassVar[bool] = False
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform", "examples"})

    def __post_init__(self) -> None:
        if not 0 < self.client_fraction <= 1:
            raise ConfigurationError(f"client_fraction must be above 0 and at most 1, got {self.client_fraction}")
        if not 0 < self.server_learning_rate < float("inf"):
            raise ConfigurationError(f"server_learning_rate must be above 0, got {self.server_learning_rate}")
        _check_patience(self.patience)

    def network(self, graph: nx.Graph) -> nx.Graph:
        """A star: the server in the middle, at the last position; the links of `graph` play no part."""
        if SERVER in graph:
            raise ConfigurationError(f"FedAvg adds a participant {SERVER!r}, but a peer has that name; rename the peer")
        star = nx.Graph()
        star.add_nodes_from(graph.nodes(data=True))
        star.add_node(SERVER, position=len(graph))
        star.add_edges_from((SERVER, client) for client in graph)
        return star

    def make_peer(self, peer_id: PeerId, network: nx.Graph, initial: ModelVectors, work: LocalWork, seed: int) -> Peer:
        local = LocalModel(peer_id, work, initial, self.sharing)
        if peer_id != SERVER:
            return FedAvgClient(local, SERVER)
        clients = [client for client in network if client != SERVER]
        return FedAvgServer(
            local,
            clients,
            ExampleWeightedMean() if self.weighting == "examples" else UniformMean(),
            max(1, round(self.client_fraction * len(clients))),
            self.server_learning_rate,
            self.patience,
            generator(seed, "fedavg", "client sampling"),
        )


@dataclass(frozen=True, slots=True)
class LocalOnly:
    """Every peer trains alone on its own shard: what it would have without any exchange (the lower bound)."""

    sharing: Sharing = field(default_factory=Sharing)

    hub: ClassVar[PeerId | None] = None
    pools_data: ClassVar[bool] = False
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform", "examples"})
    patience: ClassVar[float | None] = 0.0

    def network(self, graph: nx.Graph) -> nx.Graph:
        alone = nx.Graph()
        alone.add_nodes_from(graph.nodes(data=True))
        return alone

    def make_peer(self, peer_id: PeerId, network: nx.Graph, initial: ModelVectors, work: LocalWork, seed: int) -> Peer:
        return LocalOnlyPeer(LocalModel(peer_id, work, initial, self.sharing))


@dataclass(frozen=True, slots=True)
class Centralized:
    """One participant trains on all data for the same epochs: what giving up all data would bring (the upper bound)."""

    sharing: Sharing = field(default_factory=Sharing)

    hub: ClassVar[PeerId | None] = None
    pools_data: ClassVar[bool] = True
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform", "examples"})
    patience: ClassVar[float | None] = 0.0

    def network(self, graph: nx.Graph) -> nx.Graph:
        if POOL in graph:
            raise ConfigurationError(f"Centralized adds a participant {POOL!r}, but a peer has that name; rename it")
        alone = nx.Graph()
        alone.add_node(POOL, position=0)
        return alone

    def make_peer(self, peer_id: PeerId, network: nx.Graph, initial: ModelVectors, work: LocalWork, seed: int) -> Peer:
        return LocalOnlyPeer(LocalModel(peer_id, work, initial, self.sharing))


ALGORITHMS: Mapping[str, type[Algorithm]] = {
    "pairwise": PairwiseGossip,
    "synchronous": SynchronousGossip,
    "fedavg": FedAvg,
    "local": LocalOnly,
    "centralized": Centralized,
}
"""The recipes by the names that scenarios use."""


def _check_patience(patience: float | None) -> None:
    if patience is not None and not patience > 0:
        raise ConfigurationError(f"patience must be above 0 seconds (or absent, to wait for ever), got {patience}")
