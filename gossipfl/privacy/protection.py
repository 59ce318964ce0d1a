"""A peer's training is protected where it ends, before anything of it is mixed or sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, sqrt
from typing import TypeAlias

import numpy as np

from gossipfl.actions import Train, Update
from gossipfl.errors import ConfigurationError, TrainingError
from gossipfl.privacy.noise import clipped, noised
from gossipfl.privacy.spending import Mechanism, Spending
from gossipfl.randomness import SecretRandomness
from gossipfl.weights import Vector, frozen


@dataclass(frozen=True, slots=True)
class Protection:
    """Protection of all that one peer has, by the update of each round (peer-level differential privacy):

        x  <-  x_before + clip(x_trained - x_before, C) + N(0, (z C)^2 / h I)

    `clip` is C and `noise` z; without noise it is a clip alone, as a server needs it that adds the noise. Where nobody
    sees a single update, but only sums with those of h honest `sharers` at least, whoever sees them, each adds its part
    of the noise (Dwork et al., 2006); else h = 1. The budget allows `most_uses`; None: any number.

    Raises ConfigurationError for a clip that is not above 0, a noise below 0, or sharers below 1.
    """

    clip: float
    noise: float
    most_uses: int | None = None
    sharers: int = 1

    def __post_init__(self) -> None:
        if not (0 < self.clip < float("inf") and 0 <= self.noise < float("inf") and self.sharers >= 1):
            raise ConfigurationError(
                f"a clip is above 0 and a noise at least 0, both finite, and sharers are at least 1, got {self}"
            )

    @property
    def deviation(self) -> float:
        """The standard deviation of what one peer adds."""
        return self.noise * self.clip / sqrt(self.sharers)


def _check_budget(job: Train, uses: int, most_uses: int | None) -> None:
    if most_uses is not None and uses > most_uses:
        raise TrainingError(
            f"the privacy budget of peer {job.peer_id!r} is spent: it allows {most_uses:,} uses of noise, and another "
            "training was asked for, because a neighbor asks for more rounds than were planned, or sends what training "
            "runs away on; nothing of it has left the peer. Find out which neighbor, or plan with a larger epsilon",
            peer_id=job.peer_id,
            round=job.job,
        )


class _Counted:
    """The secrets of a protection at one participant, and the number of its uses, which is what is spent."""

    def __init__(self, secret: SecretRandomness) -> None:
        self._secret = secret
        self.uses = 0

    def secret_of(self, job: int) -> bytes:
        """The secret that a trainer needs for a job; nothing, where it is not the trainer who protects."""
        return b""

    @property
    def saved(self) -> dict[str, float]:
        """Its part of a snapshot."""
        return {"uses": self.uses}

    def restore(self, saved: Mapping[str, float]) -> None:
        """Go on from what a snapshot has."""
        self.uses = int(saved["uses"])


class ProtectedTraining(_Counted):
    """The protection at one peer, with its secrets, and the number of its uses, which is what is spent."""

    def __init__(self, protection: Protection, secret: SecretRandomness) -> None:
        super().__init__(secret)
        self._protection = protection

    @property
    def spending(self) -> Spending:
        """The uses of noise so far; none where there is no noise."""
        noise = self._protection.noise
        return {Mechanism(noise): self.uses} if noise and self.uses else {}

    def protected(self, job: Train, update: Update) -> Update:
        """The result of a job with its weights protected, and without what a correction wanted; one more use.

        Raises TrainingError where that is more than the budget allows.
        """
        protection = self._protection
        _check_budget(job, self.uses + 1, protection.most_uses)
        change = clipped(np.subtract(update.weights, job.weights, dtype=np.float64), protection.clip)
        if protection.noise:
            change = noised(change, protection.deviation, self._secret.random_bytes(32, "noise", self.uses))
        self.uses += 1
        weights = (job.weights + change).astype(update.weights.dtype)
        return replace(update, weights=frozen(weights), vectors={})


@dataclass(frozen=True, slots=True)
class ExampleProtection:
    """Protection of single examples, by the trainer (DP-SGD; Abadi et al., 2016): each of a peer's examples is in each
    step with the probability `rate`, and to the sum of clipped gradients comes `noise` times the clip. The budget
    allows `most_uses`, which are steps; None: any number.

    Raises ConfigurationError for a noise or a rate that is none.
    """

    noise: float
    rate: float
    most_uses: int | None = None

    @property
    def mechanism(self) -> Mechanism:
        """One step, as a ledger counts it."""
        return Mechanism(self.noise, self.rate)

    def __post_init__(self) -> None:
        _ = self.mechanism


@dataclass(frozen=True, slots=True)
class AdaptiveClip:
    """A clip that follows the norms of updates to their `quantile` q (Andrew et al., 2021):

        C  <-  C exp(-r (b - q)),  b = 1/2 + (sum_i ([||x_i - x|| <= C] - 1/2) + N(0, s^2)) / m

    with the `learning_rate` r and the `noise` s, of a count.
    """

    quantile: float
    learning_rate: float
    noise: float

    def after(self, clip: float, norms: Sequence[float], num_sampled: int, secret: bytes) -> float:
        """The clip of the next round."""
        count = sum((norm <= clip) - 0.5 for norm in norms)
        count += float(noised(np.zeros(1), self.noise, secret)[0])
        step = -self.learning_rate * (0.5 + count / num_sampled - self.quantile)
        return float(np.clip(clip * exp(min(max(step, -50.0), 50.0)), _SMALLEST_CLIP, 1 / _SMALLEST_CLIP))


_SMALLEST_CLIP = 1e-12  # chance alone does not lead to a clip that is none


@dataclass(frozen=True, slots=True)
class SumProtection:
    """Protection of all that one client has, by the server of federated averaging (McMahan et al., 2018):

        x  <-  x + (sum_i clip(x_i - x, C) + N(0, (z C)^2 I)) / m

    over the clients i that answered, of m that were sampled, answers or not. `clip` is C and `noise` z. The server
    itself sees each client's update. A clip that is `adaptive` begins there; then both, sum and count, spend as much
    as z alone: the noise of the sum is (z^-2 - (2 s)^-2)^(-1/2).

    Raises ConfigurationError for a clip or a noise that is not above 0, or more than the count allows.
    """

    clip: float
    noise: float
    adaptive: AdaptiveClip | None = None

    def __post_init__(self) -> None:
        if not (0 < self.clip < float("inf") and 0 < self.noise < float("inf")):
            raise ConfigurationError(f"a clip and a noise are above 0 and finite, got {self}")
        if self.adaptive is not None and self.noise >= 2 * self.adaptive.noise:
            raise ConfigurationError(
                f"privacy.differential_privacy.adaptive.noise = {self.adaptive.noise:g} spends more than all that the "
                f"noise multiplier of {self.noise:g} allows: give more than half of that, at best a lot more"
            )

    @property
    def noise_of_sum(self) -> float:
        """The noise multiplier of the sum."""
        if self.adaptive is None:
            return self.noise
        return float((self.noise**-2 - (2 * self.adaptive.noise) ** -2) ** -0.5)


class ProtectedSum(_Counted):
    """The protection at the server, with its secrets, and the number of its uses, which is what is spent."""

    def __init__(self, protection: SumProtection, secret: SecretRandomness) -> None:
        super().__init__(secret)
        self._protection = protection
        self.clip = protection.clip
        """The clip of the next round."""

    @property
    def spending(self) -> Spending:
        """The rounds so far."""
        return {Mechanism(self._protection.noise): self.uses} if self.uses else {}

    def protected(self, job: Train, update: Update) -> Update:
        """The result of a job as it is: a server has none."""
        return update

    def mean(self, base: Vector, models: Sequence[Vector], num_sampled: int) -> Vector:
        """The next model, of the clients' models, which are clipped here again whoever sends them; one more use."""
        protection, clip = self._protection, self.clip
        total, norms = np.zeros(base.size), []
        for model in models:
            change = np.subtract(model, base, dtype=np.float64)
            norms.append(float(np.linalg.norm(change)))
            total += clipped(change, clip)
        secret = self._secret.random_bytes(32, "noise", self.uses)
        if protection.adaptive is not None:
            of_count = self._secret.random_bytes(32, "count", self.uses)
            self.clip = protection.adaptive.after(clip, norms, num_sampled, of_count)
        self.uses += 1
        change = noised(total, protection.noise_of_sum * clip, secret) / num_sampled
        return frozen((base + change).astype(base.dtype))

    @property
    def saved(self) -> dict[str, float]:
        """Its part of a snapshot."""
        return super().saved | {"clip": self.clip}

    def restore(self, saved: Mapping[str, float]) -> None:
        """Go on from what a snapshot has."""
        super().restore(saved)
        self.clip = saved["clip"]


