"""Clients whose drift is corrected by what the gradients of others are on average."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gossipfl.actions import Correction, Update
from gossipfl.methods.federated_method import Answer
from gossipfl.methods.server_optimizers import Memory
from gossipfl.weights import Vector, frozen


@dataclass(frozen=True, slots=True)
class Scaffold:
    """Local gradients are g + c - c_i, and c_i <- mean of g over the steps (SCAFFOLD; Karimireddy et al., 2020).

    The client answers with what c_i has changed, so that the server's c is the mean of all c_i.

    c_i is option II of the paper: its c_i - c + (x - y) / (K eta) is the mean of g where local training is plain SGD.
    With another optimizer (x - y) / (K eta) is no mean of gradients (momentum b inflates it by about 1 / (1 - b)); the
    mean of g itself stays one, and at a common optimum g + c - c_i = 0 for any optimizer. It is over the steps that
    mixed precision applied; a round without any changes nothing.
    """

    extra_vectors: ClassVar[frozenset[str]] = frozenset({"control"})

    def begin(self, received: Mapping[str, Vector], memory: Memory) -> Correction:
        own = memory.get("control")
        c = received["control"] if own is None else frozen(received["control"] - own)
        return Correction({"c": c}, wants=frozenset({"gradient_sum"}))

    def answer(self, update: Update, memory: Memory) -> Answer:
        total, own = update.vectors["gradient_sum"], memory.get("control")
        if not update.num_applied:
            return Answer({"control": frozen(np.zeros_like(total))}, 1.0, memory)
        new = frozen(total / update.num_applied)
        return Answer({"control": new if own is None else frozen(new - own)}, 1.0, {"control": new})
