"""Features as the Normalization layers of a model see them, of which peers agree on means and variances."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.conversion import is_image, model_inputs
from gossipfl.data.examples import Examples, leaves
from gossipfl.weights import Constants

_MOST_CHANNELS = 4


@dataclass(frozen=True, slots=True)
class NormalizedInput:
    """One input of a model and the Normalization layer that it goes through.

    `place` is the input among the examples (`x`, `x['age']`), `shape` that of one example as the layer gets it, and
    `kept` the axes of which the layer has a mean and a variance for every position, counted from 0 for the examples.
    `mean` and `variance` are their positions among the constants of the model.
    """

    layer: str
    place: str
    shape: tuple[int, ...]
    kept: tuple[int, ...]
    mean: int
    variance: int

    @property
    def num_features(self) -> int:
        """The number of means."""
        return math.prod(self.shape[axis - 1] for axis in self.kept)

    @property
    def num_parts(self) -> int:
        """The parts in which its features are looked at: the channels of images one by one."""
        by_channel = len(self.shape) == 3 and self.kept == (3,)
        return self.num_features if by_channel and self.num_features <= _MOST_CHANNELS else 1

    def features(self, examples: Examples) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64] | None]]:
        """For each part the numbers that the layer gets, [examples times positions that have one mean, features], and
        how often it gets each row, where that is not once: a channel of images of bytes has 256 rows."""
        array = dict(leaves(examples.x, "x"))[self.place]
        if is_image(array) and self.num_parts == self.num_features:
            values = model_inputs(np.arange(256, dtype=np.uint8).reshape(-1, 1, 1, 1)).reshape(-1, 1)
            for channels in np.split(array.reshape(-1, self.num_parts), self.num_parts, axis=1):
                yield values.astype(np.float64), np.bincount(channels.ravel(), minlength=256)
            return
        seen = model_inputs(array).reshape(len(array), *self.shape)
        reduced = [axis for axis in range(seen.ndim) if axis not in self.kept]
        rows = seen.transpose(*reduced, *self.kept).reshape(-1, self.num_features)
        for part in np.split(rows, self.num_parts, axis=1):
            yield part.astype(np.float64), None

    def with_statistics(
        self, constants: Constants, mean: NDArray[np.float64], variance: NDArray[np.float64]
    ) -> Constants:
        """The constants with a mean and a variance of each feature."""
        arrays = list(constants.arrays)
        for position, values in ((self.mean, mean), (self.variance, variance)):
            arrays[position] = values.reshape(arrays[position].shape).astype(arrays[position].dtype)
        return replace(constants, arrays=tuple(arrays))


def unit_where_constant(variance: NDArray[np.float64], bound: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variances to divide by: 1 for a feature that is the same in all examples, to rounding: it becomes 0, and another
    value, in an example that is held out, differs from it by as much as before.

    >>> unit_where_constant(np.array([4.0, 1e-30]), np.array([1e-15, 1e-29])).tolist()
    [4.0, 1.0]
    """
    return np.where(variance <= bound, 1.0, variance)
