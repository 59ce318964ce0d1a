"""Centralized baselines: a server, and clients that train the model it sends."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, TypeAlias

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.algorithms.algorithm import NOBODY, Recipe, Weighting, check_patience, check_weighting
from gossipfl.errors import ConfigurationError
from gossipfl.methods import FederatedMethod, NormalizedSteps, Proximal
from gossipfl.methods import Scaffold as ScaffoldMethod
from gossipfl.methods.server_optimizers import ServerOptimizer, ServerSGD
from gossipfl.peers import ClientSampling, FedAvgClient, FedAvgServer, LocalModel, Peer, Sharing
from gossipfl.peers.magnitudes import Bound, check_bound
from gossipfl.randomness import generator
from gossipfl.weights import ModelVectors, PeerId

SERVER: PeerId = "server"
"""The name of the server among the participants."""

_Patience: TypeAlias = Annotated[
    float | None, "Seconds after which the server averages whatever has come; absent: it waits for ever."
]

_ExamplesBound: TypeAlias = Annotated[
    Bound,
    "How many times the median number of examples, of all clients that have announced theirs, one client may count at "
    "most, when clients count by examples; false: every number is believed. Higher: larger shards count in full, at "
    "the expense of what a client gains that lies about its own.",
]
_EXAMPLES_BOUND = 10.0


@dataclass(frozen=True, slots=True)
class _ServerRecipe(Recipe, ABC):
    """A star of clients around a server; m = max(1, round(C n)) of n clients train in each of its rounds.

    For `rounds` rounds of local work per client in the mean it takes ceil(rounds n / m) rounds of the server.
    """

    client_fraction: Annotated[
        float,
        "Share C of the clients that train in each round of the server, which does 1 / C times as many of them: the "
        "local work per client is that of every algorithm. Lower: more rounds of the server for the same work, at the "
        "expense of noise and time.",
    ] = 1.0
    server_optimizer: Annotated[
        ServerOptimizer, "What the server makes of the clients' mean: sgd (takes it as it is), adam, yogi or adagrad."
    ] = field(default_factory=ServerSGD)
    sharing: Sharing = field(default_factory=lambda: Sharing(optimizer_state="reset"))

    hub: ClassVar[PeerId | None] = SERVER
    follows_links: ClassVar[bool] = False
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform", "examples"})

    def __post_init__(self) -> None:
        if not 0 < self.client_fraction <= 1:
            raise ConfigurationError(f"client_fraction must be above 0 and at most 1, got {self.client_fraction}")
        check_patience(self.patience)
        check_weighting(self.weighting)
        check_bound("examples_bound", self.examples_bound)

    @property
    @abstractmethod
    def weighting(self) -> Weighting: ...

    @property
    @abstractmethod
    def examples_bound(self) -> Bound: ...

    @property
    @abstractmethod
    def patience(self) -> float | None: ...

    @property
    @abstractmethod
    def method(self) -> FederatedMethod: ...

    def network(self, graph: nx.Graph) -> nx.Graph:
        """A star: the server in the middle, at the last position; the links of `graph` play no part."""
        if SERVER in graph:
            raise ConfigurationError(
                f"{type(self).__name__} adds a participant {SERVER!r}, but a peer has that name; rename the peer"
            )
        star = nx.Graph()
        star.add_nodes_from(graph.nodes(data=True))
        star.add_node(SERVER, position=len(graph))
        star.add_edges_from((SERVER, client) for client in graph)
        return star

    def num_rounds(self, rounds: int, num_peers: int) -> int:
        return -(-rounds * num_peers // self._num_sampled(num_peers))

    def _num_sampled(self, num_clients: int) -> int:
        return max(1, round(self.client_fraction * num_clients))

    def make_peer(
        self,
        peer_id: PeerId,
        network: nx.Graph,
        initial: ModelVectors,
        work: LocalWork,
        seed: int,
        revoked: frozenset[PeerId] = NOBODY,
    ) -> Peer:
        local = LocalModel(peer_id, work, initial, self.sharing, self.extra_vectors)
        if peer_id != SERVER:
            return FedAvgClient(local, SERVER, self.method)
        clients = [client for client in network if client != SERVER and client not in revoked]
        num_sampled = self._num_sampled(len(clients))
        return FedAvgServer(
            local,
            ClientSampling(clients, num_sampled, generator(seed, "fedavg", "client sampling")),
            self.server_optimizer,
            by_examples=self.weighting == "examples",
            examples_bound=self.examples_bound,
            extra_vectors=self.extra_vectors,
            patience=self.patience,
        )


@dataclass(frozen=True, slots=True)
class FedAvg(_ServerRecipe):
    """A server averages what sampled clients have trained from its model (McMahan et al., 2017)."""

    weighting: Weighting = "examples"
    patience: _Patience = None
    examples_bound: _ExamplesBound = _EXAMPLES_BOUND

    @property
    def method(self) -> FederatedMethod:
        return Proximal(0.0)


@dataclass(frozen=True, slots=True)
class FedProx(_ServerRecipe):
    """FedAvg whose clients are pulled back to the model they got (Li et al., 2020)."""

    mu: Annotated[float, "Strength of the pull. Higher: less drift, at the expense of slower training."] = 0.01
    weighting: Weighting = "examples"
    patience: _Patience = None
    examples_bound: _ExamplesBound = _EXAMPLES_BOUND

    def __post_init__(self) -> None:
        _ServerRecipe.__post_init__(self)
        if not 0 <= self.mu < float("inf"):
            raise ConfigurationError(f"mu must be at least 0 and finite, got {self.mu}")

    @property
    def method(self) -> FederatedMethod:
        return Proximal(self.mu)


@dataclass(frozen=True, slots=True)
class Scaffold(_ServerRecipe):
    """FedAvg that corrects clients' drift with control variates, for twice the bytes (Karimireddy et al., 2020).

    It waits for every sampled client: without a lost answer, the server's control is the mean of the clients', and a
    lost one would part them for good. Both means are by examples only where all clients train in every round: a control
    that is weighed by examples needs the numbers of all clients, also of those that were never sampled.
    """

    extra_vectors: ClassVar[frozenset[str]] = ScaffoldMethod.extra_vectors
    needs_everybody: ClassVar[str | None] = "the server's control would keep what is of the client that is gone"
    weighting: Weighting = "uniform"
    patience: ClassVar[float | None] = None
    examples_bound: _ExamplesBound = _EXAMPLES_BOUND

    def __post_init__(self) -> None:
        _ServerRecipe.__post_init__(self)
        if self.weighting == "examples" and self.client_fraction < 1:
            raise ConfigurationError(
                "SCAFFOLD weighs the control of each client by its examples among those of all clients, and knows them "
                f"only when all train in every round: use client_fraction = 1 (now {self.client_fraction:g}), or "
                "weighting = 'uniform'"
            )

    @property
    def method(self) -> FederatedMethod:
        return ScaffoldMethod()


@dataclass(frozen=True, slots=True)
class FedNova(_ServerRecipe):
    """FedAvg that does not favor clients that take more steps (Wang et al., 2020).

    The local optimizer is SGD with `local_momentum`, from zero in every round, or with weight decay.
    """

    local_momentum: Annotated[float, "Momentum of the local optimizer, by which steps are counted."] = 0.0
    local_decay: Annotated[float, "Share of the weights that weight decay takes away in each local step."] = 0.0
    weighting: Weighting = "examples"
    patience: _Patience = None
    examples_bound: _ExamplesBound = _EXAMPLES_BOUND

    def __post_init__(self) -> None:
        _ServerRecipe.__post_init__(self)
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
