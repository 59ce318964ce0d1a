"""The base of the recipes with a server: it sends a model, and averages what clients make of it."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, TypeAlias

import networkx as nx

from gossipfl.aggregators import Aggregator, Mean
from gossipfl.algorithms.algorithm import (
    NUM_EXAMPLES,
    Algorithm,
    Family,
    Weighting,
    check_patience,
    check_weighting,
)
from gossipfl.algorithms.seat import Seat
from gossipfl.errors import ConfigurationError
from gossipfl.messages import NumberSchema
from gossipfl.methods import FederatedMethod
from gossipfl.methods.server_optimizers import ServerOptimizer, ServerSGD
from gossipfl.peers import ClientSampling, FedAvgClient, FedAvgServer, Peer, Sharing
from gossipfl.peers.client_sampling import num_sampled
from gossipfl.peers.fedavg_server import SMALLEST_STEP_WEIGHT
from gossipfl.peers.magnitudes import Bound, check_bound
from gossipfl.weights import PeerId

SERVER: PeerId = "server"
"""The name of the server among the participants."""

ServerPatience: TypeAlias = Annotated[
    float | None, "Seconds after which the server averages whatever has come; absent: it waits for ever."
]

ClientAggregator: TypeAlias = Annotated[
    Aggregator,
    "What the server makes of the models of a round: their mean, or a rule that bounds what a few clients that lie can "
    "do, for which clients count equally.",
]

ExamplesBound: TypeAlias = Annotated[
    Bound,
    "How many times the median number of examples, of all clients that have announced theirs, one client may count at "
    "most, when clients count by examples; false: every number is believed. Higher: larger shards count in full, at "
    "the expense of what a client gains that lies about its own.",
]
EXAMPLES_BOUND = 10.0


@dataclass(frozen=True, slots=True)
class ServerRecipe(Algorithm):
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

    takes_no: ClassVar[Mapping[str, str]] = {
        "outgoing": (
            "what a client has changed is counted from the model of the server, and not from what it sent before"
        ),
    }
    family: ClassVar[Family] = "with a server"
    hub: ClassVar[PeerId | None] = SERVER
    follows_links: ClassVar[bool] = False
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform", "examples"})

    def __post_init__(self) -> None:
        if not 0 < self.client_fraction <= 1:
            raise ConfigurationError(f"client_fraction must be above 0 and at most 1, got {self.client_fraction}")
        check_patience(self.patience)
        check_weighting(self.weighting)
        check_bound("examples_bound", self.examples_bound)
        if self.weighting == "examples" and not self.aggregator.keeps_mean:
            raise ConfigurationError(
                f"for the aggregator {type(self.aggregator).__name__}, clients count equally: use weighting = "
                "'uniform', or the mean, which counts them by their examples"
            )

    @property
    @abstractmethod
    def weighting(self) -> Weighting: ...

    @property
    def aggregator(self) -> Aggregator:
        return Mean()

    @property
    @abstractmethod
    def examples_bound(self) -> Bound: ...

    @property
    @abstractmethod
    def method(self) -> FederatedMethod: ...

    @property
    def extra_vectors(self) -> frozenset[str]:
        return self.method.extra_vectors

    def caveat(self, graph: nx.Graph) -> str | None:
        if self.aggregator.keeps_mean:
            return None
        return f"keeps no mean over clients: the server takes the {type(self.aggregator).__name__} of their models"

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
        return -(-rounds * num_peers // num_sampled(self.client_fraction, num_peers))

    def numbers(self, num_peers: int, rounds: int) -> Mapping[str, NumberSchema]:
        return {"num_examples": NUM_EXAMPLES, "step_weight": NumberSchema(SMALLEST_STEP_WEIGHT, 1)}

    def make_peer(self, seat: Seat) -> Peer:
        local = seat.model(self.sharing, self.extra_vectors)
        if seat.peer_id != SERVER:
            return FedAvgClient(local, SERVER, self.method)
        clients = [client for client in seat.network if client != SERVER]
        generator = seat.randomness.public.generator("fedavg", "client sampling")
        return FedAvgServer(
            local,
            ClientSampling(clients, self.client_fraction, generator),
            self.server_optimizer,
            aggregator=None if self.aggregator == Mean() else self.aggregator,
            by_examples=self.weighting == "examples",
            examples_bound=self.examples_bound,
            patience=self.patience,
            needs_everybody=self.needs_everybody,
        )
