"""A dense layer tells its inputs: each column of its gradient is a sum of them, and the bias says of how much.

For examples e of a batch, dL/dW[:, j] = sum_e delta_ej x_e and dL/db[j] = sum_e delta_ej. So where one example alone
moves a unit, their quotient is that example, to rounding. All that is needed is a direction: a common factor (learning
rate, number of steps) falls out.
"""

import numpy as np
from numpy.typing import NDArray

_AGREE = 1e-3
"""Two quotients are one example when they differ by less than this share of their size."""


def rebuilt_inputs(kernel: NDArray[np.floating], bias: NDArray[np.floating], most: int) -> NDArray[np.float64]:
    """At most `most` inputs of a layer from the gradients of its `kernel` [inputs, units] and its `bias` [units]: the
    quotients of single units, and those of differences between units; first what several of them agree on, then what
    moved the bias most.

    Differences help with softmax: with a class that the batch does not have, every other has the same p_c in place of
    p_c - y, as long as the model knows little; so (dW[:,c] - dW[:,a]) / (db[c] - db[a]) is the mean of the examples of
    class c alone. That is exact at the first step from zero weights.

    >>> x, delta = np.array([0.0, 0.5, 1.0]), np.array([0.3, -0.3])
    >>> rebuilt_inputs(np.outer(x, delta), delta, most=4).tolist()
    [[0.0, 0.5, 1.0]]
    """
    kernel, bias = kernel.astype(np.float64), bias.astype(np.float64)
    absent = int(np.argmax(bias))
    columns = np.concatenate([kernel.T, kernel.T - kernel[:, absent]])
    divisors = np.concatenate([bias, bias - bias[absent]])
    scale = float(np.abs(divisors).max(initial=0.0))
    if scale == 0.0 or not np.isfinite(scale):
        return np.empty((0, len(kernel)))
    moved = np.abs(divisors) > 1e-6 * scale
    order = np.flatnonzero(moved)[np.argsort(-np.abs(divisors[moved]), kind="stable")]
    candidates = columns[order] / divisors[order, None]
    candidates = candidates[np.isfinite(candidates).all(1)]
    chosen: list[NDArray[np.float64]] = []
    votes: list[int] = []
    for candidate in candidates:
        size = np.abs(candidate).max() or 1.0
        alike = (number for number, one in enumerate(chosen) if np.abs(one - candidate).max() <= _AGREE * size)
        number = next(alike, None)
        if number is None:
            chosen.append(candidate)
            votes.append(1)
        else:
            votes[number] += 1
    best = np.argsort(-np.array(votes), kind="stable")[:most]
    return np.array(chosen)[best]


def input_without_bias(kernel: NDArray[np.floating]) -> NDArray[np.float64]:
    """The input of a layer without bias, from the gradient of its `kernel` [inputs, units] for one example: that has
    rank one, and its left singular vector is the input, up to a factor; the largest element becomes 1.

    >>> input_without_bias(np.outer([0.0, 1.0, 2.0], [0.3, -0.3])).round(6) + 0.0
    array([0. , 0.5, 1. ])
    """
    left, _, _ = np.linalg.svd(kernel.astype(np.float64), full_matrices=False)
    direction = left[:, 0]
    largest = direction[np.argmax(np.abs(direction))]
    return np.asarray(direction / largest, np.float64)


def label_counts(
    bias: NDArray[np.floating], probabilities: NDArray[np.floating], num_examples: int, *, is_scaled: bool
) -> NDArray[np.int64]:
    """The number n_c of examples of each class among B = `num_examples`, from the gradient of the last layer's bias
    [classes]: for softmax and cross-entropy it is mean p_c - n_c / B.

    `probabilities` [classes] are those that the model gives to anything on average. Where the gradient is known up to a
    factor only (not `is_scaled`), the factor is taken as if at least one class were absent: n_c >= 0 allows no larger
    one. For a single example this is argmin(dL/db).

    >>> label_counts(np.array([0.1, -0.4, 0.3]), np.full(3, 1 / 3), 1, is_scaled=False).tolist()
    [0, 1, 0]
    """
    gradient = bias.astype(np.float64)
    if not is_scaled and (rising := gradient > 0).any():
        gradient = gradient * (probabilities[rising] / gradient[rising]).min()
    shares = np.maximum(probabilities - gradient, 0.0)
    if not (np.isfinite(shares).all() and shares.sum() > 0):
        return np.zeros(len(shares), np.int64)
    expected = shares * (num_examples / shares.sum())
    counts: NDArray[np.int64] = np.floor(expected).astype(np.int64)
    for label in np.argsort(counts - expected, kind="stable")[: num_examples - int(counts.sum())]:
        counts[label] += 1
    return counts
