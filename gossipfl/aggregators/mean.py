"""The weighted mean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.linalg.blas import daxpy, saxpy

from gossipfl.aggregators.aggregator import Context, Contribution, Memory, check_alike
from gossipfl.errors import LocalProtocolError
from gossipfl.weights import PeerId, Vector, frozen

MIXING_ROW_TOLERANCE = 1e-6
"""The weights of a mixing row may be so far from summing to 1."""

# y += a x by BLAS takes a third to a half of the time of NumPy's two passes, at any number and size of vectors.
_AXPY: dict[np.dtype[Any], Callable[..., Any]] = {np.dtype(np.float32): saxpy, np.dtype(np.float64): daxpy}

# OpenBLAS spreads more than 10,000 elements over threads: one busy core then makes a sum of 200,000 elements wait for
# 30 ms instead of 0.5 ms, and the last bits come to depend on the number of cores.
_BLOCK = 8192


@dataclass(frozen=True, slots=True)
class Mean:
    """Take the mean by the weights of the mixing row (D-PSGD; Lian et al., 2017).

        x_i <- sum_j w_ij x_j

    The weight of a vector that is lacking goes to one's own.

    Raises LocalProtocolError when the weights do not sum to 1 within 1e-6.
    """

    keeps_mean: ClassVar[bool] = True

    def __call__(
        self, own: Contribution, received: Sequence[Contribution], memory: Memory, context: Context
    ) -> tuple[dict[str, Vector], Memory]:
        senders = [contribution.sender for contribution in received]
        weights = [float(contribution.mixing_weight) for contribution in received]
        means = {}
        for name in own.vectors:
            try:
                vectors = [contribution.vectors[name] for contribution in received]
            except KeyError:
                means[name] = _mean_of_some(name, own, received)
            else:
                means[name] = weighted_mean(senders, vectors, weights)
        return means, memory


def _mean_of_some(name: str, own: Contribution, received: Sequence[Contribution]) -> Vector:
    some = [contribution for contribution in received if name in contribution.vectors]
    lacking = sum(contribution.mixing_weight for contribution in received if name not in contribution.vectors)
    return weighted_mean(
        [contribution.sender for contribution in some],
        [contribution.vectors[name] for contribution in some],
        [float(contribution.mixing_weight) + (lacking if contribution is own else 0) for contribution in some],
    )


def weighted_mean(senders: Sequence[PeerId], vectors: Sequence[Vector], weights: Sequence[float]) -> Vector:
    """sum_j weights_j vectors_j in the dtype of the vectors; of one vector, itself.

    Raises LocalProtocolError when there are none, or the weights do not sum to 1 within 1e-6, and SchemaMismatchError
    naming the first sender whose vector is none of floats, or differs from the first in shape or dtype.
    """
    check_alike(senders, vectors)
    total_weight = sum(weights)
    if not abs(total_weight - 1) <= MIXING_ROW_TOLERANCE:
        by_sender = ", ".join(f"{sender}: {weight}" for sender, weight in zip(senders, weights, strict=True))
        raise LocalProtocolError(
            f"the weights of a mixing row sum to 1, these to {total_weight!r}: {by_sender}; "
            "the share of a silent neighbor goes to oneself"
        )
    first = vectors[0]
    if len(vectors) == 1 or first.size == 0:
        return frozen(first)
    axpy = _AXPY[first.dtype]
    total = first * weights[0]
    for start in range(0, first.size, _BLOCK):
        size = min(_BLOCK, first.size - start)
        for vector, weight in zip(vectors[1:], weights[1:], strict=True):
            # x, y, n, a, offx, incx, offy: by position, because reading keywords takes longer than a small sum.
            total = axpy(vector, total, size, weight, start, 1, start)
    return frozen(total)
