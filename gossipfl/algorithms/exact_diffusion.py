"""Exact diffusion: D2 that is sound on every graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from gossipfl.actions import LocalWork
from gossipfl.algorithms.d2 import ONE_MATRIX
from gossipfl.algorithms.rounds import SynchronousRecipe
from gossipfl.methods import D2, GossipMethod
from gossipfl.peers import Sharing
from gossipfl.schedules import Schedule, Static
from gossipfl.schedules.static import MixingField


@dataclass(frozen=True, slots=True)
class ExactDiffusion(SynchronousRecipe):
    """D2 with the mixing matrix (W + I) / 2, sound on every graph (exact diffusion; Yuan et al., 2019)."""

    mixing: MixingField = "metropolis_hastings"
    sharing: Sharing = field(default_factory=Sharing)

    takes_no: ClassVar[Mapping[str, str]] = dict.fromkeys(("aggregator", "outgoing"), ONE_MATRIX)
    needs_everybody: ClassVar[str | None] = ONE_MATRIX

    @property
    def schedule(self) -> Schedule:
        return Static(self.mixing, lazy=True)

    def method(self, work: LocalWork) -> GossipMethod:
        return D2()
