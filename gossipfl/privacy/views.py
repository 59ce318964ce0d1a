"""A neighbor sees only what it is sent, in which the noise of many peers is mixed: it learns less than everybody would.

Peers add noise to each round's update and mix: h_t = x_t + g_t + z_t, x_t+1 = W_t h_t, with g_t clipped to C and z_t of
standard deviation s = z C. All that peer v ever receives is linear in updates and noise, O = A (G + Z), its own left
out, because it knows them. With P = A^T (A A^T)^+ A, the projection on the rows of A, and P_u its block [T, T] of the
rounds of peer u, what v can learn of u is Gaussian differential privacy with

    mu^2 = min(sum |P_u|, T lambda_max(P_u)) / z^2  <=  T / z^2,

the last being that of whoever sees all that u sends. Updates may depend on what was received before: rows come in
the order of time, so the matrix mechanism holds for adaptive ones, too (Bellet et al., 2025, "Unified privacy
guarantees for decentralized learning via matrix factorization").

It is the view as a whole that counts. To add up what each message tells by itself, as for Muffliato (Cyffers et al.,
2022), takes the noise in each for fresh: with as many messages as there are terms, v solves for all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

LARGEST_VIEW = 3_000
"""Peers times rounds up to which a view is computed: its matrix has that many columns."""

_RANK = 1e-9  # singular values below so much of the largest one are rounding


@dataclass(frozen=True, eq=False, slots=True)
class GossipStep:
    """One step of mixing: the row-stochastic `matrix` [n, n], and for each peer the positions of those it hears."""

    matrix: NDArray[np.float64]

    def heard_by(self, peer: int) -> list[int]:
        """The positions of those from whom a peer receives something in this step."""
        return [int(other) for other in np.flatnonzero(self.matrix[peer]) if other != peer]


def view_of(peer: int, rounds: Sequence[Sequence[GossipStep]], *, summed: bool = False) -> NDArray[np.float64]:
    """The matrix A [messages, T n] of what a peer receives in T rounds of gossip steps, in which column t n + u is
    peer u's update of round t, with its noise; its own columns are 0.

    With secure aggregation, where it sees but the sum of its neighbors, it is `summed`: one row for each step.
    """
    num_peers = len(rounds[0][0].matrix)
    model = np.zeros((num_peers, num_peers * len(rounds)))
    seen: list[NDArray[np.float64]] = []
    for number, steps in enumerate(rounds):
        model[:, number * num_peers : (number + 1) * num_peers] += np.eye(num_peers)
        for step in steps:
            heard = step.heard_by(peer)
            if heard and summed:
                seen.append(step.matrix[peer, heard] @ model[heard])
            else:
                seen += [model[other] for other in heard]
            model = step.matrix @ model
    view = np.array(seen).reshape(-1, num_peers * len(rounds))
    view[:, peer::num_peers] = 0.0
    return view


def told_by(view: NDArray[np.float64], num_peers: int, noise: float) -> NDArray[np.float64]:
    """The mu [n] of Gaussian differential privacy of each peer against whoever has the view, at the noise multiplier z.

    A use of Gaussian noise with the multiplier 1 / mu tells as much. It is 0 for the peer itself, and for peers of
    which nothing has arrived.
    """
    num_rounds = view.shape[1] // num_peers
    _, sizes, rows = np.linalg.svd(view, full_matrices=False)
    basis = rows[sizes > _RANK * sizes[:1].max(initial=0)]
    told = np.zeros(num_peers)
    for peer in range(num_peers):
        own = basis[:, peer::num_peers]
        block = own.T @ own
        if np.abs(block).max(initial=0) < _RANK:
            continue
        bound = min(float(np.abs(block).sum()), num_rounds * float(np.linalg.eigvalsh(block)[-1]))
        told[peer] = sqrt(max(bound, 0.0)) / noise
    return told
