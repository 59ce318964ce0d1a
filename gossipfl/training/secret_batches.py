"""Batches that are drawn in secret: each example is in each step with the same probability (Poisson sampling).

The amplification of privacy by sampling counts on it that nobody knows who was drawn; a shuffled epoch has each example
once, and is no such sample. Batches have any size, none included.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray


def secret_batches(
    shard: NDArray[np.int64], rate: float, first_step: int, num_steps: int, secret: bytes
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Example numbers int32 [num_examples], one batch after the other, and the sizes int32 [num_steps] of the batches:
    each example of a shard [n] is in each of them with the probability `rate`, by 64 bits of SHAKE-256 of the secret
    and of the step, counted from `first_step` on: parts of a job have the batches of the whole.
    """
    if rate >= 1:
        return np.tile(shard, num_steps).astype(np.int32), np.full(num_steps, shard.size, np.int32)
    threshold = np.uint64(int(rate * 2.0**64))
    batches = []
    for step in range(first_step, first_step + num_steps):
        digest = hashlib.shake_256(secret + b"batch" + step.to_bytes(8, "little")).digest(8 * shard.size)
        batches.append(shard[np.frombuffer(digest, "<u8") < threshold])
    sizes = np.array([batch.size for batch in batches], np.int32)
    return np.concatenate(batches, dtype=np.int32, casting="same_kind"), sizes


def noise_seeds(first_step: int, num_steps: int, secret: bytes) -> NDArray[np.int64]:
    """The seeds int64 [num_steps, 2] of the noise of each step: 128 bits of SHAKE-256 of the secret and of the step,
    counted as for batches: no two steps of a job have the same noise, whatever it is cut into."""
    steps = range(first_step, first_step + num_steps)
    digests = [hashlib.shake_256(secret + b"noise" + step.to_bytes(8, "little")).digest(16) for step in steps]
    return np.frombuffer(b"".join(digests), "<i8").reshape(num_steps, 2).astype(np.int64)
