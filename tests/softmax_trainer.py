"""A trainer without TensorFlow for whole runs: softmax regression by SGD in NumPy, on the real data and batches."""

from collections.abc import Sequence

import numpy as np
import pytest

from gossipfl.actions import Evaluate, Scores, Train, Update
from gossipfl.data.conversion import model_inputs
from gossipfl.data.dataset import Dataset
from gossipfl.errors import TrainingError
from gossipfl.experiments.experiment import Experiment
from gossipfl.scores import Score
from gossipfl.training.batches import Batches
from gossipfl.training.metrics import ACCURACY, MetricSpec
from gossipfl.weights import Constants, ModelVectors, Segment, WeightsSchema, frozen


class SoftmaxTrainer:
    flags = {"backend": "numpy"}  # noqa: RUF012
    statistics_schema = WeightsSchema(())
    local_schema = WeightsSchema(())
    optimizer_size = 0
    num_slots = 1
    constants = Constants()

    def __init__(self, dataset: Dataset, batches: Batches, specs: Sequence[MetricSpec] = ACCURACY) -> None:
        self.metrics = tuple(spec.metric for spec in specs)
        self.dataset, self.batches = dataset, batches
        num_features = int(np.prod(dataset.input_shape))
        kernel = Segment("softmax/kernel", (num_features, dataset.num_classes), "float32")
        self.schema = WeightsSchema((kernel, Segment("softmax/bias", (dataset.num_classes,), "float32")))
        self.num_calls = 0

    def initial(self) -> ModelVectors:
        return ModelVectors(frozen(np.zeros(self.schema.size, np.float32)), frozen(np.zeros(0, np.float32)))

    def prepare(self) -> None: ...

    def forget_initial(self) -> None: ...

    def set_constants(self, constants: Constants) -> None:
        constants.check_shapes([])

    def num_examples(self, peer_id: str, first_step: int, num_steps: int) -> int:
        return self.batches.num_examples(peer_id, first_step, num_steps)

    def train(self, jobs: Sequence[Train]) -> list[Update]:
        self.num_calls += 1
        return [self._train_one(job) for job in jobs]

    def _train_one(self, job: Train) -> Update:
        kernel, bias = (np.array(array) for array in self.schema.unflatten(job.weights))
        sum_of_losses, num_correct, num_examples = 0.0, 0, 0
        indices, sizes = self.batches.indices(job.peer_id, job.first_step, job.num_steps)
        for chosen, size in zip(np.split(indices, np.cumsum(sizes)[:-1]), sizes, strict=True):
            x = model_inputs(self.dataset.train.x[chosen]).reshape(size, -1)
            y = self.dataset.train.y[chosen]
            probabilities = softmax(x @ kernel + bias)
            sum_of_losses += float(-np.log(probabilities[np.arange(size), y]).sum())
            num_correct += int((probabilities.argmax(axis=1) == y).sum())
            num_examples += int(size)
            probabilities[np.arange(size), y] -= 1
            kernel -= 0.1 / size * x.T @ probabilities
            bias -= 0.1 / size * probabilities.sum(axis=0)
        metrics = {"loss": sum_of_losses / num_examples, "accuracy": num_correct / num_examples}
        weights = self.schema.flatten([kernel, bias])
        if not np.isfinite(weights).all():
            raise TrainingError(f"peer {job.peer_id!r} diverged", peer_id=job.peer_id, round=job.job)
        return Update(job.peer_id, job.job, weights, job.statistics, job.state, num_examples, job.num_steps, metrics)

    def batch_statistics(self, model: ModelVectors, peers: Sequence[str], num_steps: int) -> list[np.ndarray]:
        return [np.zeros((num_steps, 0), np.float32) for _ in peers]

    def evaluate(self, models: Sequence[ModelVectors], part="test", examples=None) -> list[Score]:
        x, y = model_inputs(dict(self.dataset.parts)[part].x), dict(self.dataset.parts)[part].y
        chosen = [slice(None)] * len(models) if examples is None else examples
        return [self._score(model, x[rows], y[rows]) for model, rows in zip(models, chosen, strict=True)]

    def score(self, jobs: Sequence[Evaluate]) -> list[Scores]:
        return [self._score_one(job) for job in jobs]

    def _score_one(self, job: Evaluate) -> Scores:
        chosen, _ = self.batches.indices(job.peer_id, job.first_step, job.num_steps)
        x, y = model_inputs(self.dataset.train.x[chosen]), self.dataset.train.y[chosen]
        return Scores(job.peer_id, job.job, tuple(self._score(model, x, y) for model in job.models), len(chosen))

    def _score(self, model: ModelVectors, x: np.ndarray, y: np.ndarray) -> Score:
        kernel, bias = self.schema.unflatten(model.weights)
        x = x.reshape(len(y), -1)
        probabilities = softmax(x @ kernel + bias)
        values = {
            "loss": float(-np.log(probabilities[np.arange(len(y)), y]).mean()),
            "accuracy": int((probabilities.argmax(axis=1) == y).sum()) / len(y),
            "brier": float(((probabilities - np.eye(probabilities.shape[1])[y]) ** 2).sum(axis=1).mean()),
        }
        return Score(values["loss"], {metric.name: values[metric.name] for metric in self.metrics})


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def run_without_tensorflow(
    monkeypatch: pytest.MonkeyPatch, make: type[SoftmaxTrainer] = SoftmaxTrainer
) -> list[SoftmaxTrainer]:
    """Every experiment trains with `make`; the list holds the trainers that were built."""
    built: dict[int, SoftmaxTrainer] = {}
    kept: list[SoftmaxTrainer] = []

    def trainer(experiment: Experiment, section: object) -> SoftmaxTrainer:
        if id(experiment._batches) not in built:
            specs = experiment.scenario.evaluation.specs or ACCURACY
            built[id(experiment._batches)] = make(experiment.holdings.dataset, experiment._batches, specs)
            kept.append(built[id(experiment._batches)])
        return built[id(experiment._batches)]

    monkeypatch.setattr(Experiment, "trainer_for", trainer)
    monkeypatch.setattr("gossipfl.cli.commands.loading.import_tensorflow", lambda: None)
    monkeypatch.setattr("gossipfl.deploy.hosted_peer._import_framework", lambda: None)
    return kept
