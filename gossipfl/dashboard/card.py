"""A peer's card is the little of its status that the page shows: bounded, whatever the peer says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite
from typing import Any, TypeAlias

from gossipfl.engines.http.status import PeerStatus
from gossipfl.names.visible_text import visible
from gossipfl.scores import is_metric_name

JSON: TypeAlias = dict[str, Any]

MAX_TEXT = 80
"""Characters of a name, or of anything else that a peer says. More is cut off."""

MAX_METRICS = 8
"""Metrics of a peer that are shown; a run has few, a hostile peer may say any number."""

MAX_NEIGHBORS = 2_000
"""Neighbors of a peer that are looked at."""

MAX_AWAITED = 64
"""So many of those for whom a peer waits are drawn; all are counted."""

_LARGEST = 2.0**53
"""Beyond it, numbers of a browser are no longer exact."""


def short(text: str) -> str:
    """The text in one line of bounded length, with nothing in it that cannot be seen.

    >>> short("a" * 100) == "a" * 79 + "…", short("line" + chr(10))
    (True, 'line\\\\n')
    """
    seen = visible(text[:MAX_TEXT])[:MAX_TEXT]
    return seen if len(text) <= MAX_TEXT and len(seen) < MAX_TEXT else seen[: MAX_TEXT - 1] + "…"


def number(value: float | None) -> float | None:
    """A number that the page can show, or None.

    >>> number(0.5), number(10**400), number(float("nan")), number(None)
    (0.5, None, None, None)
    """
    if value is None or not -_LARGEST <= value <= _LARGEST or not isfinite(value):
        return None
    return value


def shown_metrics(status: PeerStatus) -> dict[str, float | None]:
    """The metrics of a peer, as far as they are shown."""
    named = ((name, value) for name, value in status.metrics.items() if is_metric_name(name))
    return {name: number(value) for name, value in islice(named, MAX_METRICS)}


@dataclass(slots=True)
class Seat:
    """The place of a peer on the page: its card, and what of its last status the next one is compared with."""

    name: str
    where: str = ""
    card: JSON = field(default_factory=dict)
    version: int = 0
    answers: bool = False
    num_outages: int = 0
    _messages: dict[str, int] = field(default_factory=dict)
    _contacts: dict[str, str] = field(default_factory=dict)
    _refusals: int = 0
    _incarnation: int | None = None
    _state: str = ""
    _stopped: str | None = None

    def take(self, status: PeerStatus, seats: Mapping[str, int]) -> Iterator[str]:
        """Make the card of a status; what has happened since the last one comes out in words. `seats` gives the places
        of all peers by their names."""
        self.name = name = short(status.peer)
        if self.card and not self.answers:
            yield f"{name} answers again" if self.num_outages else f"{name} is there"
        self.answers = True
        yield from self._news(status)
        neighbors = status.neighbors[:MAX_NEIGHBORS]
        lost = [one.name for one in neighbors if one.contact == "unreachable"]
        grown = [one.name for one in neighbors if one.num_messages > self._messages.get(one.name[:MAX_TEXT], 0)]
        talks = [seats[other] for other in grown if other in seats]
        for one in islice((one for one in neighbors if one.contact != self._contacts.get(one.name[:MAX_TEXT])), 4):
            if one.contact == "unreachable":
                yield f"{name} cannot reach {short(one.name)}"
            elif self._contacts.get(one.name[:MAX_TEXT]) == "unreachable":
                yield f"{name} reaches {short(one.name)} again"
        self._messages = {one.name[:MAX_TEXT]: one.num_messages for one in neighbors}
        self._contacts = {one.name[:MAX_TEXT]: one.contact[:MAX_TEXT] for one in neighbors}
        self.card = {
            "name": name,
            "where": self.where,
            "state": short(status.state),
            "answers": True,
            "why": None,
            "round": number(status.round),
            "rounds": number(status.rounds),
            "loss": number(status.loss),
            "metrics": shown_metrics(status),
            "sent": number(status.sent),
            "received": number(status.received),
            "refused": number(sum(status.refusals.values()) + sum(sum(one.refused.values()) for one in neighbors)),
            "awaits": [seats[other] for other in status.awaits[:MAX_AWAITED] if other in seats],
            "num_awaits": len(status.awaits),
            "first_awaited": short(status.awaits[0]) if status.awaits else None,
            "num_neighbors": len(status.neighbors),
            "num_lost": len(lost),
            "lost": [seats[other] for other in lost if other in seats],
            "talks": talks,
            "outages": self.num_outages,
            "stopped": None if status.stopped is None else short(status.stopped),
        }

    def silence(self, why: str) -> Iterator[str]:
        """Note that the peer does not answer."""
        if self.answers:
            self.num_outages += 1
            yield f"{self.name} does not answer"
        self.answers = False
        nothing = {"awaits": [], "num_awaits": 0, "first_awaited": None, "lost": [], "num_lost": 0, "talks": []}
        self.card = {
            "name": self.name,
            "where": self.where,
            "state": "",
            **self.card,
            **nothing,
            "answers": False,
            "why": short(why),
            "outages": self.num_outages,
        }

    def _news(self, status: PeerStatus) -> Iterator[str]:
        name, state = self.name, short(status.state)
        if self._incarnation is not None and status.incarnation > self._incarnation:
            yield f"{name} has started again (start {status.incarnation})"
        refused = sum(status.refusals.values())
        if refused > self._refusals and self.card:
            reasons = ", ".join(short(reason) for reason in islice(status.refusals, 4))
            yield f"{name} has refused {refused - self._refusals} more ({reasons})"
        if state != self._state and state in ("lingering", "over", "failed"):
            yield f"{name} {_ENDS[state]}"
        if status.stopped is not None and status.stopped != self._stopped:
            yield f"{name} stopped early {short(status.stopped)}"
        self._incarnation, self._refusals = status.incarnation, refused
        self._state, self._stopped = state, status.stopped


_ENDS = {"lingering": "has finished its rounds, and serves its neighbors", "over": "has ended", "failed": "has failed"}
