"""The board has all that the page shows, and a number for every change of it.

It is without I/O, and time is an argument. A page has seen everything up to some version, and asks for what is newer:
so nothing is kept for a page that is slow or gone, and what is kept is bounded by the peers and `MAX_ROWS`.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from gossipfl.dashboard.card import JSON, Seat
from gossipfl.dashboard.page import live_html, policy
from gossipfl.engines.http.status import PeerStatus
from gossipfl.measured import ASPECTS
from gossipfl.report.payload import rounded

MAX_ROWS = 1_000
"""Evaluations of one algorithm with one seed that are kept; of more, every second one goes. Higher: finer curves, at
the expense of memory and of the time that a page takes to draw."""

MAX_EVENTS = 200
"""The newest of what has happened."""

MAX_SEATS = 2_000
"""Peers that are shown; a run may have more."""

_NOTHING_DRAWN: JSON = {"positions": [], "links": [], "num_links": 0}


@dataclass(slots=True)
class _Table:
    """The rows of one algorithm with one seed, and the version of each."""

    seed: int
    rows: list[JSON] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)


class Board:
    """All that a page shows of a run: `facts`, as a report has them, curves, a card for every peer, and events."""

    def __init__(self, facts: JSON) -> None:
        self.epoch = 1
        """Another one: what a page has is not the beginning of what there is, and it has to begin anew."""
        self.version = 1
        self.facts = facts
        self.seats: list[Seat] = []
        self._places: dict[str, int] = {}
        self._tables: dict[str, list[_Table]] = {}
        self._events: deque[tuple[int, JSON]] = deque(maxlen=MAX_EVENTS)
        self._graph: tuple[int, JSON] = (0, _NOTHING_DRAWN)
        self._running: tuple[int, JSON] = (0, {})

    # What is told

    def begin(self, facts: JSON) -> None:
        """These are the facts of the run from now on; its curves stay."""
        self.facts = facts
        self._new_epoch()

    def seat(self, names: Sequence[str], wheres: Sequence[str] = ()) -> None:
        """There are these peers, in this order; of those beyond `MAX_SEATS` nothing is shown."""
        wheres = wheres or [""] * len(names)
        self.seats = [Seat(name, where) for name, where in islice(zip(names, wheres, strict=True), MAX_SEATS)]
        self._places = {name: place for place, name in enumerate(names[:MAX_SEATS])}
        self._graph = (0, _NOTHING_DRAWN)
        self._new_epoch()

    def draw(self, positions: Sequence[Sequence[float]], links: Sequence[Sequence[int]], num_links: int) -> None:
        """The peers are drawn there, and so linked."""
        self._graph = self._next(), {"positions": positions, "links": links, "num_links": num_links}

    def running(self, facts: JSON) -> None:
        """Note what runs at the moment: the algorithm, its seed, and how far it is."""
        if facts != self._running[1]:
            self._running = self._next(), facts

    def look(self, now: float, statuses: Mapping[int, PeerStatus]) -> None:
        """The peers at these places say this of themselves."""
        for place, status in statuses.items():
            if place >= len(self.seats):
                continue
            seat, card = self.seats[place], self.seats[place].card
            before = seat.name
            for text in seat.take(status, self._places):
                self.note(now, text)
            if seat.name != before:
                self._rename(place, before)
            if seat.card != card:
                seat.version = self._next()

    def silent(self, now: float, place: int, why: str) -> None:
        """The peer at this place does not answer."""
        seat, card = self.seats[place], self.seats[place].card
        for text in seat.silence(why):
            self.note(now, text)
        if seat.card != card:
            seat.version = self._next()

    def row(self, label: str, seed: int, row: Mapping[str, Any]) -> None:
        """An evaluation of an algorithm, as a row of its history."""
        tables = self._tables.setdefault(label, [])
        if not tables or tables[-1].seed != seed:
            tables.append(_Table(seed))
            self._new_epoch()
        table = tables[-1]
        if len(table.rows) >= MAX_ROWS:
            del table.rows[1::2], table.versions[1::2]
            self._new_epoch()
        table.rows.append(_kept(row))
        table.versions.append(self._next())

    def note(self, now: float, text: str) -> None:
        """Something has happened."""
        self._events.append((self._next(), {"time": now, "text": text}))

    def places(self) -> Mapping[str, int]:
        """The places of the peers by their names; of two with one name, that of the first."""
        return self._places

    # What a page asks

    def page(self) -> JSON:
        """Everything: the facts with the curves so far, and what lives."""
        metrics = ["loss", *(metric["name"] for metric in self.facts["manifest"].get("metrics", ()))]
        wanted = [f"{aspect}_{metric}" for metric in metrics for aspect in ASPECTS]
        histories = {label: [_columns(table, wanted) for table in tables] for label, tables in self._tables.items()}
        empty: JSON = {algorithm["label"]: [] for algorithm in self.facts["algorithms"]}
        live = {
            "at": f"{self.epoch}-{self.version}",
            "graph": self._graph[1],
            "cards": [seat.card or {"name": seat.name, "where": seat.where} for seat in self.seats],
            "events": [event for _, event in self._events],
            "running": self._running[1],
        }
        return {"run": {**self.facts, "histories": empty | histories}, "live": live}

    def html(self) -> str:
        """Everything, as a page."""
        return live_html(self.page())

    def policy(self) -> str:
        """The Content-Security-Policy of the page."""
        return policy()

    def since(self, epoch: int, version: int) -> JSON | None:
        """Give what is newer than a version; None when nothing is."""
        if epoch != self.epoch or version > self.version:
            return {"again": True}
        if version == self.version:
            return None
        rows = [
            [label, row]
            for label, tables in self._tables.items()
            for row in tables[-1].rows[bisect_right(tables[-1].versions, version) :]
        ]
        news: JSON = {
            "cards": {place: seat.card for place, seat in enumerate(self.seats) if seat.version > version},
            "events": [event for at, event in self._events if at > version],
            "rows": rows,
        }
        news |= {name: one for name, (at, one) in (("graph", self._graph), ("running", self._running)) if at > version}
        return {name: value for name, value in news.items() if value}

    def _next(self) -> int:
        self.version += 1
        return self.version

    def _new_epoch(self) -> None:
        self.epoch += 1
        self._next()

    def _rename(self, place: int, before: str) -> None:
        """A peer has said its name, or another one than before; a name that somebody else has keeps its place."""
        if self._places.get(before) == place:
            del self._places[before]
        self._places.setdefault(self.seats[place].name, place)


def _kept(row: Mapping[str, Any]) -> JSON:
    """The columns of a row that curves are drawn of: numbers, but none of single peers."""
    return {
        name: rounded(value)
        for name, value in row.items()
        if name != "seed" and (value is None or (isinstance(value, int | float) and not isinstance(value, bool)))
    }


def _columns(table: _Table, wanted: Sequence[str]) -> JSON:
    """The columns of a table, also the `wanted` ones of which there is nothing yet: charts ask for them."""
    names = dict.fromkeys([*(name for row in table.rows for name in row), *wanted])
    return {"seed": table.seed} | {name: [row.get(name) for row in table.rows] for name in names}
