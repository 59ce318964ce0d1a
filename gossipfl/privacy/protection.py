"""A peer's training is protected where it ends, before anything of it is mixed or sent."""

from dataclasses import dataclass, replace

import numpy as np

from gossipfl.actions import Train, Update
from gossipfl.errors import ConfigurationError
from gossipfl.privacy.noise import clipped, noised
from gossipfl.privacy.spending import Mechanism, Spending
from gossipfl.randomness import SecretRandomness
from gossipfl.weights import frozen


@dataclass(frozen=True, slots=True)
class Protection:
    """Protection of all that one peer has, by the update of each round (peer-level differential privacy):

        x  <-  x_before + clip(x_trained - x_before, C) + N(0, (z C)^2 I)

    `clip` is C and `noise` z; without noise it is a clip alone, as a server needs it that adds the noise.

    Raises ConfigurationError for a clip that is not above 0, or a noise below 0.
    """

    clip: float
    noise: float

    def __post_init__(self) -> None:
        if not (0 < self.clip < float("inf") and 0 <= self.noise < float("inf")):
            raise ConfigurationError(f"a clip is above 0 and a noise at least 0, both finite, got {self}")


class ProtectedTraining:
    """The protection at one peer, with its secrets, and the number of its uses, which is what is spent."""

    def __init__(self, protection: Protection, secret: SecretRandomness) -> None:
        self._protection = protection
        self._secret = secret
        self.uses = 0

    @property
    def spending(self) -> Spending:
        """The uses of noise so far; none where there is no noise."""
        noise = self._protection.noise
        return {Mechanism(noise): self.uses} if noise and self.uses else {}

    def secret_of(self, job: int) -> bytes:
        """Nothing: a trainer needs no secret of this peer."""
        return b""

    def protected(self, job: Train, update: Update) -> Update:
        """The result of a job with its weights protected, and without what a correction wanted; one more use."""
        protection = self._protection
        change = clipped(np.subtract(update.weights, job.weights, dtype=np.float64), protection.clip)
        if protection.noise:
            deviation = protection.noise * protection.clip
            change = noised(change, deviation, self._secret.random_bytes(32, "noise", self.uses))
        self.uses += 1
        weights = (job.weights + change).astype(update.weights.dtype)
        return replace(update, weights=frozen(weights), vectors={})


@dataclass(frozen=True, slots=True)
class ExampleProtection:
    """Protection of single examples, by the trainer (DP-SGD; Abadi et al., 2016): each of a peer's examples is in each
    step with the probability `rate`, and to the sum of clipped gradients comes `noise` times the clip.

    Raises ConfigurationError for a noise or a rate that is none.
    """

    noise: float
    rate: float

    @property
    def mechanism(self) -> Mechanism:
        """One step, as a ledger counts it."""
        return Mechanism(self.noise, self.rate)

    def __post_init__(self) -> None:
        _ = self.mechanism


class ProtectedExamples:
    """The protection of a peer's examples: the secrets of its jobs, and the number of its steps, which is what is
    spent. All that training gives is protected already."""

    def __init__(self, protection: ExampleProtection, secret: SecretRandomness) -> None:
        self._protection = protection
        self._secret = secret
        self.uses = 0

    @property
    def spending(self) -> Spending:
        """The steps so far, those of a training that had to be made again included."""
        return {self._protection.mechanism: self.uses} if self.uses else {}

    def secret_of(self, job: int) -> bytes:
        """The secret of a job: who has it knows its batches and its noise."""
        return self._secret.random_bytes(32, "training", job)

    def protected(self, job: Train, update: Update) -> Update:
        """The result of a job as it is; so many steps more."""
        self.uses += job.num_steps
        return update
