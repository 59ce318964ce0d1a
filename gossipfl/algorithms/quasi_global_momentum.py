"""Quasi-global momentum: momentum of how the mixed weights move."""

from dataclasses import dataclass, field
from typing import Annotated

from gossipfl.actions import LocalWork
from gossipfl.algorithms.rounds import GossipSteps, Patience, ScheduleField, SynchronousRecipe
from gossipfl.errors import ConfigurationError
from gossipfl.methods import GossipMethod, QuasiGlobalMomentum
from gossipfl.peers import Sharing
from gossipfl.schedules import Static


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
