"""The dashboard of a run in this process: a thread with a loop of its own serves it, whatever the run is doing."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from gossipfl.dashboard.board import Board
from gossipfl.dashboard.card import JSON
from gossipfl.dashboard.drawing import drawing_of
from gossipfl.dashboard.virtual_peers import is_cut_off, statuses_of
from gossipfl.engines.http.serving.live_pages import LivePages
from gossipfl.engines.http.status import PeerStatus
from gossipfl.engines.virtual.simulator import Simulator
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.mode import Command, Mode
from gossipfl.experiments.running import Engine, MakeEngine
from gossipfl.history import Evaluation, History, history_row
from gossipfl.report.payload import page_payload
from gossipfl.runs.files import Run, Summary, manifest_and_history
from gossipfl.runs.manifest import FORMAT, Manifest
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.weights import PeerId

_STOP_SECONDS = 5.0
"""For pages to get the last of it; the run has ended, and nobody waits for longer."""


class Dashboard:
    """Shows a run that is recorded in `directory` while it goes on; an `Observer`, and what `look`s at its peers.

    Peers in virtual time are shown as they are at each evaluation, those over HTTP several times a second.
    """

    def __init__(self, directory: Path, port: int = 0) -> None:
        self._directory = directory
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="dashboard", daemon=True)
        self._board = Board(_facts(_NOTHING))
        self._server: LivePages | None = None
        self._running: JSON = {}
        self._engine: Engine | None = None
        self._hub: PeerId | None = None
        self.address = ""
        """Where the page is."""

    def __enter__(self) -> "Dashboard":
        """Raises ConfigurationError when the port is taken."""
        self._thread.start()
        try:
            self.address = self._wait(self._open())
        except OSError as error:
            self._end_thread()
            raise ConfigurationError(
                f"the dashboard cannot be at port {self._port}: {error.strerror or error}; choose another with "
                "--dashboard-port"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tell(self._board.running, {**self._running, "over": True})
        assert self._server is not None
        with suppress(TimeoutError):  # pages that do not read are no fault of the run
            self._wait(self._server.stop())
        self._end_thread()

    async def _open(self) -> str:
        self._server = LivePages(self._board, port=self._port)
        return await self._server.start()

    def _wait(self, doing: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(doing, self._loop)
        return future.result(_STOP_SECONDS)

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    # Observer

    def begins(self, experiment: Experiment) -> None:
        if not self._running:
            manifest, history, _ = manifest_and_history(self._directory)  # rows of a run that goes on
            self._tell(self._board.begin, _facts(Run(manifest, [], Summary(rows=[]), [], [])))
            for row in history:
                self._tell(self._board.row, row.algorithm, row.seed, row.model_dump())
        self._now_runs({"seed": experiment.seed, "rounds": experiment.rounds})

    def evaluated(self, label: str, evaluation: Evaluation) -> None:
        self._tell(self._board.row, label, self._running["seed"], history_row(label, 0, evaluation))
        self._now_runs({**self._running, "label": label, "round": evaluation.round, "time": evaluation.time})
        engine = self._engine
        if isinstance(engine, Simulator):
            self._tell(self._look_by_name, engine.now, statuses_of(engine, evaluation, self._hub))
            if engine.network.has_outages:
                cut_off = [name for name in engine.peers if is_cut_off(engine, name)]
                self._tell(self._silent_by_name, engine.now, cut_off)

    def ended(self, history: History) -> None:
        how = "was interrupted" if history.interrupted else "has ended"
        if history.failure is not None:
            how = f"failed: {history.failure}"
        elif history.stopped is not None:
            how = f"stopped early {history.stopped}"
        self._tell(self._board.note, self._time(), f"{history.algorithm} {how}")
        self._engine = None

    # Engines

    def watched(self, make_engine: MakeEngine) -> MakeEngine:
        """Make the same engines, and show their peers."""

        def make(experiment: Experiment, section: AlgorithmSection) -> Engine:
            scenario = experiment.scenario
            graph = scenario.graph(section)
            recipe = scenario.recipe(section, graph)
            network = recipe.network(graph)
            places = {name: place for place, name in enumerate(network)}
            follows = section.follows_links or recipe.hub is not None
            links = [(places[a], places[b]) for a, b in network.edges] if follows else []
            self._tell(self._board.seat, list(network))
            self._tell(self._board.draw, *drawing_of(len(network), links))
            self._now_runs({**self._running, "label": scenario.label_of(section), "round": 0, "time": 0.0})
            self._hub, self._engine = recipe.hub, make_engine(experiment, section)
            return self._engine

        return make

    def look(self, statuses: Sequence[PeerStatus]) -> None:
        """Show what peers over HTTP say of themselves."""
        self._tell(self._look_by_name, time.time(), statuses)

    def _look_by_name(self, now: float, statuses: Sequence[PeerStatus]) -> None:
        places = self._board.places()
        self._board.look(now, {places[status.peer]: status for status in statuses if status.peer in places})

    def _silent_by_name(self, now: float, names: Sequence[PeerId]) -> None:
        places = self._board.places()
        for name in names:
            if name in places:
                self._board.silent(now, places[name], "cut off, as the scenario has it")

    def _now_runs(self, facts: JSON) -> None:
        self._running = facts
        self._tell(self._board.running, facts)

    def _time(self) -> float:
        return self._engine.now if isinstance(self._engine, Simulator) else time.time()


def _facts(run: Run) -> JSON:
    """What a report is told of a run, without its drawings, which take long to make and are not shown."""
    manifest = run.manifest.model_copy(update={"topologies": {}})
    return page_payload(replace(run, manifest=manifest)) | {"drawings": []}


_NOTHING = Run(
    Manifest(format=FORMAT, mode=Mode(Command.SIMULATE), name="preparing", algorithms=[]), [], Summary(rows=[]), [], []
)
