"""Gossip in rounds by other sums than rows of a symmetric matrix: push-sum, and relayed sums on trees."""

from dataclasses import dataclass, field
from typing import ClassVar

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.algorithms.algorithm import Mass, Weighting, check_patience
from gossipfl.algorithms.rounds import SynchronousRecipe, check_gossip_steps, check_undirected
from gossipfl.algorithms.synchronous import GossipSteps, Patience, ScheduleField
from gossipfl.errors import ConfigurationError
from gossipfl.peers import PushSumMixing, RelaySum, Sharing
from gossipfl.peers.mixing import Mixing
from gossipfl.schedules import OnePeerExponential, Schedule, Static
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class StochasticGradientPush(SynchronousRecipe):
    """Push-sum in rounds, on graphs whose links may go one way and change (SGP; Assran et al., 2019)."""

    schedule: ScheduleField = field(default_factory=OnePeerExponential)
    gossip_steps: GossipSteps = 1
    weighting: Weighting = "uniform"
    sharing: Sharing = field(default_factory=Sharing)

    weightings: ClassVar[frozenset[str]] = frozenset({"uniform", "examples"})

    def __post_init__(self) -> None:
        check_gossip_steps(self.gossip_steps)

    @property
    def mass(self) -> Mass:
        return "examples" if self.weighting == "examples" else "peers"

    def network(self, graph: nx.Graph) -> nx.Graph:
        return self.schedule.links(graph)

    def mixing_of(self, peer_id: PeerId, network: nx.Graph, work: LocalWork) -> Mixing:
        return PushSumMixing(peer_id, float(work.num_examples) if self.weighting == "examples" else 1.0)


@dataclass(frozen=True, slots=True)
class RelaySumGossip(SynchronousRecipe):
    """Relay sums along a tree, so that every model reaches everybody undiluted (RelaySGD; Vogels et al., 2021)."""

    patience: Patience = None
    sharing: Sharing = field(default_factory=Sharing)

    def __post_init__(self) -> None:
        check_patience(self.patience)

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
