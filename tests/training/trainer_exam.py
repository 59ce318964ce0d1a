"""The table of all trainers that sit the exam of tests/training/test_trainers.py: adding a trainer is adding a row.

All train on the same data: those of `SIZES`, and a peer "all" that holds what is also the held-out data.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy_trainer import NumpyTrainer
from softmax_trainer import SoftmaxTrainer
from toy_data import BATCH_SIZE, SIZES, toy_batches, toy_dataset

from gossipfl.data.dataset import Dataset
from gossipfl.training.batches import Batches
from gossipfl.training.metrics import MetricSpec, metric_specs
from gossipfl.training.settings import TrainingSettings
from gossipfl.training.trainer import Trainer

ALL = "all"
"""The peer whose examples are the held-out data."""

Make = Callable[[], AbstractContextManager[Trainer]]


@dataclass(frozen=True)
class Candidate:
    """`make` gives a new trainer of the same run each time. `says_its_model` is that it is a `ModelTrainer`."""

    make: Make
    says_its_model: bool = True
    is_slow: bool = False


def exam_data() -> tuple[Dataset, Batches]:
    dataset = toy_dataset()
    dataset = replace(dataset, test=dataset.train, validation=dataset.test)
    return dataset, toy_batches({**SIZES, ALL: len(dataset.train.y)})


@contextmanager
def numpy_trainer() -> Iterator[Trainer]:
    random = np.random.default_rng(4)
    shards = {peer: random.normal(size=(size, 3)) for peer, size in SIZES.items()}
    shards[ALL] = np.concatenate(list(shards.values()))
    yield NumpyTrainer(shards, momentum=0.9, batch_size=BATCH_SIZE, has_statistics=True)


@contextmanager
def softmax_trainer() -> Iterator[Trainer]:
    yield SoftmaxTrainer(*exam_data())


SEVERAL = metric_specs(["accuracy", {"name": "auc", "num_thresholds": 20}, {"name": "f1_score", "average": "macro"}])
"""Metrics that Keras computes, where the accuracy of a classification alone needs none of its own."""


def keras_arguments(metrics: tuple[MetricSpec, ...] | None = None) -> tuple[Any, ...]:
    def build() -> Any:  # being local, it is sent to workers by value
        import keras
        from keras import layers

        dense = [layers.Dense(16, "relu"), layers.Dropout(0.4), layers.BatchNormalization()]
        stack = [keras.Input((8, 8, 1)), layers.Flatten(), *dense, layers.Dense(10, "softmax")]
        model = keras.Sequential(stack)
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
        return model

    return build, *exam_data(), TrainingSettings(evaluation_batch_size=32, metrics=metrics), 5


@contextmanager
def keras_trainer(
    slots: int = 1, max_grouped_floats: int = 10**6, metrics: tuple[MetricSpec, ...] | None = None
) -> Iterator[Trainer]:
    from gossipfl.training.keras.trainer import KerasTrainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gossipfl.training.keras.slot.MAX_GROUPED_FLOATS", max_grouped_floats)
        yield KerasTrainer(*keras_arguments(metrics), slots)


@contextmanager
def ray_trainer() -> Iterator[Trainer]:
    pytest.importorskip("ray")
    from gossipfl.training.ray.trainer import RayTrainer, ray_cluster
    from gossipfl.training.ray.workers import RayWorkers

    with ray_cluster():
        yield RayTrainer(RayWorkers(2), *keras_arguments(SEVERAL))


TRAINERS = {
    "numpy": Candidate(numpy_trainer, says_its_model=False),
    "softmax": Candidate(softmax_trainer),
    "keras": Candidate(keras_trainer, is_slow=True),
    "keras, one peer a call": Candidate(partial(keras_trainer, max_grouped_floats=0), is_slow=True),
    "keras, two slots, several metrics": Candidate(partial(keras_trainer, slots=2, metrics=SEVERAL), is_slow=True),
    "ray": Candidate(ray_trainer, is_slow=True),
}
