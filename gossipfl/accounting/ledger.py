"""A peer's ledger, as it tells of it: what is spent, of which budget, and for whom that holds."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from gossipfl.accounting.accountant import epsilon
from gossipfl.privacy.spending import Mechanism, Spending


def ledger_row(agreed: Mapping[str, Any] | None, spending: Spending | None) -> dict[str, Any]:
    """The ledger of a peer under the differential privacy that was `agreed`, ready for JSON; empty where there is none.

    `epsilon` is spent so far at `delta`, for the unit of the `level`, against everybody who sees all that the peer
    sends; `budget` is where it ends, if anywhere, and `uses` counts the noise.
    """
    if agreed is None or spending is None:
        return {}
    return {
        "level": agreed["level"],
        "epsilon": _epsilon(tuple(spending.items()), agreed["delta"]),
        "delta": agreed["delta"],
        "budget": agreed["epsilon"],
        "uses": sum(spending.values()),
    }


def most_spent(ledgers: Iterable[Spending | None], delta: float) -> float | None:
    """The largest epsilon that any of the ledgers has spent; None where there is none."""
    kept = {tuple(spending.items()) for spending in ledgers if spending is not None}
    return max((_epsilon(spending, delta) for spending in kept), default=None)


@lru_cache(4096)
def _epsilon(spending: tuple[tuple[Mechanism, int], ...], delta: float) -> float:
    return epsilon(dict(spending), delta)
