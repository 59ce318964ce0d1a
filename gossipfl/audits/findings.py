"""The findings of an audit: what was rebuilt under each defence, how close it came, and in what order they stand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from statistics import fmean, stdev
from typing import Any

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


@dataclass(frozen=True, eq=False, slots=True)
class Rebuilt:
    """One target: the training of a peer, with the example of it that was rebuilt best.

    `psnr` (decibel) and `ssim` are means over the examples that it trained on, each beside what is most like it;
    `found_label` is how many of its labels were told, as a share of all that it has or that were told.
    """

    seed: int
    target: PeerId
    place: PeerId | None
    original: NDArray[np.float32]
    rebuilt: NDArray[np.float32]
    psnr: float
    ssim: float
    found_label: float


@dataclass(frozen=True, eq=False, slots=True)
class Finding:
    """One defence, and what a place got under it; `refused` says why the scenario cannot have this defence."""

    defence: Defence
    refused: str | None = None
    attack: str = ""
    rebuilt: Sequence[Rebuilt] = ()
    num_models: int = 1
    true_positives: tuple[Mean | None, ...] = ()
    num_non_members: int = 0
    metric: str = ""
    score: float | None = None
    num_bytes: int = 0

    @property
    def psnr(self) -> Mean | None:
        return Mean.of([one.psnr for one in self.rebuilt])

    @property
    def ssim(self) -> Mean | None:
        return Mean.of([one.ssim for one in self.rebuilt])

    @property
    def found_labels(self) -> Mean | None:
        return Mean.of([one.found_label for one in self.rebuilt])

    def as_json(self) -> dict[str, Any]:
        """All figures; no examples."""
        rates = [f"tpr_at_{rate:g}" for rate in FALSE_POSITIVE_RATES]
        means = {"psnr": self.psnr, "ssim": self.ssim, "labels": self.found_labels}
        means |= dict(zip(rates, self.true_positives or (None,) * len(rates), strict=True))
        return {
            "defence": self.defence.name,
            "refused": self.refused,
            "attack": self.attack,
            "num_targets": len(self.rebuilt),
            "num_models": self.num_models,
            "num_non_members": self.num_non_members,
            "metric": self.metric,
            "score": self.score,
            "num_bytes": self.num_bytes,
            **{
                name: None if mean is None else {"mean": mean.value, "standard_error": mean.error, "of": mean.num}
                for name, mean in means.items()
            },
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
            means = [(one.defence.name, mean) for one in line if (mean := getattr(one, name)) is not None]
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
