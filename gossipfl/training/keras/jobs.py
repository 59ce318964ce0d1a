"""Jobs as arguments of a slot, and its results as updates: what is checked before training, and after it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.actions import State, Train, Update
from gossipfl.data.conversion import MAX_FEATURE_BYTES
from gossipfl.errors import ConfigurationError, SchemaMismatchError, TrainingError
from gossipfl.scores import LOSS
from gossipfl.training.batches import Batches
from gossipfl.training.keras.custom import Counting, OwnStep
from gossipfl.training.keras.grouped import Arrays
from gossipfl.training.keras.state import MODEL_ROLES, ROLES, VariableLayout, is_integer, size_of
from gossipfl.training.secret_batches import noise_seeds, secret_batches
from gossipfl.training.settings import ExamplePrivacy
from gossipfl.weights import LARGEST_INTEGER, NOTHING, ModelVectors, PeerId, Vector, frozen, is_finite

GRADIENT_SUM = "gradient_sum"


@dataclass(frozen=True, eq=False)
class JobFormat:
    """The vectors that jobs of one model have, and the batches that they train on."""

    batches: Batches
    seed: int
    layout: VariableLayout
    num_weights: int
    num_statistics: int
    initial_local: Vector
    initial_optimizer: Vector
    initial_loss_scale: Vector
    counting: Counting
    bytes_per_example: int
    """Memory that the examples of a job take, if they are mapped from files."""
    privacy: ExamplePrivacy | None = None

    def check(self, job: Train) -> None:
        """Raise SchemaMismatchError for a job whose vectors do not belong to the model, ConfigurationError for steps
        that the peer does not have."""
        where = f"of job {job.job} of peer {job.peer_id!r}"
        if is_corrected(job) and isinstance(self.counting, OwnStep):
            needs = ", ".join(sorted({*job.vectors, *job.wants}))
            raise ConfigurationError(
                f"the algorithm corrects or sums the gradients of peers ({needs}), and the model has a train_step of "
                "its own, which applies them itself; choose an algorithm that does not, such as synchronous, pairwise "
                "or fedavg, or a model without such a step"
            )
        if job.secret and (self.privacy is None or is_corrected(job)):
            raise ConfigurationError(
                f"job {job.job} of peer {job.peer_id!r} has a secret to protect its examples, and "
                + ("the trainer has no settings for that" if self.privacy is None else "corrected gradients, too")
            )
        self.check_examples(job.peer_id, job.first_step, job.num_steps, "training.steps")
        check_size(f"weights {where}", job.weights, self.num_weights)
        check_size(f"statistics {where}", job.statistics, self.num_statistics)
        sizes = {
            "optimizer": self.initial_optimizer.size,
            "loss_scale": self.initial_loss_scale.size,
            "local": self.initial_local.size,
            "seeds": 2 * len(self.layout.seeds),
        }
        for name, vector in job.state.items():
            if name not in sizes:
                raise SchemaMismatchError(
                    f"state {where} has the part {name!r}, expected some of {', '.join(map(repr, sizes))}"
                )
            check_size(f"state {name!r} {where}", vector, sizes[name])
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

    def check_examples(self, peer_id: PeerId, first_step: int, num_steps: int, field: str) -> None:
        """Raise ConfigurationError for steps, so many by a field, that a peer does not have or memory cannot hold."""
        num_examples = self.batches.num_examples(peer_id, first_step, num_steps)
        num_bytes = num_examples * self.bytes_per_example
        if num_bytes > MAX_FEATURE_BYTES:
            raise ConfigurationError(
                f"a round of peer {peer_id!r} reads {num_examples} examples from files, {num_bytes / 2**30:.1f} "
                f"GiB, more than {MAX_FEATURE_BYTES / 2**30:.0f} GiB at once: set {field} to fewer steps a round"
            )

    def num_bytes(self, job: Train) -> int:
        """Memory that a job takes in a running group: its rows going in, coming out and being copied, its batches."""
        num_floats = self.num_weights + self.num_statistics + self.initial_local.size + self.initial_optimizer.size
        num_corrections = self.num_weights * is_corrected(job)
        num_examples = self.batches.num_examples(job.peer_id, job.first_step, job.num_steps)
        num_numbers = 3 * num_floats + 5 * num_corrections + num_examples + 3 * job.num_steps
        return 4 * num_numbers + num_examples * self.bytes_per_example

    def arguments(self, job: Train) -> Arrays:
        """The arguments of a slot's training graph, `graph_of` it, for a checked job."""
        private: dict[str, NDArray[Any]] = {}
        if job.secret:
            shard = self.batches.shards[job.peer_id]
            expected_size = min(self.batches.batch_size, shard.size)
            steps = job.first_step, job.num_steps, job.secret
            indices, sizes = secret_batches(shard, expected_size / shard.size, *steps)
            private["noise_seeds"] = noise_seeds(*steps)
            private["expected_sizes"] = np.full(job.num_steps, expected_size, np.float32)
        else:
            indices, sizes = self.batches.indices(job.peer_id, job.first_step, job.num_steps)
        vectors = {"weights": job.weights, "statistics": job.statistics, **self._whole_state(job)}
        arguments: dict[str, NDArray[Any]] = {
            **{role: np.asarray(vectors[role], dtype) for role, dtype in ROLES.items()},
            "indices": indices,
            "sizes": sizes,
            "first_step": np.asarray(job.first_step, np.int64),
            **private,
        }
        if is_corrected(job):
            zeros = np.zeros(self.num_weights, np.float32)
            for name, default in (("c", zeros), ("anchor", job.weights), (GRADIENT_SUM, zeros)):
                arguments[name] = np.asarray(job.vectors.get(name, default), np.float32)
            arguments["proximal_mu"] = np.asarray(job.proximal_mu, np.float32)
        return arguments

    def outcome(self, job: Train, results: Arrays) -> Update | TrainingError:
        """The update of the job from its results of the training graph, or the error that it diverged."""
        num_examples = self.batches.num_examples(job.peer_id, job.first_step, job.num_steps)
        num_counted = max(1, int(results["num_examples"])) if job.secret else num_examples
        metrics = self.counting.values(results["metrics"], num_counted)
        if not isinstance(self.counting, OwnStep):
            metrics = {LOSS.name: float(results["loss"]) / num_counted, **metrics}
        vectors = {role: frozen(results[role]) for role in ROLES if role in results and results[role].size}
        sums = {GRADIENT_SUM: frozen(results[GRADIENT_SUM])} if GRADIENT_SUM in job.wants else {}
        broken = [name for name, vector in {**vectors, **sums}.items() if not is_finite(vector)]
        if not np.isfinite(metrics.get(LOSS.name, 0.0)):
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
        integers = [vectors[role][-number:] for role, number in self.nums_integers.items()]
        weights, statistics = vectors.pop("weights"), vectors.pop("statistics", NOTHING)
        if any((np.abs(part) > LARGEST_INTEGER).any() for part in integers):
            return TrainingError(
                f"in local round {job.job + 1} of peer {job.peer_id!r}, an integer variable of the model has grown "
                f"beyond {LARGEST_INTEGER}: it is averaged with others' as float32, which is exact up to there only",
                peer_id=job.peer_id,
                round=job.job,
            )
        return Update(
            peer_id=job.peer_id,
            job=job.job,
            weights=weights,
            statistics=statistics,
            state=vectors,
            num_examples=num_examples,
            num_steps=job.num_steps,
            num_skipped=int(results.get("num_skipped", 0)),
            metrics=metrics,
            vectors=sums,
        )

    @cached_property
    def nums_integers(self) -> dict[str, int]:
        """Number of the integers at the end of vectors of the model that have some."""
        numbers = {role: size_of([one for one in self.layout.of(role) if is_integer(one)]) for role in MODEL_ROLES}
        return {role: number for role, number in numbers.items() if number}

    def _whole_state(self, job: Train) -> State:
        """The state of a job, and what its missing parts begin with."""
        begin = {
            "local": self.initial_local,
            "optimizer": self.initial_optimizer,
            "loss_scale": self.initial_loss_scale,
        }
        state = {**begin, **job.state}
        if "seeds" not in state:
            state["seeds"] = self.layout.initial_seeds(self.seed, job.peer_id, job.first_step)
        return state


def vectors_by_role(model: ModelVectors) -> Arrays:
    """The vectors of a model as arguments of a slot's evaluation graphs."""
    return {role: np.asarray(getattr(model, role), np.float32) for role in MODEL_ROLES}


def graph_of(job: Train) -> str:
    """The graph that trains a job."""
    return "train_private" if job.secret else "train_corrected" if is_corrected(job) else "train"


def is_corrected(job: Train) -> bool:
    """True if a job needs the graph with corrections: more per step, and the sum of gradients."""
    return bool(job.vectors or job.wants)


def check_size(what: str, vector: NDArray[np.generic], size: int) -> None:
    """Raise SchemaMismatchError, naming the vector, unless it has the shape (size,)."""
    if vector.shape != (size,):
        raise SchemaMismatchError(f"{what}: shape {vector.shape}, the model has ({size},)")
