"""What an engine measures of its peers: scores on held-out data, the average model, the consensus distance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from gossipfl.algorithms import Weighting
from gossipfl.errors import ConfigurationError
from gossipfl.peers import Peer
from gossipfl.training.trainer import Score, Trainer
from gossipfl.weights import ModelVectors, PeerId, Vector, frozen


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """Evaluate every `every`-th equivalent round the average model and `peers` (None: all of them).

    More peers: a truer spread, at the expense of one pass over the held-out data for each. `weighting` is the mean
    that the average model is.
    """

    every: int = 1
    peers: tuple[PeerId, ...] | None = None
    weighting: Weighting = "uniform"

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigurationError(f"evaluation needs every >= 1 rounds, got {self.every}")
        if self.peers is not None and not self.peers:
            raise ConfigurationError("evaluation needs at least one peer")


def evaluated_peers(
    peers: Sequence[PeerId], num_peers: int | None, generator: np.random.Generator
) -> tuple[PeerId, ...]:
    """All peers, or a sample of `num_peers` in node order."""
    if num_peers is None or num_peers >= len(peers):
        return tuple(peers)
    return tuple(peers[i] for i in np.sort(generator.choice(len(peers), size=num_peers, replace=False)))


def mean_vector(vectors: Sequence[Vector], shares: Sequence[float]) -> Vector:
    """sum_i shares_i * vectors_i, summed in float64, in the dtype of the vectors."""
    total = np.zeros(vectors[0].shape, np.float64)
    for vector, share in zip(vectors, shares, strict=True):
        total += np.multiply(vector, share, dtype=np.float64)  # float32 times a Python number would be float32
    return frozen(total.astype(vectors[0].dtype))


def average_model(peers: Sequence[Peer], weighting: Weighting) -> ModelVectors:
    """The mean of the peers' weights and statistics, uniform or by number of examples."""
    counts = [peer.local.work.num_examples if weighting == "examples" else 1 for peer in peers]
    shares = [count / sum(counts) for count in counts]
    return ModelVectors(
        mean_vector([peer.weights for peer in peers], shares),
        mean_vector([peer.local.statistics for peer in peers], shares),
    )


def consensus_distance(peers: Sequence[Peer]) -> float:
    """sqrt(mean_i ||x_i - mean(x)||^2) of the peers' weights (Kong et al., 2021)."""
    mean = mean_vector([peer.weights for peer in peers], [1 / len(peers)] * len(peers)).astype(np.float64)
    squares: dict[int, float] = {}  # peers may share one vector
    for peer in peers:
        if id(peer.weights) not in squares:
            difference = peer.weights - mean
            # Not a dot product: BLAS wakes a thread per core for it, which costs more than it brings.
            squares[id(peer.weights)] = float(np.square(difference, out=difference).sum())
    return sqrt(sum(squares[id(peer.weights)] for peer in peers) / len(peers))


def scores(trainer: Trainer, peers: Sequence[Peer], average: ModelVectors) -> tuple[Score, Mapping[PeerId, Score]]:
    """Scores of the average model and of each peer's own model; vectors that several share are scored once."""
    models = [average, *(peer.model for peer in peers)]
    keys = [(id(model.weights), id(model.statistics)) for model in models]
    distinct = dict(zip(keys, models, strict=True))
    by_key = dict(zip(distinct, trainer.evaluate(list(distinct.values())), strict=True))
    return by_key[keys[0]], {peer.peer_id: by_key[key] for peer, key in zip(peers, keys[1:], strict=True)}