class ProtectedExamples(_Counted):
    """The protection of a peer's examples: the secrets of its jobs, and the number of its steps, which is what is
    spent. All that training gives is protected already."""

    def __init__(self, protection: ExampleProtection, secret: SecretRandomness) -> None:
        super().__init__(secret)
        self._protection = protection

    @property
    def spending(self) -> Spending:
        """The steps so far, those of a training that had to be made again included."""
        return {self._protection.mechanism: self.uses} if self.uses else {}

    def secret_of(self, job: int) -> bytes:
        """The secret of a job: who has it knows its batches and its noise."""
        return self._secret.random_bytes(32, "training", job)

    def protected(self, job: Train, update: Update) -> Update:
        """The result of a job as it is; so many steps more.

        Raises TrainingError where they are more than the budget allows.
        """
        _check_budget(job, self.uses + job.num_steps, self._protection.most_uses)
        self.uses += job.num_steps
        return update


AnyProtection: TypeAlias = Protection | ExampleProtection | SumProtection

AnyProtected: TypeAlias = ProtectedTraining | ProtectedExamples | ProtectedSum
"""A protection at one participant: what it makes of a job, which secrets that has, and what was spent."""


def protected_by(protection: AnyProtection | None, secret: SecretRandomness) -> AnyProtected | None:
    """A protection at one participant, with its secrets."""
    match protection:
        case None:
            return None
        case Protection():
            return ProtectedTraining(protection, secret)
        case ExampleProtection():
            return ProtectedExamples(protection, secret)
        case SumProtection():
            return ProtectedSum(protection, secret)
