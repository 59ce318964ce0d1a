"""Quasi-global momentum: momentum of what mixing has made of the weights, not of one's own gradients."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gossipfl.actions import Correction, Update
from gossipfl.methods.server_optimizers import Memory
from gossipfl.weights import Vector, frozen


@dataclass(frozen=True, slots=True)
class QuasiGlobalMomentum:
    """Train with g + mu m_i, mix, and follow the movement of the mix (QG-DSGDm; Lin et al., 2021).

    m_i <- mu m_i + (1 - mu) (x_i^t - x_i^{t+1}) / step,   m_i^0 = 0

    where `step` is the sum of the learning rates over the local steps of a round. Alone, with one local step, it is
    momentum 1 - (1 - mu)^2. It costs no bytes beyond D-PSGD.
    """

    momentum: float
    step: float

    mixed: ClassVar[frozenset[str]] = frozenset()

    def begin(self, x: Vector, memory: Memory) -> Correction:
        if not memory or self.momentum == 0:
            return Correction()
        return Correction({"c": frozen(self.momentum * memory["m"])})

    def emit(self, x: Vector, update: Update, memory: Memory) -> dict[str, Vector]:
        return {"weights": update.weights}

    def absorb(
        self, x: Vector, emitted: Mapping[str, Vector], mixed: Mapping[str, Vector], memory: Memory
    ) -> tuple[Vector, Memory]:
        movement = (1 - self.momentum) / self.step * (x - mixed["weights"])
        return mixed["weights"], {"m": frozen(self.momentum * memory["m"] + movement if memory else movement)}
