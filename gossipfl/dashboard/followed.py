"""A board of peers that are watched from afar: their cards, their graph, and what they are in the mean, over time."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from math import nan
from statistics import fmean, median_low
from typing import Any

from gossipfl import __version__
from gossipfl.dashboard.board import MAX_SEATS, Board
from gossipfl.dashboard.card import JSON, MAX_METRICS, number, short, shown_metrics
from gossipfl.dashboard.drawing import drawing_of
from gossipfl.deploy.status import follow, status_page
from gossipfl.engines.http.status import PeerStatus
from gossipfl.engines.progress import Traffic
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.mode import Command, EngineKind, Mode
from gossipfl.history import Evaluation, history_row
from gossipfl.measured import Measured
from gossipfl.report.payload import page_payload
from gossipfl.runs.files import Run, Summary
from gossipfl.runs.manifest import FORMAT, Manifest, RunAlgorithm
from gossipfl.scores import LOSS, Metric
from gossipfl.training.metrics import named_metric

LABEL = "peers"
"""The one line of the charts: all peers in the mean, as each was measured last."""

_DRAW_SECONDS = 2.0
"""Between two looks at whether there are new links, for which the graph is drawn anew."""


class Followed:
    """Follows peers and keeps a board of them; `run` does so for ever."""

    def __init__(self, urls: Sequence[str]) -> None:
        if not 1 <= len(urls) <= MAX_SEATS:
            raise ConfigurationError(
                f"a dashboard follows 1 to {MAX_SEATS:,} peers, got {len(urls):,}: name where each is watched, "
                "http://HOST:PORT"
            )
        self._urls = [status_page(url).removesuffix("/status") for url in urls]
        self._metrics: list[Metric] = []
        self.board = Board(self._facts())
        self.board.seat([short(url.partition("://")[2]) for url in self._urls], [short(url) for url in self._urls])
        self._statuses: dict[int, PeerStatus] = {}
        self._reached = -1
        self._began = time.monotonic()
        self._links: set[tuple[int, int]] | None = None

    async def run(self) -> None:
        """Follow the peers until this is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(follow(self._urls, self.told))
            group.create_task(self._draw_on())

    def told(self, place: int, answer: PeerStatus | str) -> None:
        """Note what a peer says of itself, or why it says nothing."""
        now = time.time()
        if isinstance(answer, str):
            self.board.silent(now, place, answer)
            return
        self._statuses[place] = answer
        self.board.look(now, {place: answer})
        self._see_metrics(answer)
        rounds = [number(status.rounds_done) for status in self._statuses.values()]
        known = [one for one in rounds if one is not None]
        reached = int(median_low(known)) if known else -1  # not the mean, which one liar moves as far as it likes
        if reached > self._reached:
            self._reached = reached
            self.board.row(LABEL, 0, self._row(reached))
        alike = {status.run for status in self._statuses.values()}
        self.board.running({"label": LABEL, "round": reached, "num_runs": len(alike)})

    def _see_metrics(self, status: PeerStatus) -> None:
        known = {metric.name for metric in self._metrics}
        new = [name for name in shown_metrics(status) if name not in known][: MAX_METRICS - len(known)]
        if new:
            self._metrics += [named_metric(name) for name in new]
            self.board.begin(self._facts())

    def _row(self, reached: int) -> Mapping[str, Any]:
        """The peers in the mean, as each was measured last, answering or not; nobody knows what is deployed of them."""
        evaluation = Evaluation(
            round=reached,
            time=time.monotonic() - self._began,
            **_counted(self._statuses.values()),
            consensus_distance=nan,
            loss=self._measured(LOSS, lambda status: status.loss),
            metrics={one.name: self._measured(one, partial(_metric, name=one.name)) for one in self._metrics},
        )
        row = history_row(LABEL, 0, evaluation)
        return {name: None if name.startswith("deployed_") else value for name, value in row.items()}

    def _measured(self, metric: Metric, value: Any) -> Measured:
        training = [number(status.training.get(metric.name)) for status in self._statuses.values()]
        trained = [one for one in training if one is not None]
        values = {str(place): number(value(status)) for place, status in self._statuses.items()}
        return Measured(metric, fmean(trained) if trained else None, None, values)

    def _facts(self) -> JSON:
        manifest = Manifest(
            format=FORMAT,
            mode=Mode(Command.PEER, EngineKind.PROCESSES),
            name=f"{len(self._urls)} peers" if len(self._urls) > 1 else "1 peer",
            gossipfl=__version__,
            algorithms=[RunAlgorithm(label=LABEL)],
            metrics=self._metrics,
        )
        return page_payload(Run(manifest, [], Summary(rows=[]), [], [])) | {"followed": True}

    async def _draw_on(self) -> None:
        """Links are added and never taken away, so that nobody makes this work for ever."""
        while True:
            await asyncio.sleep(_DRAW_SECONDS)
            places = self.board.places()
            told = {
                (min(place, other), max(place, other))
                for place, status in self._statuses.items()
                for neighbor in status.neighbors
                if (other := places.get(short(neighbor.name), place)) != place
            }
            if self._links is None or told - self._links:
                self._links = told | (self._links or set())
                self.board.draw(*await asyncio.to_thread(drawing_of, len(self._urls), sorted(self._links)))


def _counted(statuses: Any) -> dict[str, Any]:
    traffic = Traffic.of(statuses)
    return {name: number(getattr(traffic, name)) or 0 for name in ("num_bytes", "num_messages", "busiest_peer_bytes")}


def _metric(status: PeerStatus, name: str) -> float | None:
    return status.metrics.get(name)
