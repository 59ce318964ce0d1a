"""How much faster are groups of peers in one graph than `set_weights`, `fit`, `get_weights` for each peer?

    python simulations/benchmarks/training_speed.py [DIRECTORY]

Trains one round of every peer both ways, with the same model, data, batches and optimizer, and prints the best of five
rounds and the ratio. DIRECTORY holds Fashion-MNIST or another set in MNIST's IDX format (default: where Debian's
package dataset-fashion-mnist installs it); without it, random images of the same shape stand in.
"""

import gzip
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from gossipfl.actions import Train
from gossipfl.data.dataset import Dataset
from gossipfl.training.batches import Batches
from gossipfl.training.keras_trainer import KerasTrainer
from gossipfl.training.models import resolve
from gossipfl.training.settings import TrainingSettings

DEFAULT_DIRECTORY = Path("/usr/share/datasets/fashion-mnist")
NUM_REPETITIONS = 5
LEARNING_RATE = 0.02
# model, number of peers, steps of a round, batch size, ratio to reach
CASES = [("softmax", 10, 60, 100, 15), ("mlp", 10, 60, 100, 5), ("cnn", 100, 6, 10, 10)]


Shards: TypeAlias = dict[str, NDArray[np.int64]]


def main() -> None:
    console = Console()
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_DIRECTORY
    if not directory.is_dir():
        console.print(f"{directory} is not there: timing random images of the same shape")
    dataset = dataset_of(directory)
    table = Table(title=dataset.name)
    for heading in ("model", "peers", "steps x batch", "fit (s)", "groups (s)", "ratio", "aim"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for name, num_peers, num_steps, batch_size, aim in CASES:
        size = num_steps * batch_size
        shards = {str(peer): np.arange(peer * size, (peer + 1) * size) for peer in range(num_peers)}
        with console.status(f"{name}: {num_peers} peers in groups"):
            grouped = seconds_in_groups(dataset, name, shards, batch_size)
        # `fit` runs in a process of its own, with as many threads as TensorFlow wants
        with console.status(f"{name}: {num_peers} peers one by one"), get_context("spawn").Pool(1) as pool:
            alone = pool.apply(seconds_with_fit, (directory, name, shards, batch_size))
        work = f"{num_steps} x {batch_size}"
        table.add_row(name, str(num_peers), work, f"{alone:.2f}", f"{grouped:.3f}", f"{alone / grouped:.1f}", str(aim))
    console.print(table)


def seconds_in_groups(dataset: Dataset, name: str, shards: Shards, batch_size: int) -> float:
    """Best time of a round of all peers with the slots of a KerasTrainer."""
    num_steps = len(shards["0"]) // batch_size
    build = resolve(name, dataset.train_x.shape[1:], dataset.num_classes)
    settings = TrainingSettings({"name": "sgd", "learning_rate": LEARNING_RATE})
    trainer = KerasTrainer(build, dataset, Batches(shards, batch_size, False, 0), settings, seed=0)
    initial = trainer.initial()
    jobs = [Train(peer, 1, 0, num_steps, initial.weights, initial.statistics, {}) for peer in shards]
    return best_seconds(lambda: trainer.train(jobs))


def seconds_with_fit(directory: Path, name: str, shards: Shards, batch_size: int) -> float:
    """Best time of a round of all peers with one compiled model, as most simulations are written."""
    dataset = dataset_of(directory)
    model = resolve(name, dataset.train_x.shape[1:], dataset.num_classes)()
    model.compile(keras.optimizers.SGD(LEARNING_RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    initial = model.get_weights()
    data = [(dataset.train_x[shard], dataset.train_y[shard]) for shard in shards.values()]

    def train_all() -> None:
        for x, y in data:
            model.set_weights(initial)
            model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0)
            model.get_weights()

    return best_seconds(train_all)


def best_seconds(work: Callable[[], object]) -> float:
    """The shortest of several runs, after one that warms up."""
    work()
    durations = []
    for _ in range(NUM_REPETITIONS):
        begin = time.perf_counter()
        work()
        durations.append(time.perf_counter() - begin)
    return min(durations)


def dataset_of(directory: Path) -> Dataset:
    """Fashion-MNIST or the like from a directory, random images where there is none."""
    return idx_dataset(directory) if directory.is_dir() else synthetic_dataset()


def idx_dataset(directory: Path) -> Dataset:
    """The four gzipped IDX files of an MNIST-like data set (header of 16 bytes for images, 8 for labels)."""

    def read(name: str, header: int) -> NDArray[np.uint8]:
        with gzip.open(directory / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    def images(part: str) -> NDArray[np.float32]:
        return read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1).astype(np.float32) / np.float32(255)

    def labels(part: str) -> NDArray[np.int32]:
        return read(f"{part}-labels-idx1-ubyte.gz", 8).astype(np.int32)

    return Dataset(directory.name, images("train"), labels("train"), images("t10k"), labels("t10k"), 10)


def synthetic_dataset() -> Dataset:
    """Random images and labels in the shape of MNIST."""
    random = np.random.default_rng(0)
    x, y = random.random((60_000, 28, 28, 1), np.float32), random.integers(10, size=60_000, dtype=np.int32)
    return Dataset("random images", x, y, x[:10_000], y[:10_000], 10)


if __name__ == "__main__":
    main()
