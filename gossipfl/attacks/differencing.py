"""Sums hide their terms, and differences of sums bring them back: over steps, and over neighborhoods that overlap.

Everything that a place has seen is one linear system: a row of it is a sum with known weights of unknown models. A
model is exposed when its unit vector is in the span of the rows.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_EXACT = 1e-9


@dataclass(frozen=True, eq=False, slots=True)
class LinearView:
    """A sum that somebody has seen: `total` = sum_u weights[u] x_u, by keys of the unknown.

    Keys are whatever tells models apart: (peer, step) for exact differences; the peer alone assumes that its model
    does not change between the steps, and gives what it does not, as an error.
    """

    weights: Mapping[Hashable, float]
    total: NDArray[np.floating]


@dataclass(frozen=True, eq=False, slots=True)
class Exposed:
    """An unknown that the views determine; errors of the views (rounding, noise, slow changes) come into the `value`
    `amplification` times as large, if they are independent."""

    value: NDArray[np.float64]
    amplification: float


def exposed(views: Sequence[LinearView]) -> Mapping[Hashable, Exposed]:
    """The unknown that the views determine, each with its value of least error.

    >>> with_c = LinearView({"a": 0.5, "b": 0.25, "c": 0.25}, np.array([2.0]))
    >>> without = LinearView({"a": 0.5, "b": 0.25}, np.array([1.0]))
    >>> {peer: one.value.round(9).tolist() for peer, one in exposed([with_c, without]).items()}
    {'c': [4.0]}
    """
    unknown = list(dict.fromkeys(key for view in views for key in view.weights))
    if not unknown:
        return {}
    matrix = np.array([[view.weights.get(key, 0.0) for key in unknown] for view in views], np.float64)
    inverse = np.linalg.pinv(matrix, rcond=_EXACT)
    determined = np.abs(inverse @ matrix - np.eye(len(unknown))).max(axis=1) < 1e-6
    totals = np.stack([np.asarray(view.total, np.float64) for view in views])
    return {
        key: Exposed(row @ totals, float(np.linalg.norm(row)))
        for key, row, is_determined in zip(unknown, inverse, determined, strict=True)
        if is_determined
    }
