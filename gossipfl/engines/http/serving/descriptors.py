"""File descriptors: what peers need of them, and how many connections that leaves to others.

Whoever may open connections to a process for nothing could otherwise take the last descriptor, and the next checkpoint
or history row would find none. So the caps follow the limit of the process.
"""

import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass

from gossipfl.errors import ConfigurationError
from gossipfl.weights import PeerId

RESERVE = 64
"""Descriptors that are kept for files: checkpoints, rows, certificates, data, look-ups of addresses, and connections
that are being closed. Higher: more of them at the same time, at the expense of connections."""

WATCHING = 64
"""Connections to the watching port, at most; the oldest is closed when one more comes."""

OF_A_LINK = 2
"""Descriptors at either end of a link: a connection there, and one from there; or two of the end that cannot be
reached, which delivers over one and polls over the other."""

_FOR_STRANGERS = 16
"""Connections that a peer can at least have besides those of its neighbors: else nobody new gets a word in."""

_OF_A_CHILD = 2
"""Descriptors that a launcher has for each process: its log, and its listening socket until it has started."""

_LOOKING = 16
"""Descriptors that a launcher has for asking its processes."""

_ENDLESS = 2**31
"""The limit of a process that has none."""


@dataclass(frozen=True, slots=True)
class Caps:
    """Connections that may be open at a peer's port for messages, and at its watching port."""

    messages: int
    watching: int


def caps_of_peer(num_neighbors: int, wanted: int) -> Caps:
    """The caps of a peer that has this process to itself; `wanted` is that of messages.

    Raises ConfigurationError when there are too few descriptors for its neighbors and a few others.
    """
    left = _FOR_STRANGERS + _left(
        f"a peer with {num_neighbors} neighbors",
        {
            "2 to listen": 2,
            f"{OF_A_LINK} for each link": OF_A_LINK * num_neighbors,
            f"{_FOR_STRANGERS} for others": _FOR_STRANGERS,
        },
        "raise the limit",
    )
    watching = min(WATCHING, left // 4)
    return Caps(_cap(num_neighbors, left - watching, wanted), watching)


def caps_of_loopback(num_connections: Mapping[PeerId, int], wanted: int) -> dict[PeerId, int]:
    """The cap of messages of each peer, when all are in this process; `num_connections` come from its neighbors.

    Raises ConfigurationError when there are too few descriptors for the links of all.
    """
    num_peers, total = len(num_connections), sum(num_connections.values())
    left = _left(
        f"{num_peers} peers in one process",
        {
            f"{num_peers} to listen": num_peers,
            f"2 for each of {total:,} connections between them, both ends of which are here": 2 * total,
        },
        "raise the limit, take fewer peers or links, or give each peer a process of its own (--processes)",
    )
    return {name: _cap(number, left // num_peers, wanted) for name, number in num_connections.items()}


def _cap(num_connections: int, left: int, wanted: int) -> int:
    """As many as are wanted, but those of the neighbors and a few more, where so many are left."""
    return max(1, min(max(wanted, num_connections + _FOR_STRANGERS), num_connections + left))


def check_launcher(num_peers: int, most_neighbors: int) -> None:
    """Raises ConfigurationError when this process cannot start so many, or the one with most links could not run."""
    _left(
        f"starting {num_peers} processes",
        {
            f"{_OF_A_CHILD} for each of {num_peers} peers": _OF_A_CHILD * num_peers,
            f"{_LOOKING} for looking at them": _LOOKING,
        },
        "raise the limit, or take fewer peers",
    )
    caps_of_peer(most_neighbors, 1)


def raised_limit() -> int:
    """Raise the limit of open descriptors as far as this process may; gives what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # macOS says that there is no limit, and takes none above its own
            return soft
    return _ENDLESS if hard == resource.RLIM_INFINITY else hard


def _left(what: str, needs: dict[str, int], remedy: str) -> int:
    """Descriptors that are left of the limit when all that is needed, open, and kept for files is taken off."""
    limit, num_open = raised_limit(), _num_open()
    needed = sum(needs.values()) + num_open + RESERVE
    if needed > limit:
        parts = [*needs, f"{num_open} that are open", f"{RESERVE} for files"]
        raise ConfigurationError(
            f"{what} may need {needed:,} file descriptors ({', '.join(parts)}), and this process may have {limit:,}: "
            f"{remedy} (`ulimit -n` says what it is; `ulimit -Hn`, /etc/security/limits.conf and LimitNOFILE of "
            "systemd are where it is set)"
        )
    return limit - needed


def _num_open() -> int:
    """Descriptors that this process has open."""
    for directory in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(directory):
            return len(os.listdir(directory))
    return RESERVE
