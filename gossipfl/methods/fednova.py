"""Clients whose steps count alike, however many of them they take."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gossipfl.actions import Correction, Update
from gossipfl.methods.federated_method import Answer
from gossipfl.methods.server_optimizers import Memory
from gossipfl.weights import Vector


@dataclass(frozen=True, slots=True)
class NormalizedSteps:
    """A client's step weight is 1 / ||a_i||_1, the inverse of its steps in units of the learning rate (FedNova; Wang et
    al., 2020).

    After tau steps of SGD with momentum b, y_i - x = -eta sum_k a_ik g_k with

        ||a_i||_1 = (tau - b (1 - b^tau) / (1 - b)) / (1 - b) = sum_{j < tau} (tau - j) b^j,    which is tau for b = 0.

    The sum is what is computed: its first term is tau and none is negative, so the step weight is at most 1 / tau in
    floating point too, where the closed form cancels.

    With weight decay, which takes the share d of the weights away in every step, and without momentum,

        y_i - x = -eta ||a_i||_1 (d / eta x + mean of g_k by a_ik),    ||a_i||_1 = (1 - (1 - d)^tau) / d

    so that it too counts alike for all; it is a proximal term of strength d / eta whose middle is zero.
    """

    momentum: float = 0.0
    decay: float = 0.0

    extra_vectors: ClassVar[frozenset[str]] = frozenset()

    def begin(self, received: Mapping[str, Vector], memory: Memory) -> Correction:
        return Correction()

    def answer(self, update: Update, memory: Memory) -> Answer:
        num_steps = max(1, update.num_applied)
        steps = np.arange(num_steps)
        parts = (1 - self.decay) ** steps if self.decay else (num_steps - steps) * self.momentum**steps
        return Answer({}, 1 / float(np.sum(parts)), memory)
