"""Batches that are drawn in secret: each example is in each step with the same probability (Poisson sampling).

The amplification of privacy by sampling counts on it that nobody knows who was drawn; a shuffled epoch has each example
once, and is no such sample. Batches have any size, none included.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray


def secret_batches(
    shard: NDArray[np.int64], rate: float, num_steps: int, secret: bytes
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Example numbers int32 [num_examples], one batch after the other, and the sizes int32 [num_steps] of the batches:
    each example of a shard [n] is in each of them with the probability `rate`, by 64 bits of SHAKE-256 of the secret.
    """
    if rate >= 1:
        return np.tile(shard, num_steps).astype(np.int32), np.full(num_steps, shard.size, np.int32)
    threshold = np.uint64(int(rate * 2.0**64))
    batches = []
    for step in range(num_steps):
        digest = hashlib.shake_256(secret + b"batch" + step.to_bytes(8, "little")).digest(8 * shard.size)
        batches.append(shard[np.frombuffer(digest, "<u8") < threshold])
    sizes = np.array([batch.size for batch in batches], np.int32)
    return np.concatenate(batches, dtype=np.int32, casting="same_kind"), sizes


def noise_seeds(num_steps: int, secret: bytes) -> NDArray[np.int64]:
    """The seeds int64 [num_steps, 2] of the noise of each step: 128 bits of SHAKE-256 of the secret."""
    digest = hashlib.shake_256(secret + b"noise").digest(16 * num_steps)
    return np.frombuffer(digest, "<i8").reshape(num_steps, 2).astype(np.int64)
