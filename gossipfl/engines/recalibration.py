"""The statistics of an average model are estimated anew, for its own weights, on batches of the peers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gossipfl.mixing import Pooling
from gossipfl.training.trainer import Trainer
from gossipfl.weights import ModelVectors, PeerId, frozen


@dataclass(frozen=True, slots=True)
class Recalibration:
    """Means and variances of layers over the batches of each peer's first `num_steps` steps:

        mean = E[mean(batch)],   var = E[var(batch) + mean(batch)^2] - mean^2

    where E weighs a batch by its number of examples (precise BatchNorm, Wu and Johnson, 2021). More steps: a better
    estimate, at the expense of as many forward passes for each peer. Those of the `pooling`'s pairs are replaced;
    weights and all other statistics stay.
    """

    num_steps: int
    pooling: Pooling

    def applied(self, trainer: Trainer, model: ModelVectors, peers: Sequence[PeerId]) -> ModelVectors:
        """The model with the statistics that batches of these peers give; sums are in float64, in the peers' order."""
        moments, num_examples = np.zeros(model.statistics.size, np.float64), 0
        for peer_id, batches in zip(peers, trainer.batch_statistics(model, peers, self.num_steps), strict=True):
            for step, batch in enumerate(batches):
                size = trainer.num_examples(peer_id, step, 1)
                moments += size * self.pooling.moments(batch.astype(np.float64))
                num_examples += size
        estimated = self.pooling.statistics(moments / num_examples)
        statistics = np.array(model.statistics)
        for *begins, size in self.pooling.pairs:
            for begin in begins:
                statistics[begin : begin + size] = estimated[begin : begin + size]
        return replace(model, statistics=frozen(statistics))
