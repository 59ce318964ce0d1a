"""Averaging a model with others at any time: what a running training job will give moves along.

    weights                        x <- x + share (theirs - x);            the job's end:  x <- x + (y - snapshot)
    statistics, optimizer state    v <- (1 - share) v + share * theirs;    the job's end:  the same of the v it gives

Weights move by differences, so that a step of training counts in full and whoever gives away a difference can take it
back from whatever its weights are by then. A variance that is corrected by a difference can become negative.
"""

from collections.abc import Mapping

import numpy as np

from gossipfl.actions import Update
from gossipfl.peers.local_model import LocalModel
from gossipfl.snapshot import Snapshot
from gossipfl.weights import Vector, frozen


class AveragedModel:
    """The local model of a peer that averages while it trains."""

    def __init__(self, local: LocalModel) -> None:
        self._local = local
        # What has happened to the weights and to the other vectors since the running job began.
        self._is_moved = False
        self._convex: dict[str, tuple[float, Vector]] = {}  # the v of the job becomes scale * v + shift

    def average(self, theirs: Mapping[str, Vector], share: float) -> Vector:
        """Give others' vectors a `share` in one's own; returns the difference that was added to the weights."""
        difference = theirs["weights"] - self._local.weights
        difference *= difference.dtype.type(share)
        self._move_to(self._local.weights + difference)
        self._average_convexly(theirs, share)
        return frozen(difference)

    def subtract(self, theirs: Mapping[str, Vector], share: float) -> None:
        """Take the difference that another peer has added off one's own weights, and average the other vectors."""
        self._move_to(self._local.weights - theirs["weights"])
        self._average_convexly(theirs, share)

    def finish(self, update: Update) -> None:
        """The job is done: take over what it gives, after what came in meanwhile.

        Raises LocalProtocolError when `update` does not answer the outstanding job.
        """
        job = self._local.finish(update)
        weights = update.weights
        if self._is_moved:
            weights = frozen(self._local.weights + (weights - job.weights))
        self._local.take_over(update)
        given = self._local.shared() if self._convex else {}
        moved = {
            name: frozen(given[name] * given[name].dtype.type(scale) + shift)
            for name, (scale, shift) in self._convex.items()
        }
        self._local.replace({**moved, "weights": weights})
        self.forget_moves()

    def forget_moves(self) -> None:
        """The job that ran is none any more: what came in meanwhile does not count."""
        self._is_moved, self._convex = False, {}

    def _move_to(self, weights: Vector) -> None:
        self._local.weights = frozen(weights)
        self._is_moved = self._local.outstanding is not None

    def _average_convexly(self, theirs: Mapping[str, Vector], share: float) -> None:
        if len(theirs) == 1:  # nothing but the weights
            return
        mine = self._local.shared()
        for name, vector in theirs.items():
            if name == "weights" or name not in mine:
                continue
            kept, pulled = vector.dtype.type(1 - share), vector * vector.dtype.type(share)
            self._local.replace({name: frozen(mine[name] * kept + pulled)})
            if self._local.outstanding is not None:
                scale, shift = self._convex.get(name, (1.0, np.zeros_like(pulled)))
                self._convex[name] = (scale * (1 - share), frozen(shift * kept + pulled))

    def snapshot(self) -> Snapshot:
        scales = {name: scale for name, (scale, _) in self._convex.items()}
        shifts = {name: shift for name, (_, shift) in self._convex.items()}
        return shifts, {"is_moved": self._is_moved, "scales": scales}

    def restore(self, snapshot: Snapshot) -> None:
        shifts, values = snapshot
        self._is_moved = values["is_moved"]
        self._convex = {name: (scale, frozen(shifts[name])) for name, scale in values["scales"].items()}
