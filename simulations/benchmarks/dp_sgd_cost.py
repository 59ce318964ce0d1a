"""Measures what DP-SGD costs beside plain training: processor time of the same number of steps, in turns.

    python simulations/benchmarks/dp_sgd_cost.py [--rounds 5] [--batch-sizes 32 64 128]

Random images in the shape of MNIST's; softmax regression, the 2NN, and a convolutional network.
"""

import argparse
import time
from functools import partial
from statistics import median

import numpy as np
from measuring import print_table

from gossipfl.actions import Train
from gossipfl.data.dataset import Dataset
from gossipfl.training.batches import Batches
from gossipfl.training.models import MODELS, BuildModel
from gossipfl.training.settings import ExamplePrivacy, TrainingSettings
from gossipfl.training.trainer import ModelTrainer

NUM_STEPS = 60


def trainer_of(build: BuildModel, dataset: Dataset, batches: Batches) -> ModelTrainer:
    from gossipfl.training.keras.trainer import KerasTrainer

    settings = TrainingSettings(
        {"name": "sgd", "learning_rate": 0.1}, evaluation_batch_size=500, privacy=ExamplePrivacy(1.0, 1.0)
    )
    return KerasTrainer(build, dataset, batches, settings, 0, 1)


def seconds(trainer: ModelTrainer, secret: bytes) -> float:
    """Processor time of one round of a peer."""
    initial = trainer.initial()
    job = Train("a", 0, 0, NUM_STEPS, initial.weights, initial.statistics, {}, secret=secret)
    before = time.process_time()
    trainer.train([job])
    return time.process_time() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[32, 64, 128])
    parser.add_argument("--models", nargs="*", default=["softmax", "mlp", "cnn"])
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    x = generator.random((2000, 28, 28, 1), np.float32)
    y = generator.integers(10, size=2000).astype(np.int32)
    dataset = Dataset.from_arrays("noise", (x, y), (x[:10], y[:10]), 10)
    rows = []
    for name in options.models:
        for batch_size in options.batch_sizes:
            batches = Batches({"a": np.arange(2000)}, batch_size, True, 0)
            trainer = trainer_of(partial(MODELS[name], (28, 28, 1), 10), dataset, batches)
            turns = (turn.to_bytes(32, "little") for turn in range(options.rounds + 1))
            times = [(seconds(trainer, b""), seconds(trainer, secret)) for secret in turns]
            plain, private = zip(*times[1:], strict=True)  # graphs are built in the first
            ratio = median(theirs / ours for ours, theirs in times[1:])
            least = (f"{1000 * min(of) / NUM_STEPS:.2f}" for of in (plain, private))
            rows.append([f"{name}, batches of {batch_size}", *least, f"{ratio:.2f}", "" if name == "cnn" else "4"])
    print_table(["a step of", "plain (ms)", "private (ms)", "ratio, median", "at most"], rows)


if __name__ == "__main__":
    main()
