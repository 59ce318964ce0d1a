"""Gradient tracking: peers train with an estimate of everybody's mean gradient."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from gossipfl.actions import LocalWork
from gossipfl.algorithms.rounds import GossipSteps, ScheduleField, SynchronousRecipe, check_keeps_mean
from gossipfl.methods import GossipMethod, GradientTracking
from gossipfl.peers import Sharing
from gossipfl.schedules import Static

_SUM = "trackers must sum to the sum of the gradients"


@dataclass(frozen=True, slots=True)
class GradientTrackingGossip(SynchronousRecipe):
    """Follow everybody's mean gradient and train with it, for twice the bytes (K-GT; Liu et al., 2024)."""

    schedule: ScheduleField = field(default_factory=Static)
    gossip_steps: GossipSteps = 1
    sharing: Sharing = field(default_factory=Sharing)

    takes_no: ClassVar[Mapping[str, str]] = {
        "aggregator": f"{_SUM}, and no other rule keeps it",
        "outgoing": "trackers must sum to the sum of the gradients, and what a stage held back would be missing",
    }
    needs_everybody: ClassVar[str | None] = (
        "the trackers of those who stay would go on with the gradients of the one that is gone"
    )

    def __post_init__(self) -> None:
        SynchronousRecipe.__post_init__(self)
        check_keeps_mean(self.schedule, _SUM)

    def method(self, work: LocalWork) -> GossipMethod:
        return GradientTracking()
