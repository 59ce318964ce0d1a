"""A peer waits for its neighbors for ever, but never without a word; where it may give up, until they are gone."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from gossipfl.engines.http.delivering.correspondence import Correspondence
from gossipfl.engines.http.hosting import State
from gossipfl.errors import ConfigurationError
from gossipfl.peers import Peer
from gossipfl.weights import PeerId

Neighbors: TypeAlias = Mapping[PeerId, Correspondence]

_LOGGER = logging.getLogger(__name__)

WARN_SECONDS = 60.0
"""Until the first warning; each further one comes when the wait has doubled. Shorter: slow training at a neighbor is
taken for a fault."""

LOOK_SECONDS = 5.0
"""Between two looks at whom a peer awaits."""


class LongWait:
    """Remembers since when it has been the same wait: for the same neighbors, in the same round."""

    def __init__(self) -> None:
        self._wait: tuple[tuple[PeerId, ...], int] = ((), 0)
        self._since = 0.0
        self._next_warning = WARN_SECONDS

    def look(self, awaits: tuple[PeerId, ...], round: int, now: float) -> float | None:
        """The seconds that the wait has lasted when a warning is due, else None."""
        if (awaits, round) != self._wait:
            self._wait, self._since, self._next_warning = (awaits, round), now, WARN_SECONDS
        waited = now - self._since
        if not awaits or waited < self._next_warning:
            return None
        self._next_warning = 2 * waited
        return waited


def awaited(state: State, peer: Peer, neighbors: Neighbors) -> tuple[PeerId, ...]:
    """Neighbors without whom a peer does not go on at the moment: to begin, in a round, or to end."""
    match state:
        case "meeting":
            return tuple(name for name, neighbor in neighbors.items() if neighbor.url and not neighbor.session)
        case "training" | "waiting":
            return peer.awaits
        case "lingering":
            return tuple(name for name, neighbor in neighbors.items() if not neighbor.is_settled)
        case _:
            return ()


async def warn_of_long_waits(
    peer: Peer, neighbors: Neighbors, state: Callable[[], State], now: Callable[[], float]
) -> None:
    """Look at a peer for ever; one that has finished has said how long it serves on, and for whom."""
    wait = LongWait()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        awaits = () if peer.finished else awaited(state(), peer, neighbors)
        waited = wait.look(awaits, peer.round, now())
        if waited is not None:
            those = ", ".join(f"{name} ({_how_it_is(neighbors[name])})" for name in awaits)
            _LOGGER.warning("has waited %(seconds).0f s for %(neighbors)s", {"seconds": waited, "neighbors": those})


async def waited_in_vain(
    peer: Peer,
    neighbors: Neighbors,
    state: Callable[[], State],
    now: Callable[[], float],
    answers: Callable[[Correspondence], Awaitable[bool]],
    seconds: float,
) -> str:
    """Wait until none of the neighbors for whom a peer waits `answers` for so many seconds; gives that in words. They
    may have ended without it."""
    wait: tuple[tuple[PeerId, ...], int] = ((), 0)
    since = now()
    while True:
        await asyncio.sleep(max(seconds / 10, 0.05))
        awaits, _ = wait
        has_answered = any(await asyncio.gather(*(answers(neighbors[name]) for name in awaits)))
        newest = () if peer.finished else awaited(state(), peer, neighbors), peer.round
        if not awaits or has_answered or newest != wait:
            wait, since = newest, now()
        elif now() - since >= seconds:
            names = ", ".join(awaits)
            return f"in round {peer.round}: {names}, for whom it waited, had not answered for {seconds:g} s"


def _how_it_is(neighbor: Correspondence) -> str:
    if neighbor.is_of_this_run is False:
        return "takes part in another run"
    if neighbor.contact == "unknown":
        return "never heard of" if neighbor.url is None else f"never reached at {neighbor.url}"
    return neighbor.contact


def nobody_shares_the_run(name: PeerId, run: str, neighbors: Neighbors) -> ConfigurationError | None:
    """The error when all neighbors have refused a peer as of another run: it would train alone, or wait for ever."""
    asked = [neighbor for neighbor in neighbors.values() if neighbor.contact != "revoked"]
    if not asked or any(neighbor.is_of_this_run is not False for neighbor in asked):
        return None
    names = ", ".join(neighbor.name for neighbor in asked)
    return ConfigurationError(
        f"{names} refused {name} as a peer of another run: they were started with another scenario, seed, data, model, "
        "queries or version of gossipfl. Start all with the same, with data.classes where hosts hold examples of other "
        f"classes; `gossipfl status` with --json tells the run of each (here it is {run[:12]}...)."
    )
