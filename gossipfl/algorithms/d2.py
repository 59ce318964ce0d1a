"""D2: synchronous gossip without the bias of different data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.algorithms.rounds import SynchronousRecipe, check_undirected
from gossipfl.errors import ConfigurationError
from gossipfl.methods import D2, GossipMethod
from gossipfl.peers import Sharing
from gossipfl.schedules import Schedule, Static
from gossipfl.schedules.static import MixingField
from gossipfl.topology import mixing_matrix, smallest_eigenvalue

_BORDER = -1 / 3
_ROUNDING = 1e-9

ONE_MATRIX = "each step corrects the one before, and both have to be mixed with one and the same matrix"
"""Why nobody can be shut out of D2, and no other rule take the place of the mean."""


@dataclass(frozen=True, slots=True)
class D2Gossip(SynchronousRecipe):
    """Correct each step by the last one, which removes the bias of different data (D2; Tang et al., 2018)."""

    mixing: MixingField = "metropolis_hastings"
    sharing: Sharing = field(default_factory=Sharing)

    takes_no: ClassVar[Mapping[str, str]] = dict.fromkeys(("aggregator", "outgoing"), ONE_MATRIX)
    needs_everybody: ClassVar[str | None] = ONE_MATRIX

    @property
    def schedule(self) -> Schedule:
        return Static(self.mixing)

    def method(self, work: LocalWork) -> GossipMethod:
        return D2()

    def network(self, graph: nx.Graph) -> nx.Graph:
        """Raises ConfigurationError where D2 would diverge: it needs a smallest eigenvalue above -1/3."""
        check_undirected(graph)
        smallest = smallest_eigenvalue(mixing_matrix(graph, self.mixing))
        if smallest <= _BORDER + _ROUNDING:
            raise ConfigurationError(
                f"D2 diverges on topology {graph.name!r}: its mixing matrix has the eigenvalue {smallest:.3f}, and all "
                'have to be above -1/3; use "exact_diffusion", which is D2 with (W + I) / 2, or another topology'
            )
        return graph
