"""Public randomness comes from a run's seed, secret randomness from whoever runs the peer; the type says which.

Public: the order of data, schedules, which neighbor, which indices, how to round. It comes through generators that are
derived by name: two with different names are independent; the same seed and name give the same numbers on every
machine and in every process, and whoever knows the seed knows them. Nothing in gossipfl reads or sets a global random
state, the Keras model builder aside.

Secret: keys, masks, and noise that protects. It is bytes, never a NumPy generator, whose numbers tell its state. Over
HTTP the operating system gives them; in virtual time they come from the seed, so that a run can be repeated, and
protect nobody.
"""

import hashlib
from dataclasses import dataclass
from typing import ClassVar, Protocol

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


@dataclass(frozen=True, slots=True)
class PublicRandomness:
    """Randomness that everybody can compute who knows the seed of the run."""

    seed: int

    def generator(self, *name: str | int) -> np.random.Generator:
        """A generator for the purpose `name`, independent of those with any other name."""
        return generator(self.seed, *name)

    def of(self, *name: str | int) -> "PublicRandomness":
        """The randomness of a part of the run, independent of that with any other name."""
        return PublicRandomness(derived_seed(self.seed, *name))


class SecretRandomness(Protocol):
    """Randomness that nobody else may be able to compute."""

    protects: ClassVar[bool]
    """True if it is secret; a report has to say so where it is not."""

    def random_bytes(self, size: int, *name: str | int) -> bytes:
        """`size` bytes for one purpose: a name is used once."""
        ...

    def of(self, *name: str | int) -> "SecretRandomness":
        """The same for a part of what the peer does."""
        ...


@dataclass(frozen=True, slots=True)
class SeededSecrets:
    """Secrets for virtual time: SHAKE-256 over seed and name, so that a run can be repeated.

    >>> SeededSecrets(0).random_bytes(2, "mask", 7) == SeededSecrets(0).random_bytes(2, "mask", 7)
    True
    """

    seed: int

    protects: ClassVar[bool] = False

    def random_bytes(self, size: int, *name: str | int) -> bytes:
        seed = derived_seed(self.seed, "secret", *name)
        return hashlib.shake_256(seed.to_bytes(16, "little")).digest(size)

    def of(self, *name: str | int) -> "SeededSecrets":
        return SeededSecrets(derived_seed(self.seed, "part", *name))


@dataclass(frozen=True, slots=True)
class Randomness:
    """The two kinds, as an engine hands them to a peer."""

    public: PublicRandomness
    secret: SecretRandomness

    @classmethod
    def of_seed(cls, seed: int) -> "Randomness":
        """Both from the seed of a run, for virtual time."""
        return cls(PublicRandomness(seed), SeededSecrets(seed))

    def of(self, *name: str | int) -> "Randomness":
        """The same for a part of what the peer does."""
        return Randomness(self.public.of(*name), self.secret.of(*name))
