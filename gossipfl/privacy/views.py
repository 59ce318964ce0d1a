"""A neighbor sees only what it is sent, in which the noise of many peers is mixed: it learns less than everybody would.

Peers add noise to each round's update and mix: h = x + g + z, x' = W h, with g clipped to C and z of standard deviation
s = z C. What a peer v receives in a round is linear in h, and so are the models that the round leaves behind. But the
updates of the next round depend on those models: w's answer to what u has sent tells of it, and no peer is known to
answer as if it had not. So of each round but the last, v is supposed to be told the models of all from whom something
reaches it later. With A the rows of what v is told of a round, its own h left out, because it knows it, and
P = A^T (A A^T)^+ A, a round of u is Gaussian differential privacy with

    mu^2 = P_uu / z^2  <=  1 / z^2,

given all rounds before, whatever the updates depend on. Rounds compose: their mu^2 add up (Dong, Roth and Su, 2022).

To take all rounds for one linear view O = A (G + Z), with G as if nobody had listened, promises more than is kept: on
the path u - w - v, two rounds, z = 1, that says mu = 0.32, and where w's second update is the sign of its model, what v
receives separates u's two possible first updates by 0.56. To add up what each message tells by itself, as for Muffliato
(Cyffers et al., 2022), takes the noise in each for fresh: with as many messages as there are terms, v solves for them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST_VIEW = 3_000
"""Peers times rounds up to which a view is computed: its matrices have that many columns together."""

_RANK = 1e-9  # singular values below so much of the largest one are rounding


@dataclass(frozen=True, eq=False, slots=True)
class GossipStep:
    """One step of mixing: the row-stochastic `matrix` [n, n], and for each peer the positions of those it hears."""

    matrix: NDArray[np.float64]

    def heard_by(self, peer: int) -> list[int]:
        """The positions of those from whom a peer receives something in this step."""
        return [int(other) for other in np.flatnonzero(self.matrix[peer]) if other != peer]


def view_of(
    peer: int, steps: Sequence[GossipStep], models: Collection[int], *, summed: bool = False
) -> NDArray[np.float64]:
    """The matrix A [messages + models, n] of what a peer receives in the gossip steps of one round, and of the models
    that these others have after it, in terms of what each peer had before.

    With secure aggregation, where it sees but the sum of its neighbors, it is `summed`: one row for each step.
    """
    model = np.eye(len(steps[0].matrix))
    seen: list[NDArray[np.float64]] = []
    for step in steps:
        heard = step.heard_by(peer)
        if heard and summed:
            seen.append(step.matrix[peer, heard] @ model[heard])
        else:
            seen += [model[other] for other in heard]
        model = step.matrix @ model
    return np.array([*seen, *model[sorted(models)]]).reshape(-1, len(model))


def told_by(
    peer: int, rounds: Sequence[Sequence[GossipStep]], noise: float, *, summed: bool = False
) -> NDArray[np.float64]:
    """The mu [n] of Gaussian differential privacy of each peer against `peer` alone, at the noise multiplier z.

    A use of Gaussian noise with the multiplier 1 / mu tells as much. It is 0 for the peer itself, and for peers of
    which nothing has arrived.
    """
    told = np.zeros(len(rounds[0][0].matrix))
    reaching: set[int] = set()  # those from whom something of later rounds reaches it
    for steps in reversed(rounds):
        view = view_of(peer, steps, reaching, summed=summed)
        reaching |= set(np.flatnonzero(view.any(axis=0)).tolist())
        view[:, peer] = 0.0
        _, sizes, rows = np.linalg.svd(view, full_matrices=False)
        basis = rows[sizes > _RANK * sizes.max(initial=0)]
        told += np.square(basis).sum(axis=0)
    told[told < _RANK] = 0.0
    return np.sqrt(told) / noise
