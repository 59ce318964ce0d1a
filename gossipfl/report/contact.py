"""The times when peers could not reach each other: the events of a run, paired up into intervals.

A link is a pair of peers, whoever of the two could not reach the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, TypeAlias

from gossipfl.runs.files import EventRow, HistoryRow, Run

JSON: TypeAlias = dict[str, Any]

MAX_LINKS = 40
"""Links drawn, the longest interrupted first."""

MAX_DEPARTURES = 20
"""Peers that left early and are drawn, the first to leave first."""

MAX_BARS = 400
"""Intervals closer together than the whole time divided by this are one bar: the eye would not tell them apart."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """`peer` could not reach `neighbor` from `start` to `end` (seconds); `is_open`: it still could not at the end."""

    peer: str
    neighbor: str
    start: float
    end: float
    is_open: bool

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def link(self) -> tuple[str, str]:
        """The two peers in the order of text, which is the same for both directions."""
        return (self.peer, self.neighbor) if self.peer <= self.neighbor else (self.neighbor, self.peer)


@dataclass(frozen=True, slots=True)
class Departure:
    """`peer` said goodbye at `start` and was gone until `end`, when somebody reached it again or the run ended."""

    peer: str
    start: float
    end: float


def contact(run: Run) -> JSON:
    """Per algorithm that ran over a network, of its first seed: which links were interrupted, when, and who left.

    Empty when the run has no events at all: nobody watched the contact, or it was perfect.
    """
    if not run.events:
        return {}
    found: JSON = {}
    for algorithm in run.manifest.algorithms:
        rows = [row for row in run.history if row.algorithm == algorithm.label]
        events = [event for event in run.events if event.algorithm == algorithm.label]
        seeds = {row.seed for row in rows} | {event.seed for event in events}
        if seeds and (events or not algorithm.bound):
            seed = min(seeds)
            own = [event for event in events if event.seed == seed]
            end = last_time([row for row in rows if row.seed == seed], own)
            found[algorithm.label] = {"seed": seed, "num_seeds": len(seeds), "end": end} | outages(own, end)
    return found


def last_time(rows: Iterable[HistoryRow], events: Iterable[EventRow]) -> float:
    """The end of an algorithm's run: its last evaluation, or an event after it."""
    return max((*(row.time or 0.0 for row in rows), *(event.time for event in events)), default=0.0)


def outages(events: Sequence[EventRow], end: float) -> JSON:
    """The interruptions of each link and the departures, as the page receives them."""
    found = interruptions(events, end)
    by_link: dict[tuple[str, str], list[Interruption]] = {}
    for interruption in found:
        by_link.setdefault(interruption.link, []).append(interruption)
    links = [link_facts(link, own, end) for link, own in by_link.items()]
    links.sort(key=lambda facts: (-facts["seconds"], facts["start"], facts["peers"]))
    longest = max(found, key=lambda interruption: interruption.seconds, default=None)
    gone = departures(events, end)
    return {
        "num_interruptions": len(found),
        "num_links": len(links),
        "longest": None if longest is None else interruption_facts(longest),
        "links": links[:MAX_LINKS],
        "num_departures": len(gone),
        "departures": [
            {"peer": departure.peer, "start": rounded(departure.start), "end": rounded(departure.end)}
            for departure in gone[:MAX_DEPARTURES]
        ],
    }


def interruptions(events: Iterable[EventRow], end: float) -> list[Interruption]:
    """Times from `unreachable` until the peer reached its neighbor again, or the neighbor said goodbye, or the `end`.

    A neighbor that has said goodbye is expected to be silent: until it is reached again it is not an interruption.
    In the order in which they began.
    """
    since: dict[tuple[str, str], float] = {}
    left: set[tuple[str, str]] = set()
    found = []
    for event in in_order(events):
        pair = (event.peer, event.neighbor)
        if event.event == "unreachable":
            if pair not in left:
                since.setdefault(pair, event.time)
            continue
        if pair in since:
            found.append(Interruption(*pair, since.pop(pair), event.time, False))
        if event.event == "left":
            left.add(pair)
        else:
            left.discard(pair)
    found += [Interruption(*pair, start, max(start, end), True) for pair, start in since.items()]
    return sorted(found, key=lambda interruption: (interruption.start, interruption.peer, interruption.neighbor))


def departures(events: Iterable[EventRow], end: float) -> list[Departure]:
    """The times from a goodbye before the end until somebody who had heard it reached that peer again."""
    since: dict[str, float] = {}
    heard: set[tuple[str, str]] = set()
    found = []
    for event in in_order(events):
        if event.event == "left":
            since.setdefault(event.neighbor, event.time)
            heard.add((event.peer, event.neighbor))
        elif event.event == "reachable" and event.neighbor in since and (event.peer, event.neighbor) in heard:
            found.append(Departure(event.neighbor, since.pop(event.neighbor), event.time))
            heard = {pair for pair in heard if pair[1] != event.neighbor}
    found += [Departure(peer, start, max(start, end)) for peer, start in since.items()]
    return sorted(found, key=lambda departure: (departure.start, departure.peer))


def in_order(events: Iterable[EventRow]) -> list[EventRow]:
    """The events by time; those of the same time stay in the order of the file."""
    return sorted(events, key=lambda event: event.time)


def link_facts(link: tuple[str, str], own: Sequence[Interruption], end: float) -> JSON:
    bars = united(own)
    return {
        "peers": list(link),
        "ways": [list(way) for way in dict.fromkeys((found.peer, found.neighbor) for found in own)],
        "num_interruptions": len(own),
        "seconds": rounded(sum(stop - start for start, stop in bars)),
        "longest": rounded(max(found.seconds for found in own)),
        "start": rounded(own[0].start),
        "is_open": any(found.is_open for found in own),
        "bars": [[rounded(start), rounded(stop)] for start, stop in united(own, end / MAX_BARS)],
    }


def united(own: Iterable[Interruption], gap: float = 0.0) -> list[tuple[float, float]]:
    """The times at which at least one of the interruptions lasted, those at most `gap` seconds apart as one."""
    bars: list[tuple[float, float]] = []
    last = -inf
    for found in own:
        if found.start <= last + gap:
            bars[-1] = (bars[-1][0], max(last, found.end))
        else:
            bars.append((found.start, found.end))
        last = bars[-1][1]
    return bars


def interruption_facts(found: Interruption) -> JSON:
    return {
        "peer": found.peer,
        "neighbor": found.neighbor,
        "start": rounded(found.start),
        "seconds": rounded(found.seconds),
        "is_open": found.is_open,
    }


def rounded(seconds: float) -> float:
    """Milliseconds are enough."""
    return round(seconds, 3)
