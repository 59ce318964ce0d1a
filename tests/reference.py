"""Naive oracles: what the algorithms should give, written as plain loops without peers, messages or time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy_trainer import NumpyTrainer

from gossipfl.weights import PeerId


def local_epoch(
    trainer: NumpyTrainer, peer_id: PeerId, x: np.ndarray, velocity: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One pass over a peer's batches by SGD with momentum: weights and velocity after it."""
    for step in range(trainer.steps_per_epoch(peer_id)):
        gradient = trainer.curvature.get(peer_id, 1.0) * (x - trainer.batch(peer_id, step).mean(axis=0))
        velocity = trainer.momentum * velocity - trainer.learning_rate * gradient
        x = x + velocity
    return x, velocity


def dense_gossip(trainer: NumpyTrainer, W: np.ndarray, X: np.ndarray, num_rounds: int) -> np.ndarray:
    """X <- W Y, where row i of Y is what peer i makes of row i of X in one local epoch, momentum kept."""
    velocities = np.zeros_like(X)
    for _ in range(num_rounds):
        rows = []
        for i, peer_id in enumerate(trainer.shards):
            y, velocities[i] = local_epoch(trainer, peer_id, X[i], velocities[i])
            rows.append(y)
        X = W @ np.stack(rows)
    return X


def fedavg(
    trainer: NumpyTrainer,
    x: np.ndarray,
    num_rounds: int,
    *,
    by_examples: bool = True,
    server_learning_rate: float = 1.0,
) -> np.ndarray:
    """x <- x + server_learning_rate * (sum_i p_i y_i - x) with all clients, momentum reset in every round."""
    sizes = np.array([len(rows) if by_examples else 1 for rows in trainer.shards.values()], np.float64)
    for _ in range(num_rounds):
        trained = [local_epoch(trainer, peer_id, x, np.zeros_like(x))[0] for peer_id in trainer.shards]
        mean = np.sum([size * y for size, y in zip(sizes, trained, strict=True)], axis=0) / sizes.sum()
        x = x + server_learning_rate * (mean - x)
    return x


# With Keras: models are passed in, so that nothing here imports TensorFlow.


def fedavg_with_fit(
    make_model: Callable[[], Any],
    shards: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    num_rounds: int,
    batch_size: int,
    num_epochs: int = 1,
    by_examples: bool = True,
) -> list[np.ndarray]:
    """FedAvg as a loop of `set_weights`, `fit` and `get_weights` over (inputs, labels) of every client.

    `make_model` gives a built and compiled Keras model. Optimizer state is reset for every client and round, batches
    come in order, integers (seed generators) are not averaged. Returns what `get_weights` gives in the end.
    """
    model = make_model()
    model.optimizer.build(model.trainable_variables)
    fresh_optimizer = [variable.numpy().copy() for variable in model.optimizer.variables]
    arrays = model.get_weights()
    sizes = [len(inputs) if by_examples else 1 for inputs, _ in shards]
    for _ in range(num_rounds):
        sums = [np.zeros(array.shape, np.float64) for array in arrays]
        for (inputs, labels), size in zip(shards, sizes, strict=True):
            model.set_weights(arrays)
            for variable, value in zip(model.optimizer.variables, fresh_optimizer, strict=True):
                variable.assign(value)
            model.fit(inputs, labels, batch_size=batch_size, epochs=num_epochs, shuffle=False, verbose=0)
            for total, array in zip(sums, model.get_weights(), strict=True):
                total += size / sum(sizes) * array
        arrays = [
            total.astype(array.dtype) if np.issubdtype(array.dtype, np.floating) else array
            for total, array in zip(sums, arrays, strict=True)
        ]
    return arrays


def own_minimisers(shards: Mapping[PeerId, np.ndarray]) -> np.ndarray:
    """The minimisers b_i of the peers' own objectives, one row each."""
    return np.stack([rows.mean(axis=0) for rows in shards.values()])
