"""Jobs as rows of a slot's arrays, and rows as updates: what is checked before training, and after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from gossipfl.actions import State, Train, Update
from gossipfl.errors import SchemaMismatchError, TrainingError
from gossipfl.training.batches import Batches
from gossipfl.training.keras_slot import Rows
from gossipfl.training.keras_state import VariableLayout
from gossipfl.weights import Vector, frozen

MEAN_GRADIENT = "mean_gradient"


@dataclass(frozen=True, eq=False)
class JobFormat:
    """The vectors that jobs of one model have, and the batches that they train on."""

    batches: Batches
    seed: int
    layout: VariableLayout
    num_weights: int
    num_statistics: int
    num_integers: int
    initial_optimizer: Vector

    def check(self, job: Train) -> None:
        """Raise SchemaMismatchError for a job whose vectors do not belong to the model, ConfigurationError for steps
        that the peer does not have."""
        where = f"of job {job.job} of peer {job.peer_id!r}"
        self.batches.num_examples(job.peer_id, job.first_step, job.num_steps)
        check_size(f"weights {where}", job.weights, self.num_weights)
        check_size(f"statistics {where}", job.statistics, self.num_statistics)
        if job.state and set(job.state) != {"optimizer", "integers"}:
            raise SchemaMismatchError(
                f"state {where} has the parts {sorted(job.state)}, expected none or both of 'integers' and "
                f"'optimizer': momenta without their step counter, or the reverse, would be another optimizer"
            )
        if job.state:
            check_size(f"state 'optimizer' {where}", job.state["optimizer"], self.initial_optimizer.size)
            check_size(f"state 'integers' {where}", job.state["integers"], self.num_integers)
        for name, vector in job.vectors.items():
            if name not in ("c", "anchor"):
                raise SchemaMismatchError(f"vectors {where} have the unknown name {name!r}, expected 'c' or 'anchor'")
            check_size(f"vector {name!r} {where}", vector, self.num_weights)
        if job.proximal_mu != 0 and "anchor" not in job.vectors:
            raise SchemaMismatchError(f"proximal_mu {where} is {job.proximal_mu}, but its vectors have no 'anchor'")
        if job.wants - {MEAN_GRADIENT}:
            raise SchemaMismatchError(f"wants {where} are {sorted(job.wants)}, expected nothing or {MEAN_GRADIENT!r}")

    def num_bytes(self, job: Train) -> int:
        """Memory that a job takes in a running group: its rows going in, coming out and being copied."""
        num_floats = self.num_weights + self.num_statistics + self.initial_optimizer.size
        num_corrections = self.num_weights * is_corrected(job)
        return 4 * (3 * num_floats + 4 * num_corrections + job.num_steps * (self.batches.width + 1))

    def rows(self, jobs: Sequence[Train], *, corrected: bool) -> Rows:
        """The arguments of a slot's training graph for a group of checked jobs."""
        batches = [self.batches.indices(job.peer_id, job.first_step, job.num_steps) for job in jobs]
        states = [job.state or self._empty_state(job) for job in jobs]
        rows = {
            "weights": stacked([job.weights for job in jobs], np.float32),
            "statistics": stacked([job.statistics for job in jobs], np.float32),
            "optimizer": stacked([state["optimizer"] for state in states], np.float32),
            "integers": stacked([state["integers"] for state in states], np.int64),
            "indices": np.concatenate([indices for indices, _ in batches]),
            "sizes": np.concatenate([sizes for _, sizes in batches]),
            "first_rows": np.cumsum([0, *(job.num_steps for job in jobs)], dtype=np.int32),
        }
        if corrected:
            no_correction = np.zeros(self.num_weights, np.float32)
            rows["c"] = stacked([job.vectors.get("c", no_correction) for job in jobs], np.float32)
            rows["anchor"] = stacked([job.vectors.get("anchor", job.weights) for job in jobs], np.float32)
            rows["proximal_mu"] = np.array([job.proximal_mu for job in jobs], np.float32)
        return rows

    def outcome(self, job: Train, row: int, results: Rows) -> Update | TrainingError:
        """The update of the job in a row of the training graph's results, or the error that it diverged."""
        num_examples = self.batches.num_examples(job.peer_id, job.first_step, job.num_steps)
        loss = float(results["loss"][row]) / num_examples
        vectors = {name: _own(results[name], row) for name in ("weights", "statistics", "optimizer")}
        broken = [name for name, vector in vectors.items() if not np.isfinite(vector).all()]
        if not np.isfinite(loss):
            broken.append("loss")
        if broken:
            last_step = job.first_step + job.num_steps - 1
            return TrainingError(
                f"peer {job.peer_id!r} diverged in its local round {job.job + 1} (steps {job.first_step} to "
                f"{last_step}): NaN or infinity in {', '.join(broken)}; lower the learning rate or clip gradients "
                f"(clipnorm)",
                peer_id=job.peer_id,
                round=job.job,
            )
        integers: NDArray[np.generic] = results["integers"][row].copy()
        integers.setflags(write=False)
        return Update(
            peer_id=job.peer_id,
            job=job.job,
            weights=vectors["weights"],
            statistics=vectors["statistics"],
            state={"optimizer": vectors["optimizer"], "integers": integers},
            num_examples=num_examples,
            num_steps=job.num_steps,
            metrics={"loss": loss, "accuracy": float(results["num_correct"][row]) / num_examples},
            vectors={MEAN_GRADIENT: _own(results[MEAN_GRADIENT], row)} if MEAN_GRADIENT in job.wants else {},
        )

    def _empty_state(self, job: Train) -> State:
        integers = self.layout.initial_integers(self.seed, job.peer_id, job.first_step)
        return {"optimizer": self.initial_optimizer, "integers": integers}


def is_corrected(job: Train) -> bool:
    """Whether a job needs the graph with corrections: more per step, and the mean gradient."""
    return bool(job.vectors or job.wants)


def check_size(what: str, vector: NDArray[np.generic], size: int) -> None:
    """Raise SchemaMismatchError, naming the vector, unless it has the shape (size,)."""
    if vector.shape != (size,):
        raise SchemaMismatchError(f"{what}: shape {vector.shape}, the model has ({size},)")


def stacked(vectors: Sequence[NDArray[np.generic]], dtype: type[np.generic]) -> NDArray[np.generic]:
    """One array [n, size] of n vectors; a single one is not copied."""
    if len(vectors) == 1 and vectors[0].dtype == dtype:
        return vectors[0][np.newaxis]
    rows = np.empty((len(vectors), vectors[0].size), dtype)
    for row, vector in zip(rows, vectors, strict=True):
        row[:] = vector
    return rows


def all_failures(failures: Sequence[TrainingError]) -> TrainingError:
    """One error for all failed jobs of a call: the first one's, naming a few of the others."""
    first, *others = failures
    if not others:
        return first
    names = ", ".join(repr(failure.peer_id) for failure in others[:6]) + (", ..." if len(others) > 6 else "")
    error = TrainingError(f"{first}; {len(others)} more failed: {names}", peer_id=first.peer_id, round=first.round)
    error.__cause__ = first.__cause__
    return error


def _own(rows: NDArray[np.generic], row: int) -> Vector:
    """A copy, so that one peer's vector does not keep its whole group's in memory; a single row is its own group."""
    vector = cast(Vector, rows[row])
    return frozen(vector) if len(rows) == 1 else frozen(vector.copy())
