"""A trainer without TensorFlow: quadratic objectives in float64, for which fixed points are known in closed form.

Peer i holds rows a_k of d numbers and minimises f_i(x) = mean_k h_i ||x - a_k||^2 / 2 by SGD with momentum and weight
decay, as Keras has them. With `has_statistics` a model also keeps, as BatchNorm does, a moving variance of the rows:
s <- 0.9 s + 0.1 var(batch). With `has_local` it keeps something of its own, which no other peer has any part in:
l <- 0.9 l + 0.1 mean(batch).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from gossipfl.actions import Evaluate, Scores, Train, Update
from gossipfl.errors import TrainingError
from gossipfl.scores import Metric, Score
from gossipfl.weights import ModelVectors, PeerId, frozen


class NumpyTrainer:
    num_slots = 1
    metrics = (Metric("accuracy"),)

    def __init__(
        self,
        shards: Mapping[PeerId, np.ndarray],
        *,
        learning_rate: float = 0.1,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        batch_size: int | None = None,
        curvature: Mapping[PeerId, float] | None = None,
        has_statistics: bool = False,
        dtype: str = "float64",
        has_local: bool = False,
    ) -> None:
        self.shards = {peer_id: np.atleast_2d(np.asarray(rows, np.float64)) for peer_id, rows in shards.items()}
        self.learning_rate, self.momentum, self.batch_size = learning_rate, momentum, batch_size
        self.weight_decay = weight_decay
        self.curvature = curvature or {}
        self.has_statistics = has_statistics
        self.dtype = dtype  # of what leaves it; it calculates in float64
        self.has_local = has_local
        self.group_sizes: list[int] = []
        self.num_jobs = 0

    def initial(self) -> ModelVectors:
        size = next(iter(self.shards.values())).shape[1]
        return ModelVectors(
            frozen(np.zeros(size, self.dtype)),
            frozen(np.ones(size if self.has_statistics else 0, self.dtype)),
            frozen(np.zeros(size if self.has_local else 0, self.dtype)),
        )

    def prepare(self) -> None: ...

    def steps_per_epoch(self, peer_id: PeerId) -> int:
        size = self.batch_size or len(self.shards[peer_id])
        return -(-len(self.shards[peer_id]) // size)

    def batch(self, peer_id: PeerId, step: int) -> np.ndarray:
        rows = self.shards[peer_id]
        size = self.batch_size or len(rows)
        start = step % self.steps_per_epoch(peer_id) * size
        return rows[start : start + size]

    def num_examples(self, peer_id: PeerId, first_step: int, num_steps: int) -> int:
        return sum(len(self.batch(peer_id, step)) for step in range(first_step, first_step + num_steps))

    def train(self, jobs: Sequence[Train]) -> list[Update]:
        self.group_sizes.append(len(jobs))
        self.num_jobs += len(jobs)
        return [self._train_one(job) for job in jobs]

    def _train_one(self, job: Train) -> Update:
        x = np.array(job.weights, np.float64)
        statistics = job.statistics
        velocity = np.array(job.state.get("optimizer", np.zeros_like(x)))
        own = {"local": local} if (local := job.state.get("local")) is not None else {}
        curvature = self.curvature.get(job.peer_id, 1.0)
        anchor = job.vectors.get("anchor", x)
        c = job.vectors.get("c", np.zeros_like(x))
        gradient_sum = np.array(job.vectors.get("gradient_sum", np.zeros_like(x)))
        losses, num_examples = 0.0, 0
        for step in range(job.first_step, job.first_step + job.num_steps):
            batch = self.batch(job.peer_id, step)
            losses += curvature * 0.5 * float(np.mean(np.sum((x - batch) ** 2, axis=1))) * len(batch)
            num_examples += len(batch)
            plain = curvature * (x - batch.mean(axis=0))
            gradient_sum += plain
            gradient = plain + c + job.proximal_mu * (x - anchor)
            velocity = self.momentum * velocity - self.learning_rate * gradient
            x = (1 - self.learning_rate * self.weight_decay) * x + velocity
            if self.has_statistics:
                statistics = frozen(0.9 * statistics + 0.1 * batch.var(axis=0))
            own = {name: frozen(0.9 * local + 0.1 * batch.mean(axis=0)) for name, local in own.items()}
        loss = losses / num_examples
        if not (np.isfinite(x).all() and np.isfinite(loss)):
            raise TrainingError(f"peer {job.peer_id!r} diverged", peer_id=job.peer_id, round=job.job)
        return Update(
            job.peer_id,
            job.job,
            frozen(x.astype(self.dtype)),
            frozen(statistics.astype(self.dtype)),
            {
                **{name: frozen(local.astype(self.dtype)) for name, local in own.items()},
                "optimizer": frozen(velocity.astype(self.dtype)),
                "integers": np.array([job.first_step + job.num_steps]),
            },
            num_examples,
            job.num_steps,
            {"loss": loss, "accuracy": 1 / (1 + loss)},
            {"gradient_sum": frozen(gradient_sum)} if "gradient_sum" in job.wants else {},
        )

    def score(self, jobs: Sequence[Evaluate]) -> list[Scores]:
        self.group_sizes.append(len(jobs))
        return [self._score_one(job) for job in jobs]

    def _score_one(self, job: Evaluate) -> Scores:
        steps = range(job.first_step, job.first_step + job.num_steps)
        rows = np.concatenate([self.batch(job.peer_id, step) for step in steps])
        return Scores(job.peer_id, job.job, tuple(scored(model, rows) for model in job.models), len(rows))

    def batch_statistics(self, model: ModelVectors, peers: Sequence[PeerId], num_steps: int) -> list[np.ndarray]:
        size = model.statistics.size  # 0 of a model that has none
        return [
            np.stack([self.batch(peer, step).var(axis=0)[:size] for step in range(num_steps)]).astype(self.dtype)
            for peer in peers
        ]

    def evaluate(self, models: Sequence[ModelVectors], part="test", examples=None) -> list[Score]:
        rows = np.concatenate(list(self.shards.values()))
        if examples is None:
            return [scored(model, rows) for model in models]
        return [scored(model, rows[own]) for model, own in zip(models, examples, strict=True)]


def scored(model: ModelVectors, rows: np.ndarray) -> Score:
    loss = 0.5 * float(np.mean(np.sum((model.weights - rows) ** 2, axis=1)))
    loss += 0.5 * float(np.sum(model.local**2))
    return Score(loss, {"accuracy": 1 / (1 + loss)})
