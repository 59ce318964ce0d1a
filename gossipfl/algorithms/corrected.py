"""Synchronous gossip that corrects for different data: more of what FedAvg reaches, without a server."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.algorithms.rounds import SynchronousRecipe, check_keeps_mean, check_undirected
from gossipfl.algorithms.synchronous import GossipSteps, Patience, ScheduleField
from gossipfl.errors import ConfigurationError
from gossipfl.methods import D2, GossipMethod, GradientTracking, OuterStep, QuasiGlobalMomentum
from gossipfl.methods.server_optimizers import ServerSGD
from gossipfl.peers import Sharing
from gossipfl.schedules import Schedule, Static, gives_the_mean
from gossipfl.schedules.static import MixingField
from gossipfl.topology import mixing_matrix, smallest_eigenvalue

_BORDER = -1 / 3
_ROUNDING = 1e-9
_ONE_MATRIX = "each step corrects the one before, and both have to be mixed with one and the same matrix"


@dataclass(frozen=True, slots=True)
class D2Gossip(SynchronousRecipe):
    """Correct each step by the last one, which removes the bias of different data (D2; Tang et al., 2018)."""

    mixing: MixingField = "metropolis_hastings"
    sharing: Sharing = field(default_factory=Sharing)

    needs_everybody: ClassVar[str | None] = _ONE_MATRIX

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


@dataclass(frozen=True, slots=True)
class ExactDiffusion(SynchronousRecipe):
    """D2 with the mixing matrix (W + I) / 2, sound on every graph (exact diffusion; Yuan et al., 2019)."""

    mixing: MixingField = "metropolis_hastings"
    sharing: Sharing = field(default_factory=Sharing)

    needs_everybody: ClassVar[str | None] = _ONE_MATRIX

    @property
    def schedule(self) -> Schedule:
        return Static(self.mixing, lazy=True)

    def method(self, work: LocalWork) -> GossipMethod:
        return D2()


@dataclass(frozen=True, slots=True)
class GradientTrackingGossip(SynchronousRecipe):
    """Follow everybody's mean gradient and train with it, for twice the bytes (K-GT; Liu et al., 2024)."""

    schedule: ScheduleField = field(default_factory=Static)
    gossip_steps: GossipSteps = 1
    sharing: Sharing = field(default_factory=Sharing)

    extra_vectors: ClassVar[frozenset[str]] = GradientTracking.mixed
    needs_everybody: ClassVar[str | None] = (
        "the trackers of those who stay would go on with the gradients of the one that is gone"
    )

    def __post_init__(self) -> None:
        SynchronousRecipe.__post_init__(self)
        check_keeps_mean(self.schedule, "trackers must sum to the sum of the gradients")

    def method(self, work: LocalWork) -> GossipMethod:
        return GradientTracking()


@dataclass(frozen=True, slots=True)
class QuasiGlobalMomentumGossip(SynchronousRecipe):
    """Momentum of how the mixed weights move, at no bytes (QG-DSGDm; Lin et al., 2021)."""

    local_learning_rate: float
    momentum: Annotated[
        float, "mu. Higher: smoother and, over many rounds, faster, at the expense of overshooting."
    ] = 0.9
    schedule: ScheduleField = field(default_factory=Static)
    gossip_steps: GossipSteps = 1
    patience: Patience = None
    sharing: Sharing = field(default_factory=Sharing)

    def __post_init__(self) -> None:
        SynchronousRecipe.__post_init__(self)
        if not 0 <= self.momentum < 1:
            raise ConfigurationError(f"momentum must be at least 0 and below 1, got {self.momentum}")
        if not 0 < self.local_learning_rate < float("inf"):
            raise ConfigurationError(f"local_learning_rate must be above 0, got {self.local_learning_rate}")

    def method(self, work: LocalWork) -> GossipMethod:
        return QuasiGlobalMomentum(self.momentum, self.local_learning_rate * work.steps_per_round)


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
