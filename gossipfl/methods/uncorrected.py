"""Training and mixing as they are (D-PSGD)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gossipfl.actions import Correction, Update
from gossipfl.methods.server_optimizers import Memory
from gossipfl.weights import Vector

_UNCORRECTED = Correction()


@dataclass(frozen=True, slots=True)
class Uncorrected:
    """x_i <- sum_j w_ij y_j with y_j the weights after local training (D-PSGD; Lian et al., 2017)."""

    mixed: ClassVar[frozenset[str]] = frozenset()

    def begin(self, x: Vector, memory: Memory) -> Correction:
        return _UNCORRECTED

    def emit(self, x: Vector, update: Update, memory: Memory) -> dict[str, Vector]:
        return {"weights": update.weights}

    def absorb(
        self, x: Vector, emitted: Mapping[str, Vector], mixed: Mapping[str, Vector], memory: Memory
    ) -> tuple[Vector, Memory]:
        return mixed["weights"], memory
