"""The table of running peers, from what they say of themselves."""

from collections.abc import Mapping, Sequence
from typing import Any

from gossipfl.cli.terminal.figures import num_bytes
from gossipfl.cli.terminal.whole_table import WholeTable


def peer_table(statuses: Sequence[Mapping[str, Any]], height: int | None = None) -> WholeTable:
    """One line for each peer, from its status as JSON has it; what does not fit in `height` lines is counted."""
    scores = ["loss", *dict.fromkeys(name for status in statuses for name in status["metrics"])]
    agreed = list(dict.fromkeys(name for status in statuses for name in _agreed(status)))
    spends = ["epsilon"] * any(_spent(status) for status in statuses)
    columns = ["peer", "state", "round", *scores, *agreed, *spends, "neighbors", "sent", "received", "failures"]
    rows = []
    for status in statuses:
        neighbors = status["neighbors"]
        measured = {"loss": status["loss"], **status["metrics"]}
        silent = sum(neighbor["contact"] in ("unreachable", "left") for neighbor in neighbors)
        refused = sum(status["refusals"].values()) + sum(sum(n["refused"].values()) for n in neighbors)
        cells = [
            status["peer"],
            status["state"] + _awaited(status["awaits"]),
            f"{status['round']}/{status['rounds']}",
            *("" if measured.get(name) is None else f"{measured[name]:.4f}" for name in scores),
            *(_agreed(status).get(name, "") for name in agreed),
            *(_spent(status) for _ in spends),
            f"{len(neighbors) - silent}/{len(neighbors)}",
            num_bytes(status["sent"]),
            num_bytes(status["received"]),
            str(silent + refused),
        ]
        rows.append(cells)
    return WholeTable(columns, rows, left=["state"], height=height)


def _agreed(status: Mapping[str, Any]) -> dict[str, str]:
    """The mean of each metric over all, or of the loss where there is none, as a peer knows it, and of whom that is.

    >>> row = {"round": 3, "num_peers": 4, "of_peers": 5, "mean_loss": 0.5, "mean_accuracy": 0.75}
    >>> _agreed({"metrics": {"accuracy": 0.7}, "agreed": row})
    {'accuracy of all': '0.7500', 'known of': '4/5, round 3'}
    """
    row = status["agreed"]
    known = [row.get(name) for name in ("num_peers", "of_peers", "round")]
    if None in known:  # another host's word may be anything
        return {}
    means = {name: row.get(f"mean_{name}") for name in status["metrics"] or ("loss",)}
    shown = {f"{name} of all": f"{mean:.4f}" for name, mean in means.items() if mean is not None}
    return shown | {"known of": "{:.0f}/{:.0f}, round {:.0f}".format(*known)}


def _spent(status: Mapping[str, Any]) -> str:
    """The epsilon that a peer has spent, and of how much.

    >>> _spent({"privacy": {"epsilon": 2.5, "budget": 8.0}}), _spent({"privacy": {"epsilon": 2.5}}), _spent({})
    ('2.5 of 8', '2.5', '')
    """
    privacy = status.get("privacy") or {}
    epsilon, budget = (privacy.get(name) for name in ("epsilon", "budget"))
    if not isinstance(epsilon, int | float):  # another host's word may be anything
        return ""
    return f"{epsilon:.3g} of {budget:g}" if isinstance(budget, int | float) else f"{epsilon:.3g}"


def _awaited(names: Sequence[str]) -> str:
    """For whom a peer waits, the first three by name.

    >>> _awaited(["3"]), _awaited([str(k) for k in range(9)]), _awaited([])
    (' for 3', ' for 0, 1, 2 and 6 more', '')
    """
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f" for {', '.join(names[:3])}{more}"
