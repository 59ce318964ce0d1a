"""Means and variances of layers are pooled: what is averaged are the means and the mean squares."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gossipfl.errors import ConfigurationError
from gossipfl.weights import Vector, WeightsSchema, frozen


@dataclass(frozen=True, slots=True)
class Pooling:
    """A model's statistics as moments, which can be averaged, and back.

        (mean, var)  ->  (mean, var + mean^2)  ->  (mean, max(0, square - mean^2))

    The mean of moments is that of all inputs together, where the mean of variances leaves out how far the means lie
    apart. The moments are float32, so a variance comes back to 2^-23 of the mean's square: of inputs a thousand times
    as far from 0 as they are spread, to a tenth of it.

    `pairs`: where the means of a layer begin in the statistics, where its variances do, and how many there are. What is
    in no pair stays as it is; without pairs, everything does, to the bit.
    """

    pairs: tuple[tuple[int, int, int], ...] = ()

    @classmethod
    def of(cls, schema: WeightsSchema, wanted: str = 'training.statistics = "pooled"') -> "Pooling":
        """The pairs of statistics in Keras's order: a `moving_mean` followed by the `moving_variance` of its layer.

        Raises ConfigurationError, naming the field that is `wanted`, when there are none.
        """
        ends = np.cumsum([segment.size for segment in schema.segments], dtype=np.int64).tolist()
        pairs = []
        for (mean, begin), (variance, _) in pairwise(zip(schema.segments, [0, *ends], strict=False)):
            layer, _, name = mean.name.rpartition("/")
            is_pair = name == "moving_mean" and variance.name == f"{layer}/moving_variance".lstrip("/")
            if is_pair and mean.shape == variance.shape:
                pairs.append((begin, begin + mean.size, mean.size))
        if not pairs:
            raise ConfigurationError(
                f"{wanted} needs a layer with a moving_mean and a moving_variance, as BatchNormalization has, that "
                "training changes and peers share, and the model has none; leave it out"
            )
        return cls(tuple(pairs))

    def moments(self, statistics: Vector) -> Vector:
        """The vector that is averaged in place of these statistics."""
        return self._changed(statistics, +1)

    def statistics(self, moments: Vector) -> Vector:
        """The statistics of which these are the moments."""
        return self._changed(moments, -1)

    def _changed(self, vector: Vector, sign: int) -> Vector:
        if not self.pairs:
            return vector
        changed = np.array(vector)
        for mean, second, size in self.pairs:
            squares = np.square(vector[mean : mean + size], dtype=np.float64)
            changed[second : second + size] = np.maximum(vector[second : second + size] + sign * squares, 0)
        return frozen(changed)


UNPOOLED = Pooling()
"""Statistics are averaged as they are."""
