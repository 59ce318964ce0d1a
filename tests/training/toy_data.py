"""Data and batches for trainers, without TensorFlow."""

import numpy as np

from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples
from gossipfl.data.task import Task
from gossipfl.training.batches import Batches

SIZES = {"a": 37, "b": 16, "c": 5, "d": 61}
BATCH_SIZE = 16


def toy_dataset(num_classes: int = 10) -> Dataset:
    random = np.random.default_rng(7)
    y = random.integers(num_classes, size=300).astype(np.int32)
    x = random.random((300, 8, 8, 1), dtype=np.float32) + 0.2 * y.reshape(-1, 1, 1, 1).astype(np.float32)
    return Dataset("toy", Examples(x[:200], y[:200]), Examples(x[200:], y[200:]), num_classes=num_classes)


def toy_batches(sizes=SIZES, shuffle=True, batch_size=BATCH_SIZE) -> Batches:
    random = np.random.default_rng(3)
    return Batches({peer: random.permutation(200)[:size] for peer, size in sizes.items()}, batch_size, shuffle, seed=11)


def toy_task(*shape: int) -> Task:
    """Ten classes of float32 inputs of a shape."""
    return Task(f"float32[{','.join(map(str, shape))}]", "int32[]", None, 10, "classes")
