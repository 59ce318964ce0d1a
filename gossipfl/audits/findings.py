"""The findings of an audit: what was rebuilt under each defence, how close it came, and in what order they stand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gossipfl.audits.defences import Defence
from gossipfl.weights import PeerId

FALSE_POSITIVE_RATES = (0.001, 0.01)
"""Rates of non-members that are taken for members, at which membership inference is judged (Carlini et al., 2022)."""


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean over targets, with its standard error (None of a single one)."""

    value: float
    error: float | None
    num: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mean | None":
        """The mean of finite values; None where there are none.

        >>> Mean.of([1.0, 3.0])
        Mean(value=2.0, error=1.0, num=2)
        """
        known = [float(value) for value in values if isfinite(value)]
        if not known:
            return None
        error = stdev(known) / sqrt(len(known)) if len(known) > 1 else None
        return cls(fmean(known), error, len(known))

    def is_above(self, other: "Mean") -> bool:
        """True if it is higher by more than twice the standard error of the difference."""
        return self.value - other.value > 2 * sqrt((self.error or 0.0) ** 2 + (other.error or 0.0) ** 2)


class Likeness(NamedTuple):
    """One training beside what is said of it: `psnr` (decibel) and `ssim` are means over the examples that it has, each
    beside what is most like it; `labels` is how many of its classes are named, as a share of all that it has or that
    are named."""

    psnr: float
    ssim: float
    labels: float


@dataclass(frozen=True, eq=False, slots=True)
class Rebuilt:
    """One target: the training of a peer, with the example of it that was rebuilt best.

    `found` is what the attack gets, and `guess` what anybody gets without a message, by the mean of held-out examples
    and all classes.
    """

    seed: int
    target: PeerId
    place: PeerId | None
    original: NDArray[np.float32]
    rebuilt: NDArray[np.float32]
    found: Likeness
    guess: Likeness


@dataclass(frozen=True, eq=False, slots=True)
class Finding:
    """One defence, and what a place got under it; `refused` says why the scenario cannot have this defence."""

    defence: Defence
    refused: str | None = None
    attack: str = ""
    rounds: int = 0
    rebuilt: Sequence[Rebuilt] = ()
    num_models: int = 1
    true_positives: tuple[Mean | None, ...] = ()
    num_non_members: int = 0
    metric: str = ""
    score: float | None = None
    num_bytes: int = 0

    @property
    def found(self) -> dict[str, Mean | None]:
        """The means over targets, by the fields of `Likeness`: of the attack, or of the guess where that is closer,
        because who attacks has it, too, and knows under which defence."""
        guess = self.guess
        return {name: _higher(mean, guess[name]) for name, mean in self.attack_alone.items()}

    @property
    def attack_alone(self) -> dict[str, Mean | None]:
        """The means of the attack, also where they are below those of the guess."""
        return _means([one.found for one in self.rebuilt])

    @property
    def guess(self) -> dict[str, Mean | None]:
        """The same of what anybody has without a message."""
        return _means([one.guess for one in self.rebuilt])

    def as_json(self) -> dict[str, Any]:
        """All figures; no examples."""
        rates = [f"tpr_at_{rate:g}" for rate in FALSE_POSITIVE_RATES]
        told = dict(zip(rates, self.true_positives or (None,) * len(rates), strict=True))
        return {
            "defence": self.defence.name,
            "refused": self.refused,
            "attack": self.attack,
            "rounds": self.rounds,
            "num_targets": len(self.rebuilt),
            "num_models": self.num_models,
            "num_non_members": self.num_non_members,
            "metric": self.metric,
            "score": self.score,
            "num_bytes": self.num_bytes,
            **_as_json({**self.found, **told}),
            "guess": _as_json(self.guess),
            "attack_alone": _as_json(self.attack_alone),
        }


def _means(of: Sequence[Likeness]) -> dict[str, Mean | None]:
    return {name: Mean.of([getattr(one, name) for one in of]) for name in Likeness._fields}


def _higher(one: Mean | None, other: Mean | None) -> Mean | None:
    """The higher of two means."""
    return max(filter(None, (one, other)), key=lambda mean: mean.value, default=None)


def _as_json(means: Mapping[str, Mean | None]) -> dict[str, Any]:
    return {
        name: None if mean is None else {"mean": mean.value, "standard_error": mean.error, "of": mean.num}
        for name, mean in means.items()
    }


def order_notes(findings: Sequence[Finding]) -> Iterator[str]:
    """A sentence for each family of defences: whether more of it lets less be rebuilt, within the standard error."""
    whole = [one for one in findings if one.refused is None]
    first = [one for one in whole if one.defence.name == "none"]
    for family, what in (("dp", "noise"), ("steps", "local steps")):
        ordered = sorted((one for one in whole if one.defence.family == family), key=lambda one: one.defence.strength)
        if not ordered or len(line := [*first, *ordered]) < 2:
            continue
        for name in ("psnr", "ssim"):
            means = [(one.defence.name, mean) for one in line if (mean := one.found[name]) is not None]
            wrong = [
                f"{more} after {less}"
                for number, (less, lower) in enumerate(means)
                for more, higher in means[number + 1 :]
                if higher.is_above(lower)
            ]
            if wrong:
                yield f"More {what} did NOT lower the {name.upper()} everywhere: {'; '.join(wrong)}."
            else:
                yield f"The more {what}, the lower the {name.upper()}, within two standard errors."
