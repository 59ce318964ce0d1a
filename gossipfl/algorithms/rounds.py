"""What the recipes of synchronous gossip have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Annotated, ClassVar, TypeAlias

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.aggregators import MixingRow
from gossipfl.algorithms.algorithm import NUM_EXAMPLES, check_patience
from gossipfl.errors import ConfigurationError
from gossipfl.messages import NumberSchema
from gossipfl.methods import GossipMethod, Uncorrected
from gossipfl.mixing import Mixing, RowMixing
from gossipfl.peers import LocalModel, Peer, Sharing, SynchronousGossipPeer
from gossipfl.randomness import Randomness
from gossipfl.schedules import Schedule
from gossipfl.topology import Neighbors
from gossipfl.weights import ModelVectors, PeerId

ScheduleField: TypeAlias = Annotated[Schedule, "Who mixes with whom in which step (`gossipfl algorithms` lists them)."]
GossipSteps: TypeAlias = Annotated[
    int, "Steps of mixing per round. More: closer agreement, at the expense of as many times the bytes and delays."
]
Patience: TypeAlias = Annotated[
    float | None, "Seconds after which a peer mixes with whoever has answered; absent: it waits for ever."
]


class SynchronousRecipe(ABC):
    """Gossip in rounds; a recipe is a frozen dataclass that says its schedule, its method and its mixing."""

    __slots__ = ()

    hub: ClassVar[PeerId | None] = None
    pools_data: ClassVar[bool] = False
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform"})
    extra_vectors: ClassVar[frozenset[str]] = frozenset()
    needs_everybody: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        if not isinstance(self.gossip_steps, int) or self.gossip_steps < 1:
            raise ConfigurationError(f"gossip_steps must be at least 1, got {self.gossip_steps}")
        check_patience(self.patience)

    @property
    @abstractmethod
    def schedule(self) -> Schedule: ...

    @property
    @abstractmethod
    def sharing(self) -> Sharing: ...

    @property
    def follows_links(self) -> bool:
        return self.schedule.follows_links

    @property
    def gossip_steps(self) -> int:
        return 1

    @property
    def patience(self) -> float | None:
        return None

    @property
    def combines_first(self) -> bool:
        return False

    def method(self, work: LocalWork) -> GossipMethod:
        return Uncorrected()

    def mixing_of(self, peer_id: PeerId, network: nx.Graph, work: LocalWork) -> Mixing:
        return RowMixing(peer_id, work.num_examples, MixingRow())

    def network(self, graph: nx.Graph) -> nx.Graph:
        if self.schedule.follows_links:
            check_undirected(graph)
        return self.schedule.links(graph)

    def num_rounds(self, rounds: int, num_peers: int) -> int:
        return rounds

    def numbers(self, num_peers: int, rounds: int) -> Mapping[str, NumberSchema]:
        return {"num_examples": NUM_EXAMPLES}

    def caveat(self, graph: nx.Graph) -> str | None:
        return None if self.schedule.keeps_mean else "keeps the mean over peers on average only, not in every round"

    def make_peer(
        self,
        peer_id: PeerId,
        network: nx.Graph,
        initial: ModelVectors,
        work: LocalWork,
        randomness: Randomness,
    ) -> Peer:
        lead = self.schedule.lead(network)
        if self.patience is not None:  # skipping ahead too early costs no more than patience that has run out
            lead = min(lead, 2 * (len(network) - 1).bit_length())
        return SynchronousGossipPeer(
            LocalModel(peer_id, work, initial, self.sharing, self.extra_vectors),
            self.schedule.meetings(network, peer_id, randomness.public.seed),
            partial(Neighbors.of, network, peer_id),
            self.method(work),
            self.mixing_of(peer_id, network, work),
            gossip_steps=self.gossip_steps,
            combine_first=self.combines_first,
            lead=lead,
            patience=self.patience,
            num_voices=1 if (network.in_degree if network.is_directed() else network.degree)(peer_id) == 1 else 2,
            needs_everybody=self.needs_everybody,
        )


def check_undirected(graph: nx.Graph) -> None:
    """Raises ConfigurationError for a directed graph."""
    if graph.is_directed():
        raise ConfigurationError(
            f"topology {graph.name!r} is directed, and this algorithm needs links that work both ways: use one that is "
            "based on push-sum ('sgp', 'gosgd'), or an undirected topology"
        )


def check_keeps_mean(schedule: Schedule, why: str) -> None:
    """Raises ConfigurationError for a schedule whose steps move the mean over peers."""
    if not schedule.keeps_mean:
        raise ConfigurationError(
            f"the schedule {type(schedule).__name__} does not keep the mean over peers, but {why}: use another schedule"
        )
