"""The median of each coordinate.

>>> import numpy as np
>>> vectors = [np.array(vector) for vector in ([1.0, 5.0], [2.0, 4.0], [900.0, -900.0])]
>>> received = [Contribution(str(i), {"weights": vector}, 1 / 3, 10) for i, vector in enumerate(vectors)]
>>> median, memory = Median()(received[0], received, {}, Context(step=0, num_steps=1))
>>> median["weights"]
array([2., 4.])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from gossipfl.aggregators.aggregator import Context, Contribution, Memory, stacked
from gossipfl.weights import Vector, frozen


@dataclass(frozen=True, slots=True)
class Median:
    """Take the median of each coordinate over all that have answered and oneself (Yin et al., 2018).

        x_i[k] <- median of x_j[k] over j;  of an even number, the mean of the middle two

    As long as fewer than half of the contributions lie, each coordinate stays between honest ones. Every contribution
    counts the same, whatever its mixing weight or number of examples, so no mean over peers is kept. Of two it is the
    mean, and so no protection: take it with a topology or a schedule that gives each peer two neighbors or more.
    """

    keeps_mean: ClassVar[bool] = False

    def __call__(
        self, own: Contribution, received: Sequence[Contribution], memory: Memory, context: Context
    ) -> tuple[dict[str, Vector], Memory]:
        middle, is_odd = divmod(len(received), 2)
        medians = {}
        for name, stack in stacked(own, received).items():
            stack.sort(axis=0)  # for up to 16 rows no slower than to partition them
            medians[name] = frozen(stack[middle] if is_odd else stack[middle - 1] / 2 + stack[middle] / 2)
        return medians, memory
