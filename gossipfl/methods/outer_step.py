"""An outer optimizer: the mix is a direction, not the new weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gossipfl.actions import Correction, Update
from gossipfl.methods.server_optimizers import Memory, ServerOptimizer
from gossipfl.weights import Vector


@dataclass(frozen=True, slots=True)
class OuterStep:
    """x_i <- the outer optimizer's step from x_i towards sum_j w_ij y_j (SlowMo; Wang et al., 2020; DiLoCo).

    On the complete graph that is FedAvg with this optimizer at the server.
    """

    optimizer: ServerOptimizer

    mixed: ClassVar[frozenset[str]] = frozenset()

    def begin(self, x: Vector, memory: Memory) -> Correction:
        return Correction()

    def emit(self, x: Vector, update: Update, memory: Memory) -> dict[str, Vector]:
        return {"weights": update.weights}

    def absorb(
        self, x: Vector, emitted: Mapping[str, Vector], mixed: Mapping[str, Vector], memory: Memory
    ) -> tuple[Vector, Memory]:
        return self.optimizer.step(x, mixed["weights"], memory)
