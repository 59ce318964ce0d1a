"""Jobs as arguments of a slot, and its results as updates: what is checked before training, and after it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.actions import State, Train, Update
from gossipfl.errors import SchemaMismatchError, TrainingError
from gossipfl.training.batches import Batches
from gossipfl.training.keras_grouped import Arrays
from gossipfl.training.keras_state import VariableLayout
from gossipfl.weights import Vector, frozen

GRADIENT_SUM = "gradient_sum"


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
            if name not in ("c", "anchor", GRADIENT_SUM):
                raise SchemaMismatchError(
                    f"vectors {where} have the unknown name {name!r}, expected 'c', 'anchor' or {GRADIENT_SUM!r}"
                )
            check_size(f"vector {name!r} {where}", vector, self.num_weights)
        if job.proximal_mu != 0 and "anchor" not in job.vectors:
            raise SchemaMismatchError(f"proximal_mu {where} is {job.proximal_mu}, but its vectors have no 'anchor'")
        if job.wants - {GRADIENT_SUM}:
            raise SchemaMismatchError(f"wants {where} are {sorted(job.wants)}, expected nothing or {GRADIENT_SUM!r}")

    def num_bytes(self, job: Train) -> int:
        """Memory that a job takes in a running group: its rows going in, coming out and being copied, its batches."""
        num_floats = self.num_weights + self.num_statistics + self.initial_optimizer.size
        num_corrections = self.num_weights * is_corrected(job)
        num_examples = self.batches.num_examples(job.peer_id, job.first_step, job.num_steps)
        return 4 * (3 * num_floats + 5 * num_corrections + num_examples + 3 * job.num_steps)

    def arguments(self, job: Train, *, corrected: bool) -> Arrays:
        """What a slot's training graph takes for a checked job."""
        indices, sizes = self.batches.indices(job.peer_id, job.first_step, job.num_steps)
        state = job.state or self._empty_state(job)
        arguments: dict[str, NDArray[Any]] = {
            "weights": np.asarray(job.weights, np.float32),
            "statistics": np.asarray(job.statistics, np.float32),
            "optimizer": np.asarray(state["optimizer"], np.float32),
            "integers": np.asarray(state["integers"], np.int64),
            "indices": indices,
            "sizes": sizes,
        }
        if corrected:
            zeros = np.zeros(self.num_weights, np.float32)
            for name, default in (("c", zeros), ("anchor", job.weights), (GRADIENT_SUM, zeros)):
                arguments[name] = np.asarray(job.vectors.get(name, default), np.float32)
            arguments["proximal_mu"] = np.asarray(job.proximal_mu, np.float32)
        return arguments

    def outcome(self, job: Train, results: Arrays) -> Update | TrainingError:
        """The update of the job from its results of the training graph, or the error that it diverged."""
        num_examples = self.batches.num_examples(job.peer_id, job.first_step, job.num_steps)
        loss = float(results["loss"]) / num_examples
        vectors = {name: frozen(results[name]) for name in ("weights", "statistics", "optimizer")}
        broken = [name for name, vector in vectors.items() if not _is_finite(vector)]
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
        return Update(
            peer_id=job.peer_id,
            job=job.job,
            weights=vectors["weights"],
            statistics=vectors["statistics"],
            state={"optimizer": vectors["optimizer"], "integers": frozen(results["integers"])},
            num_examples=num_examples,
            num_steps=job.num_steps,
            metrics={"loss": loss, "accuracy": float(results["num_correct"]) / num_examples},
            vectors={GRADIENT_SUM: frozen(results[GRADIENT_SUM])} if GRADIENT_SUM in job.wants else {},
        )

    def _empty_state(self, job: Train) -> State:
        integers = self.layout.initial_integers(self.seed, job.peer_id, job.first_step)
        return {"optimizer": self.initial_optimizer, "integers": integers}


def is_corrected(job: Train) -> bool:
    """Whether a job needs the graph with corrections: more per step, and the sum of gradients."""
    return bool(job.vectors or job.wants)


def check_size(what: str, vector: NDArray[np.generic], size: int) -> None:
    """Raise SchemaMismatchError, naming the vector, unless it has the shape (size,)."""
    if vector.shape != (size,):
        raise SchemaMismatchError(f"{what}: shape {vector.shape}, the model has ({size},)")


def _is_finite(vector: Vector) -> bool:
    """Whether a vector has neither NaN nor infinity, without another array of its length. The sum of many has one when
    one of them has; only a sum that overflows needs the second look."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(vector.sum())) or bool(np.isfinite([vector.min(), vector.max()]).all())
