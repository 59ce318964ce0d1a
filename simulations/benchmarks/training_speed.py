"""How much faster is a round of FedAvg in the simulator than `set_weights`, `fit`, `get_weights` for each client?

    python simulations/benchmarks/training_speed.py [DIRECTORY]

Trains all clients both ways, each in a process of its own that is set up as it wants, with the same model, data,
batches and optimizer, and prints the best round of each and the ratio; evaluation is left out of both. `difference` is
that of the accuracies on held-out data at the end. DIRECTORY holds Fashion-MNIST or another set in MNIST's format
(default: where Debian's package dataset-fashion-mnist installs it); without it, random images of the same shape stand
in.
"""

from pathlib import Path

import numpy as np
from fedavg_round import LEARNING_RATE, Result, Work, accuracy_of, initial_weights, with_gossipfl
from measuring import directory_of_images, in_own_process, print_table, timed
from numpy.typing import NDArray

from gossipfl.data.conversion import model_inputs
from gossipfl.training.models import resolve

NUM_ROUNDS = 3


def with_fit(work: Work, num_rounds: int, weights: list[NDArray[np.floating]]) -> Result:
    """One compiled model for all clients, as simulations are often written, and the mean of what `fit` gives."""
    import keras

    dataset = work.dataset
    x = model_inputs(dataset.train.x)
    model = resolve(work.model, dataset.task)()
    model.compile(keras.optimizers.SGD(LEARNING_RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])

    def one_round() -> None:
        nonlocal weights
        trained = []
        for client in range(work.num_clients):
            shard = slice(client * work.num_examples, (client + 1) * work.num_examples)
            model.set_weights(weights)
            model.fit(x[shard], dataset.train.y[shard], batch_size=work.batch_size, shuffle=False, verbose=0)
            trained.append(model.get_weights())
        weights = [np.mean(arrays, axis=0) for arrays in zip(*trained, strict=True)]

    seconds = [timed(one_round) for _ in range(num_rounds)][1:]
    return Result(seconds, weights, accuracy_of(work, weights))


def main(directory: Path) -> None:
    cases = [(Work("softmax", directory), 15), (Work("mlp", directory), 5), (Work("cnn", directory, 100, 60, 10), 10)]
    rows = []
    for work, aim in cases:
        initial = in_own_process(initial_weights, work)
        ours = in_own_process(with_gossipfl, work, NUM_ROUNDS)
        theirs = in_own_process(with_fit, work, NUM_ROUNDS, initial)
        difference = f"{abs(ours.accuracy - theirs.accuracy):.4f}"
        seconds = [f"{theirs.best:.2f}", f"{ours.best:.3f}"]
        rows.append([str(work), *seconds, f"{theirs.best / ours.best:.1f}", str(aim), difference])
    print_table(["one FedAvg round", "`fit` (s)", "gossipfl (s)", "ratio", "aim", "difference"], rows)


if __name__ == "__main__":
    main(directory_of_images())
