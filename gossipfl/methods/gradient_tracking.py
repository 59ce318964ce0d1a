"""Gradient tracking: every peer follows an estimate of everybody's mean gradient."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gossipfl.actions import Correction, Update
from gossipfl.methods.server_optimizers import Memory
from gossipfl.weights import Vector, frozen

_GRADIENT_SUM = frozenset({"gradient_sum"})


@dataclass(frozen=True, slots=True)
class GradientTracking:
    """Train with g + c_i in place of g, where c_i follows the mean over peers (K-GT; Liu et al., 2024).

    q_i = mean of g over the local steps + c_i;   x_i <- sum_j w_ij y_j;   c_i <- c_i + sum_j w_ij q_j - q_i,   c^0 = 0

    The sum of c over peers stays 0. With one local step q is the tracker of Di Lorenzo & Scutari (2016):
    q^{t+1} = W q^t + g^{t+1} - g^t. The mean is over the steps that mixed precision applied, 0 without any. Weights and
    q are sent: twice the bytes of D-PSGD.
    """

    mixed: ClassVar[frozenset[str]] = frozenset({"tracker"})

    def begin(self, x: Vector, memory: Memory) -> Correction:
        return Correction(memory, wants=_GRADIENT_SUM)

    def emit(self, x: Vector, update: Update, memory: Memory) -> dict[str, Vector]:
        gradient = frozen(update.vectors["gradient_sum"] / max(1, update.num_applied))
        return {"weights": update.weights, "tracker": frozen(gradient + memory["c"]) if memory else gradient}

    def absorb(
        self, x: Vector, emitted: Mapping[str, Vector], mixed: Mapping[str, Vector], memory: Memory
    ) -> tuple[Vector, Memory]:
        change = mixed["tracker"] - emitted["tracker"]
        return mixed["weights"], {"c": frozen(memory["c"] + change if memory else change)}
