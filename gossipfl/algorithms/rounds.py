"""The base of the recipes of synchronous gossip."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, TypeAlias

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.aggregators import Aggregator, Mean
from gossipfl.algorithms.algorithm import NUM_EXAMPLES, Algorithm, Family, check_patience
from gossipfl.algorithms.seat import Seat
from gossipfl.compression import Chain, Stage
from gossipfl.errors import ConfigurationError
from gossipfl.messages import NumberSchema
from gossipfl.methods import GossipMethod, Uncorrected
from gossipfl.mixing import Mixing, RowMixing
from gossipfl.peers import Peer, SynchronousGossipPeer
from gossipfl.schedules import Schedule
from gossipfl.stopping.known import known_in

ScheduleField: TypeAlias = Annotated[Schedule, "Who mixes with whom in which step (`gossipfl algorithms` lists them)."]
GossipSteps: TypeAlias = Annotated[
    int, "Steps of mixing per round. More: closer agreement, at the expense of as many times the bytes and delays."
]
Patience: TypeAlias = Annotated[
    float | None, "Seconds after which a peer mixes with whoever has answered; absent: it waits for ever."
]

AggregatorField: TypeAlias = Annotated[
    Aggregator, "What becomes of the models of a step: mean, or a rule that bounds what a few that lie can do."
]

_SOME_WORK = LocalWork(1, 1, 1)  # which vectors a method mixes does not depend on it


class SynchronousRecipe(Algorithm):
    """Gossip in rounds; a recipe is a frozen dataclass that says its schedule, its method and its mixing."""

    __slots__ = ()

    family: ClassVar[Family] = "gossip in rounds"

    def __post_init__(self) -> None:
        if not isinstance(self.gossip_steps, int) or self.gossip_steps < 1:
            raise ConfigurationError(f"gossip_steps must be at least 1, got {self.gossip_steps}")
        check_patience(self.patience)
        Chain(self.outgoing)

    @property
    @abstractmethod
    def schedule(self) -> Schedule: ...

    @property
    def patience(self) -> float | None:
        return None

    @property
    def aggregator(self) -> Aggregator:
        return Mean()

    @property
    def outgoing(self) -> tuple[Stage, ...]:
        return ()

    @property
    def combines_first(self) -> bool:
        return False

    def method(self, work: LocalWork) -> GossipMethod:
        return Uncorrected()

    @property
    def extra_vectors(self) -> frozenset[str]:
        return self.method(_SOME_WORK).mixed

    def mixing_of(self, seat: Seat) -> Mixing:
        return RowMixing(seat.peer_id, seat.work.num_examples, self.aggregator)

    def network(self, graph: nx.Graph) -> nx.Graph:
        if self.schedule.follows_links:
            check_undirected(graph)
        return self.schedule.links(graph)

    def known_in(self, network: nx.Graph, rounds: int, seed: int) -> tuple[int, ...] | None:
        if self.patience is not None:
            return None
        return known_in(self.schedule, network, self.gossip_steps, rounds, seed)

    def numbers(self, num_peers: int, rounds: int) -> Mapping[str, NumberSchema]:
        return {"num_examples": NUM_EXAMPLES}

    def caveat(self, graph: nx.Graph) -> str | None:
        if not self.aggregator.keeps_mean:
            return f"keeps no mean over peers: each takes the {type(self.aggregator).__name__} of those that it hears"
        return None if self.schedule.keeps_mean else "keeps the mean over peers on average only, not in every round"

    def make_peer(self, seat: Seat) -> Peer:
        network = seat.network
        lead = self.schedule.lead(network)
        if self.patience is not None:  # skipping ahead too early costs no more than patience that has run out
            lead = min(lead, 2 * (len(network) - 1).bit_length())
        return SynchronousGossipPeer(
            seat.model(self.sharing, self.extra_vectors),
            self.schedule.meetings(network, seat.peer_id, seat.randomness.public.seed),
            seat.neighbors,
            self.method(seat.work),
            self.mixing_of(seat),
            seat.leaving(self.outgoing),
            gossip_steps=self.gossip_steps,
            combine_first=self.combines_first,
            lead=lead,
            patience=self.patience,
            num_voices=1 if (network.in_degree if network.is_directed() else network.degree)(seat.peer_id) == 1 else 2,
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
