"""How much faster is a round of FedAvg in the simulator than `set_weights`, `fit`, `get_weights` for each client?

    python simulations/benchmarks/training_speed.py [DIRECTORY]

Trains all clients both ways, with the same model, data, batches and optimizer, and prints the best of five rounds and
the ratio; evaluation is left out of both. DIRECTORY holds Fashion-MNIST or another set in MNIST's format (default:
where Debian's package dataset-fashion-mnist installs it); without it, random images of the same shape stand in.
"""

import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from gossipfl import Scenario, initialize
from gossipfl.data.dataset import Dataset
from gossipfl.data.sources import load
from gossipfl.training.models import resolve

DEFAULT_DIRECTORY = Path("/usr/share/datasets/fashion-mnist")
NUM_REPETITIONS = 5
LEARNING_RATE = 0.02
# model, number of clients, examples of a client, batch size, ratio to reach
CASES = [("softmax", 10, 6000, 100, 15), ("mlp", 10, 6000, 100, 5), ("cnn", 100, 60, 10, 10)]


def main() -> None:
    console = Console()
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_DIRECTORY
    if not directory.is_dir():
        console.print(f"{directory} is not there: timing random images of the same shape")
    table = Table(title="one FedAvg round")
    for heading in ("model", "clients", "steps x batch", "fit (s)", "simulator (s)", "ratio", "aim"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for name, num_clients, num_examples, batch_size, aim in CASES:
        case = (directory, name, num_clients, num_examples, batch_size)
        with console.status(f"{name}: {num_clients} clients in the simulator"):
            simulated = seconds_in_simulator(*case)
        # `fit` runs in a process of its own, with as many threads as TensorFlow wants
        with console.status(f"{name}: {num_clients} clients one by one"), get_context("spawn").Pool(1) as pool:
            alone = pool.apply(seconds_with_fit, case)
        work = f"{num_examples // batch_size} x {batch_size}"
        ratio = f"{alone / simulated:.1f}"
        table.add_row(name, str(num_clients), work, f"{alone:.2f}", f"{simulated:.3f}", ratio, str(aim))
    console.print(table)


def seconds_in_simulator(directory: Path, name: str, num_clients: int, num_examples: int, batch_size: int) -> float:
    """Best time of a round, from the server's first message to its average."""
    scenario = Scenario(
        rounds=NUM_REPETITIONS + 1,
        model=name,
        data={"source": dataset_of(directory), "partition": "contiguous", "max_train": num_clients * num_examples},
        training={
            "batch_size": batch_size,
            "shuffle": False,
            "optimizer": {"name": "sgd", "learning_rate": LEARNING_RATE},
        },
        topology={"generator": "complete_graph", "arguments": {"n": num_clients}},
        network={"preset": "IDEAL"},
        algorithms=["fedavg"],
    )
    simulator = initialize(scenario).simulator
    simulator.next()  # the evaluation before the first round
    server = simulator.peers["server"]

    def one_round() -> None:
        last = server.round
        while server.round == last:
            simulator.step()

    return best_seconds(one_round)


def seconds_with_fit(directory: Path, name: str, num_clients: int, num_examples: int, batch_size: int) -> float:
    """Best time of a round of all clients with one compiled model, as most simulations are written."""
    dataset = dataset_of(directory)
    model = resolve(name, dataset.input_shape, dataset.num_classes)()
    model.compile(keras.optimizers.SGD(LEARNING_RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    initial = model.get_weights()
    shards = [slice(client * num_examples, (client + 1) * num_examples) for client in range(num_clients)]

    def train_all() -> None:
        for shard in shards:
            model.set_weights(initial)
            model.fit(dataset.train_x[shard], dataset.train_y[shard], batch_size=batch_size, shuffle=False, verbose=0)
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
    """The data set in a directory; random images in the shape of MNIST where there is none."""
    if directory.is_dir():
        return load(f"idx:{directory}")
    random = np.random.default_rng(0)
    x, y = random.random((60_000, 28, 28, 1), np.float32), random.integers(10, size=60_000, dtype=np.int32)
    return Dataset("random images", x, y, x[:10_000], y[:10_000], 10)


if __name__ == "__main__":
    main()
