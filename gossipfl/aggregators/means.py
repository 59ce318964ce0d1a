"""Weighted means: they differ only in where the weights come from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg.blas import daxpy, saxpy

from gossipfl.aggregators.aggregator import Contribution
from gossipfl.errors import LocalProtocolError, SchemaMismatchError
from gossipfl.weights import Vector, frozen

MIXING_ROW_TOLERANCE = 1e-6
"""How far the weights of a mixing row may be from summing to 1."""


@dataclass(frozen=True, slots=True)
class ExampleWeightedMean:
    """sum_i n_i x_i / sum_i n_i with n_i the sender's number of examples (FedAvg; McMahan et al., 2017).

    Raises LocalProtocolError when a number of examples is negative or all are zero.
    """

    def __call__(self, received: Sequence[Contribution]) -> Vector:
        counts = [contribution.num_examples for contribution in received]
        total = sum(counts)
        if received and (total <= 0 or min(counts) < 0):
            raise LocalProtocolError(
                f"numbers of examples are >= 0 and one of them is > 0, got {_by_sender(received, counts)}"
            )
        return _weighted_sum(received, [count / total for count in counts])


@dataclass(frozen=True, slots=True)
class UniformMean:
    """sum_i x_i / n over the n contributions."""

    def __call__(self, received: Sequence[Contribution]) -> Vector:
        return _weighted_sum(received, [1 / len(received)] * len(received) if received else [])


@dataclass(frozen=True, slots=True)
class MixingRow:
    """sum_j w_ij x_j with the receiver's row of a stochastic mixing matrix (D-PSGD; Lian et al., 2017).

    Raises LocalProtocolError when the weights do not sum to 1 within 1e-6.
    """

    def __call__(self, received: Sequence[Contribution]) -> Vector:
        weights = [float(contribution.mixing_weight) for contribution in received]
        if received and not abs(sum(weights) - 1) <= MIXING_ROW_TOLERANCE:
            raise LocalProtocolError(
                f"the weights of a mixing row sum to 1, these to {sum(weights)!r}: {_by_sender(received, weights)}; "
                "the share of a silent neighbor goes to oneself"
            )
        return _weighted_sum(received, weights)


# y += a x by BLAS takes a third to a half of the time of NumPy's two passes, at any number and size of vectors.
_AXPY: dict[np.dtype[Any], Callable[..., Any]] = {np.dtype(np.float32): saxpy, np.dtype(np.float64): daxpy}

# OpenBLAS spreads more than 10,000 elements over threads: one busy core then makes a sum of 200,000 elements wait for
# 30 ms instead of 0.5 ms, and the last bits come to depend on the number of cores.
_BLOCK = 8192


def _weighted_sum(received: Sequence[Contribution], weights: Sequence[float]) -> Vector:
    """sum_i weights_i x_i in the dtype of the vectors; one contribution is given back as it is."""
    if not received:
        raise LocalProtocolError(
            "there is nothing to aggregate: a peer's own vector is always one of its contributions"
        )
    first = received[0].vector
    axpy = _AXPY.get(first.dtype)
    if axpy is None or first.ndim != 1:
        raise SchemaMismatchError(
            f"vectors are one-dimensional and float32 or float64, that of {received[0].sender!r} is "
            f"{first.dtype}{first.shape}"
        )
    shape, dtype = first.shape, first.dtype
    for contribution in received:
        vector = contribution.vector
        if vector.shape != shape or vector.dtype != dtype:
            raise SchemaMismatchError(
                f"the vector of {contribution.sender!r} is {vector.dtype}{vector.shape}, that of "
                f"{received[0].sender!r} is {dtype}{shape}"
            )
    if len(received) == 1 or first.size == 0:
        return frozen(first)
    others = [(contribution.vector, weight) for contribution, weight in zip(received, weights, strict=True)][1:]
    total = first * weights[0]
    for start in range(0, first.size, _BLOCK):
        size = min(_BLOCK, first.size - start)
        for vector, weight in others:
            # x, y, n, a, offx, incx, offy: by position, because reading keywords takes longer than a small sum.
            total = axpy(vector, total, size, weight, start, 1, start)
    return frozen(total)


def _by_sender(received: Sequence[Contribution], values: Sequence[float]) -> str:
    return ", ".join(f"{contribution.sender}: {value}" for contribution, value in zip(received, values, strict=True))
