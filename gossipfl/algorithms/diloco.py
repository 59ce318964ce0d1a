"""DiLoCo: many local steps, then a step of an outer optimizer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.algorithms.rounds import GossipSteps, Patience, ScheduleField, SynchronousRecipe
from gossipfl.errors import ConfigurationError
from gossipfl.methods import GossipMethod, OuterStep
from gossipfl.methods.server_optimizers import ServerSGD
from gossipfl.peers import Sharing
from gossipfl.schedules import Static, gives_the_mean
from gossipfl.topology import mixing_matrix, smallest_eigenvalue


@dataclass(frozen=True, slots=True)
class DiLoCo(SynchronousRecipe):
    """Many local steps, then an outer momentum step towards the mix (DiLoCo; Douillard et al., 2023; SlowMo)."""

    outer_learning_rate: Annotated[float, "Of the outer step; 1.0 without momentum takes the mix as it is."] = 0.7
    outer_momentum: Annotated[
        float, "Of the outer step. Higher: faster over many rounds, at the expense of overshooting."
    ] = 0.9
    nesterov: Annotated[bool, "Whether the outer momentum is Nesterov's."] = True
    schedule: ScheduleField = field(default_factory=Static)
    gossip_steps: GossipSteps = 1
    patience: Patience = None
    sharing: Sharing = field(default_factory=Sharing)

    takes_no: ClassVar[Mapping[str, str]] = {
        "aggregator": (
            "how long an outer step may be depends on the eigenvalues of the mixing matrix, and no other rule has any"
        ),
        "outgoing": "its momentum is made of what mixing changes, and would take what comes late for a direction",
    }

    def __post_init__(self) -> None:
        SynchronousRecipe.__post_init__(self)
        _ = self.outer

    def network(self, graph: nx.Graph) -> nx.Graph:
        """Raises ConfigurationError where the outer step would make what is left of disagreement grow.

        A mode of the mixing matrix with the eigenvalue lambda is stable for
        outer_learning_rate (1 - lambda) < 2 (1 + b) / (1 + 2 b) with Nesterov's momentum b, 2 (1 + b) with the other.
        """
        links = SynchronousRecipe.network(self, graph)
        b = self.outer_momentum
        bound = 2 * (1 + b) / (1 + 2 * b if self.nesterov else 1)
        if isinstance(self.schedule, Static):
            smallest = smallest_eigenvalue(mixing_matrix(graph, self.schedule.mixing))
            smallest = ((smallest + 1) / 2 if self.schedule.lazy else smallest) ** self.gossip_steps
            if self.outer_learning_rate * (1 - min(smallest, 0.0)) >= bound:
                raise ConfigurationError(
                    f"DiLoCo diverges on topology {graph.name!r}: outer_learning_rate = {self.outer_learning_rate:g} "
                    f"has to be below {bound / (1 - min(smallest, 0.0)):.3f} there; lower it, or take "
                    'schedule = {name = "static", lazy = true}'
                )
        elif not gives_the_mean(self.schedule, links, self.gossip_steps):
            raise ConfigurationError(
                f"DiLoCo may diverge on the schedule {type(self.schedule).__name__}, whose {self.gossip_steps} gossip "
                "steps per round do not give the exact mean: its momentum lets what is left of disagreement grow; give "
                "it the schedule static, or as many gossip_steps as bring the exact mean"
            )
        return links

    @property
    def outer(self) -> ServerSGD:
        return ServerSGD(self.outer_learning_rate, self.outer_momentum, self.nesterov and self.outer_momentum > 0)

    def method(self, work: LocalWork) -> GossipMethod:
        return OuterStep(self.outer)
