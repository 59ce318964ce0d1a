"""Quasi-global momentum: momentum of how the mixed weights move."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from gossipfl.actions import LocalWork
from gossipfl.aggregators import Mean
from gossipfl.algorithms.local_sgd import LocalSGD, not_plain_sgd
from gossipfl.algorithms.rounds import AggregatorField, GossipSteps, Patience, ScheduleField, SynchronousRecipe
from gossipfl.errors import ConfigurationError
from gossipfl.methods import GossipMethod, QuasiGlobalMomentum
from gossipfl.peers import Sharing
from gossipfl.schedules import Static


@dataclass(frozen=True, slots=True)
class QuasiGlobalMomentumGossip(SynchronousRecipe):
    """Momentum of how the mixed weights move, at no bytes (QG-DSGDm; Lin et al., 2021)."""

    sgd: LocalSGD
    momentum: Annotated[
        float, "mu. Higher: smoother and, over many rounds, faster, at the expense of overshooting."
    ] = 0.9
    schedule: ScheduleField = field(default_factory=Static)
    gossip_steps: GossipSteps = 1
    aggregator: AggregatorField = field(default_factory=Mean)
    patience: Patience = None
    sharing: Sharing = field(default_factory=Sharing)

    takes_no: ClassVar[Mapping[str, str]] = {
        "outgoing": "its momentum is made of what mixing changes, and would take what comes late for a direction",
    }
    calculates_with: ClassVar[tuple[str, ...]] = ("learning_rate",)

    def __post_init__(self) -> None:
        SynchronousRecipe.__post_init__(self)
        if not 0 <= self.momentum < 1:
            raise ConfigurationError(f"momentum must be at least 0 and below 1, got {self.momentum}")
        if not self.sgd.learning_rate or self.sgd.momentum or self.sgd.decay:  # its steps would have another length
            raise not_plain_sgd(type(self).__name__, self.calculates_with, self.sgd)

    def method(self, work: LocalWork) -> GossipMethod:
        assert self.sgd.learning_rate is not None
        return QuasiGlobalMomentum(self.momentum, self.sgd.learning_rate * work.steps_per_round)
