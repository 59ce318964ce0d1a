"""Gossip in rounds by other sums than rows of a symmetric matrix: push-sum, and relayed sums on trees."""

from dataclasses import dataclass, field
from typing import ClassVar

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.algorithms.algorithm import Mass, Weighting, check_weighting
from gossipfl.algorithms.rounds import SynchronousRecipe, check_undirected
from gossipfl.algorithms.synchronous import GossipSteps, Patience, ScheduleField
from gossipfl.errors import ConfigurationError
from gossipfl.mixing import Mixing, PushSumMixing, RelaySum
from gossipfl.peers import Sharing
from gossipfl.schedules import OnePeerExponential, Schedule, Static
from gossipfl.topology import least_stationary_mass, push_matrix
from gossipfl.weights import PeerId

_LEAST_MASS = 0.1  # of the mean; steps of training grow by its inverse


@dataclass(frozen=True, slots=True)
class StochasticGradientPush(SynchronousRecipe):
    """Push-sum in rounds, on graphs whose links may go one way and change (SGP; Assran et al., 2019)."""

    schedule: ScheduleField = field(default_factory=OnePeerExponential)
    gossip_steps: GossipSteps = 1
    weighting: Weighting = "uniform"
    sharing: Sharing = field(default_factory=Sharing)

    weightings: ClassVar[frozenset[str]] = frozenset({"uniform", "examples"})

    def __post_init__(self) -> None:
        SynchronousRecipe.__post_init__(self)
        check_weighting(self.weighting)

    @property
    def mass(self) -> Mass:
        return "examples" if self.weighting == "examples" else "peers"

    def network(self, graph: nx.Graph) -> nx.Graph:
        """Raises ConfigurationError where a peer would keep so little mass that its steps of training explode."""
        if graph.is_directed() and self.schedule.follows_links:
            least = least_stationary_mass(push_matrix(graph))
            if least < _LEAST_MASS:
                raise ConfigurationError(
                    f"push-sum leaves a peer of topology {graph.name!r} {least:.2g} of the mean mass: its steps of "
                    f"training would be {1 / max(least, 1e-300):.3g} times as long (at most {1 / _LEAST_MASS:g}); add "
                    "links to peers that hear from few others, or take the schedule one_peer_exponential"
                )
        return self.schedule.links(graph)

    def caveat(self, graph: nx.Graph) -> str | None:
        return None  # the sums of value and mass stay as they are on every schedule

    def mixing_of(self, peer_id: PeerId, network: nx.Graph, work: LocalWork) -> Mixing:
        return PushSumMixing(peer_id, float(work.num_examples) if self.weighting == "examples" else 1.0)


@dataclass(frozen=True, slots=True)
class RelaySumGossip(SynchronousRecipe):
    """Relay sums along a tree, so that every model reaches everybody undiluted (RelaySGD; Vogels et al., 2021)."""

    patience: Patience = None
    sharing: Sharing = field(default_factory=Sharing)

    needs_everybody: ClassVar[str | None] = (
        "sums are relayed along all of the tree, which falls apart without one of its peers"
    )

    @property
    def schedule(self) -> Schedule:
        return Static()

    def network(self, graph: nx.Graph) -> nx.Graph:
        """Raises ConfigurationError unless the graph is a tree."""
        check_undirected(graph)
        if not nx.is_tree(graph):
            raise ConfigurationError(
                f"RelaySum needs a tree, but topology {graph.name!r} has {len(graph)} peers and {graph.size()} links "
                "(a tree has one less than peers): use a tree, such as a path, a star or a balanced tree"
            )
        return graph

    def mixing_of(self, peer_id: PeerId, network: nx.Graph, work: LocalWork) -> Mixing:
        return RelaySum(len(network))
