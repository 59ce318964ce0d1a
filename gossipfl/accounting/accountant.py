"""Epsilon of noise that was used, the noise for a budget, and how often it can be used within one.

The numbers are those of `dp_accounting` (the extra `privacy`): for noise that a sample does not amplify, the exact
curve of the Gaussian mechanism (Balle and Wang, 2018), with z / sqrt(n) for n uses; otherwise Renyi differential
privacy of the Poisson-sampled Gaussian (Mironov, Talwar and Zhang, 2019), composed and converted. Neighbors are data
sets one of which has one unit more.
"""

import logging
from collections.abc import Callable
from math import inf, sqrt
from types import ModuleType

from gossipfl.errors import ConfigurationError
from gossipfl.privacy.spending import Mechanism, Spending

_DIGITS = 10_000  # a noise multiplier is found to so many parts of 1
_LARGEST_NOISE = 1e6
_LARGEST_COUNT = 10**9


def accounting_package() -> ModuleType:
    """The package `dp_accounting`. Raises ConfigurationError, naming the extra, where it is not installed."""
    try:
        import dp_accounting  # late: an extra, and it takes a second to import
    except ImportError as error:
        raise ConfigurationError(
            "epsilon is computed by the package dp-accounting, which is not installed: pip install 'gossipfl[privacy]'"
        ) from error
    logging.getLogger("absl").setLevel(logging.ERROR)  # it tells of each order of Renyi's that does not converge
    package: ModuleType = dp_accounting
    return package


def epsilon(spending: Spending, delta: float) -> float:
    """The epsilon with which what was spent is (epsilon, delta)-differentially private; 0 where that is nothing.

    Raises ConfigurationError for a delta outside (0, 1).
    """
    if not 0 < delta < 1:
        raise ConfigurationError(f"delta is above 0 and below 1, got {delta}")
    used = {mechanism: count for mechanism, count in spending.items() if count > 0}
    if not used:
        return 0.0
    if all(mechanism.rate in (None, 1.0) for mechanism in used):
        return _epsilon_of_gaussian(1 / sqrt(sum(count / one.noise**2 for one, count in used.items())), delta)
    package = accounting_package()
    accountant = package.rdp.RdpAccountant()
    for mechanism, count in used.items():
        event = package.GaussianDpEvent(mechanism.noise)
        if mechanism.rate is not None:
            event = package.PoissonSampledDpEvent(mechanism.rate, event)
        accountant.compose(event, count)
    return float(accountant.get_epsilon(delta))


def _epsilon_of_gaussian(noise: float, delta: float) -> float:
    if noise < 1 / 1e6:
        return inf
    return float(accounting_package().get_epsilon_gaussian(noise, delta))


def noise_for(budget: float, delta: float, count: int, rate: float | None = None) -> float:
    """The least noise multiplier, to 1e-4 from above, of which `count` uses spend at most `budget` at `delta`.

    Raises ConfigurationError where no noise up to a million is enough.
    """

    def fits(parts: int) -> bool:
        return epsilon({Mechanism(parts / _DIGITS, rate): count}, delta) <= budget

    enough = _first(fits, int(_LARGEST_NOISE * _DIGITS))
    if enough is None:
        raise ConfigurationError(f"no noise keeps {count} uses within epsilon {budget:g} at delta {delta:g}")
    return enough / _DIGITS


def count_within(mechanism: Mechanism, budget: float, delta: float) -> int:
    """The largest number of uses of a mechanism that spend at most `budget` at `delta`; a billion where it is more."""
    spends_more = _first(lambda count: epsilon({mechanism: count}, delta) > budget, _LARGEST_COUNT)
    return _LARGEST_COUNT if spends_more is None else spends_more - 1


def _first(holds: Callable[[int], bool], largest: int) -> int | None:
    """The least number from 1 on for which a condition holds that holds for all larger ones; None: for none of them."""
    high = 1
    while not holds(high):
        if high >= largest:
            return None
        high = min(2 * high, largest)
    low = high // 2  # for which it does not hold, or 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
