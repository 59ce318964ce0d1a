"""Every use of noise spends some of a privacy budget; a ledger counts the uses."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

from gossipfl.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One use of Gaussian noise whose standard deviation is `noise` times the sensitivity of what it is added to.

    `rate` is the probability with which the protected unit takes part at all, drawn in secret and independently in
    every use (Poisson sampling); None: it always may.

    Raises ConfigurationError for a noise that is not above 0, or a rate outside (0, 1].
    """

    noise: float
    rate: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.noise < inf:
            raise ConfigurationError(f"a noise multiplier is a number above 0, got {self.noise}")
        if self.rate is not None and not 0 < self.rate <= 1:
            raise ConfigurationError(f"a sampling rate is above 0 and at most 1, got {self.rate}")


Spending: TypeAlias = Mapping[Mechanism, int]
"""The number of uses of each mechanism."""
