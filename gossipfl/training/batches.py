"""The examples that each optimizer step of each peer sees are a pure function of (seed, peer, step).

Step s of a peer is batch s mod q of epoch s div q, where q = ceil(n / batch_size). So any chunking of a peer's steps
into jobs gives the same batches, a job can be run again anywhere, and nothing is kept per peer but its shard.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError
from gossipfl.randomness import generator
from gossipfl.weights import PeerId


@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of every peer: `shards` maps a peer to its example numbers (int64 [n], positions in the training
    set).

    With `shuffle` each epoch has its own order, a permutation drawn from (seed, "batches", peer, epoch); otherwise
    every epoch keeps the shard's order. The last batch of an epoch holds the remaining n - (q - 1) * batch_size
    examples: it is neither dropped nor filled up.

    Raises ConfigurationError for a batch size below 1 or example numbers that are not integers from 0 to 2^31 - 1.
    """

    shards: Mapping[PeerId, NDArray[np.int64]]
    batch_size: int
    shuffle: bool
    seed: int

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigurationError(f"batch_size must be >= 1, got {self.batch_size}")
        for peer_id, shard in self.shards.items():
            if shard.ndim != 1 or not np.issubdtype(shard.dtype, np.integer):
                raise ConfigurationError(
                    f"the shard of peer {peer_id!r} must be a 1-D integer array of example numbers, got "
                    f"{shard.dtype} of shape {shard.shape}"
                )
            if shard.size and (int(shard.min()) < 0 or int(shard.max()) > np.iinfo(np.int32).max):
                raise ConfigurationError(f"the shard of peer {peer_id!r} has example numbers outside [0, 2^31)")

    @cached_property
    def num_positions(self) -> int:
        """1 + the largest example number of any shard: how many examples the training set must at least have."""
        return 1 + max((int(shard.max()) for shard in self.shards.values() if shard.size), default=-1)

    @cached_property
    def in_order(self) -> bool:
        """True if every batch is a run of consecutive examples: nobody shuffles, and the shards are whole pieces."""
        return not self.shuffle and all((np.diff(shard) == 1).all() for shard in self.shards.values())

    def steps_per_epoch(self, peer_id: PeerId) -> int:
        """q = ceil(n / batch_size): optimizer steps that show every example of the peer once; 0 for an empty shard."""
        return -(-self._shard(peer_id).size // self.batch_size)

    def num_examples(self, peer_id: PeerId, first_step: int, num_steps: int) -> int:
        """Number of examples (with repetition) in the steps [first_step, first_step + num_steps).

        Raises ConfigurationError for a peer without examples, an unknown peer, or steps that do not exist.
        """
        steps_per_epoch = self._checked_steps_per_epoch(peer_id, first_step, num_steps)
        missing_in_last_batch = steps_per_epoch * self.batch_size - self._shard(peer_id).size
        num_epoch_ends = (first_step + num_steps) // steps_per_epoch - first_step // steps_per_epoch
        return num_steps * self.batch_size - num_epoch_ends * missing_in_last_batch

    def indices(self, peer_id: PeerId, first_step: int, num_steps: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Example numbers int32 [num_examples], one batch after the other, and the sizes int32 [num_steps] of the
        batches, for the steps from first_step on. Raises as `num_examples` does."""
        steps_per_epoch = self._checked_steps_per_epoch(peer_id, first_step, num_steps)
        num_examples = self._shard(peer_id).size
        sizes = np.full(num_steps, self.batch_size, np.int32)
        sizes[steps_per_epoch - 1 - first_step % steps_per_epoch :: steps_per_epoch] = (
            num_examples - (steps_per_epoch - 1) * self.batch_size
        )
        epochs = []
        done = 0
        while done < num_steps:
            epoch, first = divmod(first_step + done, steps_per_epoch)
            last = min(steps_per_epoch, first + num_steps - done)
            epochs.append(self._epoch(peer_id, epoch)[first * self.batch_size : last * self.batch_size])
            done += last - first
        return np.concatenate(epochs, dtype=np.int32, casting="same_kind"), sizes

    def _epoch(self, peer_id: PeerId, epoch: int) -> NDArray[np.int64]:
        shard = self._shard(peer_id)
        if not self.shuffle:
            return shard
        return shard[generator(self.seed, "batches", peer_id, epoch).permutation(shard.size)]

    def _shard(self, peer_id: PeerId) -> NDArray[np.int64]:
        shard = self.shards.get(peer_id)
        if shard is None:
            raise ConfigurationError(
                f"peer {peer_id!r} has no shard; the {len(self.shards)} shards belong to other peers"
            )
        return shard

    def _checked_steps_per_epoch(self, peer_id: PeerId, first_step: int, num_steps: int) -> int:
        if first_step < 0 or num_steps < 1:
            raise ConfigurationError(
                f"steps must satisfy first_step >= 0 and num_steps >= 1, got first_step={first_step}, "
                f"num_steps={num_steps}"
            )
        steps_per_epoch = self.steps_per_epoch(peer_id)
        if steps_per_epoch == 0:
            raise ConfigurationError(
                f"peer {peer_id!r} holds no examples, so it cannot train; give it data or leave it out"
            )
        return steps_per_epoch
