"""A stage that draws secret noise: what a stage of differential privacy will do, without its accounting."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import ndtri

from gossipfl.compression import decompress, dense
from gossipfl.compression.outgoing import Memory
from gossipfl.messages import Encoded
from gossipfl.randomness import Randomness
from gossipfl.weights import Vector, frozen


@dataclass(frozen=True)
class SecretNoise:
    """Adds Gaussian noise to the weights: uniform numbers of 53 secret bits each, through the normal quantiles."""

    scale: float = 0.1

    encodes: ClassVar[bool] = False

    def first(self, vectors: Mapping[str, Vector]) -> Memory:
        return {}

    def apply(
        self, leaving: Mapping[str, Encoded], memory: Memory, randomness: Randomness
    ) -> tuple[Mapping[str, Encoded], Memory]:
        weights = decompress(leaving["weights"])
        bits = np.frombuffer(randomness.secret.random_bytes(8 * weights.size, "noise"), np.uint64) >> np.uint64(11)
        noise = ndtri((bits.astype(np.float64) + 0.5) * 2.0**-53)
        return {**leaving, "weights": dense(frozen((weights + self.scale * noise).astype(weights.dtype)))}, {}
