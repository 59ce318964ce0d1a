"""D2 and exact diffusion: gossip without the bias of different data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gossipfl.actions import Correction, Update
from gossipfl.methods.server_optimizers import Memory
from gossipfl.weights import Vector, frozen


@dataclass(frozen=True, slots=True)
class D2:
    """x_i^{t+1} = sum_j w_ij (2 x_j^t - x_j^{t-1} + u_j^t - u_j^{t-1}), u = y - x: training (Tang et al., 2018).

    With c^t = x^t - x^{t-1} - u^{t-1} and c^0 = 0 that is x <- W (y + c), c <- c + x - (y + c). The sum of c over peers
    stays 0. With (W + I) / 2 in place of W it is exact diffusion (Yuan et al., 2019).
    """

    mixed: ClassVar[frozenset[str]] = frozenset()

    def begin(self, x: Vector, memory: Memory) -> Correction:
        return Correction()

    def emit(self, x: Vector, update: Update, memory: Memory) -> dict[str, Vector]:
        return {"weights": frozen(update.weights + memory["c"]) if memory else update.weights}

    def absorb(
        self, x: Vector, emitted: Mapping[str, Vector], mixed: Mapping[str, Vector], memory: Memory
    ) -> tuple[Vector, Memory]:
        change = mixed["weights"] - emitted["weights"]
        return mixed["weights"], {"c": frozen(memory["c"] + change if memory else change)}
