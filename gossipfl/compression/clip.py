"""A bound on what one message can tell, or do, beyond the message before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from gossipfl.compression.dense_floats import dense
from gossipfl.compression.encodings import decompress
from gossipfl.compression.outgoing import Memory
from gossipfl.errors import ConfigurationError
from gossipfl.messages import Encoded
from gossipfl.randomness import Randomness
from gossipfl.weights import Vector, frozen


@dataclass(frozen=True, slots=True)
class Clip:
    """Others see one's weights move by at most `norm` per message, and the rest later (McMahan et al., 2018).

    With the weights x and what others have seen of them, s, which is the first model of all in the beginning:

        s <- s + min(1, norm / ||x - s||_2) (x - s)

    which holds up to the rounding of x. The change is bounded, and not the weights themselves: those grow as training
    goes on, and would shrink by it. What is held back is not lost, because x - s has it the next time. Other vectors
    leave as they are.
    """

    norm: Annotated[
        float,
        "Largest L2 norm of the change of the weights from one message to the next. Higher: others follow sooner, at "
        "the expense of what one message can do to them.",
    ] = 1.0

    encodes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.norm < float("inf"):
            raise ConfigurationError(f"norm must be above 0 and finite, got {self.norm}")

    def first(self, vectors: Mapping[str, Vector]) -> Memory:
        return {"seen": vectors["weights"]}

    def apply(
        self, leaving: Mapping[str, Encoded], memory: Memory, randomness: Randomness
    ) -> tuple[Mapping[str, Encoded], Memory]:
        weights, seen = decompress(leaving["weights"]), memory["seen"]
        change = weights.astype(np.float64) - seen
        length = float(np.sqrt(np.square(change).sum()))  # not by BLAS, whose last bits depend on the number of cores
        if length > self.norm:
            change *= self.norm / length
            weights = frozen((seen + change).astype(weights.dtype))
        return {**leaving, "weights": dense(weights)}, {"seen": weights}
