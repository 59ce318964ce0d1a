"""All randomness comes from a run's seed, through generators that are derived by name.

Two generators with different names are independent; the same seed and name give the same numbers on every machine
and in every process. Nothing in gossipfl reads or sets a global random state, the Keras model builder aside.
"""

import hashlib

import numpy as np


def derived_seed(seed: int, *name: str | int) -> int:
    """A 128-bit seed for the purpose `name` of the run `seed`: BLAKE2b over the parts of both, as Python writes them.

    NumPy's integers and strings count as Python's.

    >>> derived_seed(0, "peer", 3) == derived_seed(0, "peer", np.int64(3))
    True
    >>> derived_seed(0, "peer", 3) == derived_seed(0, "peer", "3")
    False
    """
    parts = tuple(str(part) if isinstance(part, str) else int(part) for part in (seed, *name))
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=16).digest(), "little")


def generator(seed: int, *name: str | int) -> np.random.Generator:
    """A generator for the purpose `name` of the run `seed`, independent of those with any other name."""
    return np.random.Generator(np.random.PCG64(derived_seed(seed, *name)))
