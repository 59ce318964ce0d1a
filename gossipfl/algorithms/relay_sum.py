"""RelaySGD: sums that are relayed along a tree."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import networkx as nx

from gossipfl.algorithms.rounds import Patience, SynchronousRecipe, check_undirected
from gossipfl.algorithms.seat import Seat
from gossipfl.errors import ConfigurationError
from gossipfl.messages import NumberSchema
from gossipfl.mixing import Mixing, RelaySum
from gossipfl.peers import Sharing
from gossipfl.schedules import Schedule, Static


@dataclass(frozen=True, slots=True)
class RelaySumGossip(SynchronousRecipe):
    """Relay sums along a tree, so that every model reaches everybody undiluted (RelaySGD; Vogels et al., 2021)."""

    patience: Patience = None
    sharing: Sharing = field(default_factory=Sharing)

    takes_no: ClassVar[Mapping[str, str]] = {
        "aggregator": "a message is the sum of many models, and no rule can tell one of them from the others",
        "outgoing": "it sends sums of models, and what a stage held back of one would be missing in all that follow",
    }
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

    def numbers(self, num_peers: int, rounds: int) -> Mapping[str, NumberSchema]:
        return {"num_models": NumberSchema(1, num_peers, is_integer=True)}

    def mixing_of(self, seat: Seat) -> Mixing:
        return RelaySum(len(seat.network))
