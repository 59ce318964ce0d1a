"""Centralized baselines: a server, and clients that train the model it sends."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.aggregators import ExampleWeightedMean, UniformMean
from gossipfl.algorithms.algorithm import Weighting, check_patience
from gossipfl.errors import ConfigurationError
from gossipfl.peers import FedAvgClient, FedAvgServer, LocalModel, Peer, Sharing
from gossipfl.randomness import generator
from gossipfl.weights import ModelVectors, PeerId

SERVER: PeerId = "server"
"""The name of the server among the participants."""


@dataclass(frozen=True, slots=True)
class FedAvg:
    """A server averages what sampled clients have trained from its model (McMahan et al., 2017).

    `client_fraction` C: max(1, round(C n)) of n clients train in each round. `server_learning_rate` 1.0 takes the
    clients' mean as it is. `weighting` is the mean: by "examples", or "uniform". `patience` (seconds) bounds the wait
    for a silent client; None waits for ever.
    """

    client_fraction: Annotated[float, "Share of the clients that train in each round."] = 1.0
    server_learning_rate: Annotated[float, "1.0 takes the clients' mean as it is."] = 1.0
    weighting: Weighting = "examples"
    patience: Annotated[
        float | None, "Seconds after which the server averages whatever has come; absent: it waits for ever."
    ] = None
    sharing: Sharing = field(default_factory=lambda: Sharing(optimizer_state="reset"))

    hub: ClassVar[PeerId | None] = SERVER
    pools_data: ClassVar[bool] = False
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform", "examples"})
    extra_vectors: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        if not 0 < self.client_fraction <= 1:
            raise ConfigurationError(f"client_fraction must be above 0 and at most 1, got {self.client_fraction}")
        if not 0 < self.server_learning_rate < float("inf"):
            raise ConfigurationError(f"server_learning_rate must be above 0, got {self.server_learning_rate}")
        check_patience(self.patience)

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
