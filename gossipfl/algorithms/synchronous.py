"""Synchronous gossip without corrections: train, send to the neighbors of the step, mix with what they have sent."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from gossipfl.aggregators import Mean
from gossipfl.algorithms.algorithm import OutgoingField
from gossipfl.algorithms.rounds import AggregatorField, GossipSteps, Patience, ScheduleField, SynchronousRecipe
from gossipfl.errors import ConfigurationError
from gossipfl.peers import Sharing
from gossipfl.schedules import Static


@dataclass(frozen=True, slots=True)
class SynchronousGossip(SynchronousRecipe):
    """Train, swap with the neighbors of the round, mix by a mixing matrix (D-PSGD; Lian et al., 2017)."""

    schedule: ScheduleField = field(default_factory=Static)
    order: Annotated[
        Literal["adapt_then_combine", "combine_then_adapt"],
        "Mix trained weights, or mix those before training and add the step of training: they travel while peers "
        "train, so a round is shorter, at the expense of peers that agree less, and of a limit on local work: where "
        "the mixing matrix has negative eigenvalues (a lazy one has none), much of it makes the peers diverge.",
    ] = "adapt_then_combine"
    gossip_steps: GossipSteps = 1
    aggregator: AggregatorField = field(default_factory=Mean)
    patience: Patience = None
    outgoing: OutgoingField = ()
    sharing: Sharing = field(default_factory=Sharing)

    def __post_init__(self) -> None:
        SynchronousRecipe.__post_init__(self)
        if self.order not in ("adapt_then_combine", "combine_then_adapt"):
            raise ConfigurationError(f"order is adapt_then_combine or combine_then_adapt, got {self.order!r}")

    @property
    def combines_first(self) -> bool:
        return self.order == "combine_then_adapt"
