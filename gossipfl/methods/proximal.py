"""Clients that stay near the server's model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gossipfl.actions import Correction, Update
from gossipfl.methods.federated_method import Answer
from gossipfl.methods.server_optimizers import Memory
from gossipfl.weights import Vector


@dataclass(frozen=True, slots=True)
class Proximal:
    """Local training minimises f_i(y) + mu / 2 ||y - x||^2: its gradient is g + mu (y - x) (FedProx; Li et al., 2020).

    mu = 0 corrects nothing: federated averaging.
    """

    mu: float = 0.0

    extra_vectors: ClassVar[frozenset[str]] = frozenset()

    def begin(self, received: Mapping[str, Vector], memory: Memory) -> Correction:
        return Correction({"anchor": received["weights"]}, self.mu) if self.mu else Correction()

    def answer(self, update: Update, memory: Memory) -> Answer:
        return Answer({}, 1.0, memory)
