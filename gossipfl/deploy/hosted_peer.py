"""One peer of a scenario inside of a program of one's own, which keeps its event loop and its signals."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gossipfl.deploy.addresses import Where
from gossipfl.deploy.checked_peer import CheckedPeer
from gossipfl.deploy.measuring import Heard
from gossipfl.deploy.numbers_over_http import Hear
from gossipfl.deploy.peer_events import EventStream, PeerEvent
from gossipfl.deploy.peer_options import PeerOptions
from gossipfl.deploy.recorded_peer import RecordedPeer
from gossipfl.engines.http.mounting import Mounting, Routes
from gossipfl.engines.http.status import PeerStatus, status_of
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Cast, Experiment
from gossipfl.runs.peer_directory import PeerDirectory
from gossipfl.scenario import Scenario, given_scenario
from gossipfl.weights import PeerId, StoredModel

if TYPE_CHECKING:
    import keras


class HostedPeer:
    """One peer of a scenario in a program of one's own: an asynchronous context, in which it is `run`.

    It does what `gossipfl peer` does, in the event loop of whoever awaits it, and leaves the loop and signals alone.
    `scenario` may be its file or name. What it learns and says is in `run_directory`, from which a later life goes on
    with `resume`. `listen` is host and port, where the scenario's address of the peer is not that; `routes` put its
    endpoints into an aiohttp application instead. `addresses` are those of neighbors, `watch` host and port of
    pages on how it is; None: no port. `shard` are examples of its own in place of its share of the scenario's: a
    source as `data.source` has it. The others are the options of `gossipfl peer`.

    >>> async def take_part() -> None:
    ...     async with HostedPeer("ring_vs_fedavg", "3", "runs/3", listen=("127.0.0.1", 7003)) as peer:
    ...         await peer.run()
    ...         peer.model().summary()
    """

    def __init__(
        self,
        scenario: Scenario | str | Path,
        name: PeerId,
        run_directory: str | Path,
        *,
        algorithm: str | None = None,
        seed: int | None = None,
        listen: Where | None = None,
        addresses: Mapping[PeerId, str] | None = None,
        watch: Where | None = None,
        certificates: str | Path | None = None,
        key: str | Path | None = None,
        insecure: bool = False,
        shard: Any = None,
        initial: str | Path | None = None,
        resume: bool = False,
        download: bool = False,
    ) -> None:
        self._scenario = given_scenario(scenario)
        self._options = PeerOptions(
            name,
            Path(run_directory),
            "gossipfl.HostedPeer",
            algorithm=algorithm,
            seed=seed,
            listen=listen,
            addresses=addresses or {},
            watch=watch,
            certificates=None if certificates is None else Path(certificates),
            key=None if key is None else Path(key),
            insecure=insecure,
            shard=shard,
            initial=None if initial is None else Path(initial),
            resume=resume,
            download=download,
        )
        self._mounting = Mounting()
        self._streams: list[EventStream] = []
        self._stack = AsyncExitStack()
        self._cast: Cast | None = None
        self._recorded: RecordedPeer | None = None
        self._living: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[Any] | None = None
        self._is_cancelled = False  # before it has begun
        self.address: Where | None = None
        """Where it listens; None before, and for one that is mounted or polls."""

    # Its endpoints in an application

    def routes(self, prefix: str = "") -> Routes:
        """The routes by which neighbors talk to it, for `add_routes` of an aiohttp application; it then has no port of
        its own. Its address, with the prefix at its end, is that of the application.

        Without certificates it answers only what comes in at a loopback address, unless it is `insecure`. Raises
        ConfigurationError when it listens already.
        """
        if self._recorded is not None or self._options.listen is not None:
            raise ConfigurationError(
                f"{self._options.name} has a port of its own: mount it before it is entered, and without listen"
            )
        self._options = replace(self._options, mounted=True)
        return self._mounting.messages(prefix)

    def watch_routes(self, prefix: str = "") -> Routes:
        """The routes of `/healthz`, `/status` (JSON) and `/metrics` (Prometheus), which show it to whoever asks."""
        return self._mounting.pages(prefix)

    # Life

    async def __aenter__(self) -> "HostedPeer":
        """Load data in a thread, build the model, and listen.

        Raises ConfigurationError, DataError or TopologyError for what cannot run.
        """
        if self._recorded is not None:
            raise ConfigurationError(f"{self._options.name} has been entered before; make another HostedPeer")
        options = self._options
        checked = CheckedPeer.of(self._scenario, options)
        async with self._stack:
            opened = PeerDirectory.opened(options.run_directory, resume=options.resume)
            directory = self._stack.enter_context(opened)
            hear = partial(self._hear, asyncio.get_running_loop())
            # In this thread: while a model is built, nothing else is to draw from the process's random numbers, and
            # Keras has a dtype policy for each thread.
            cast, facts = checked.cast(await self._in_thread(partial(_loaded, checked, hear)))
            self._cast = cast
            self._recorded = RecordedPeer(checked, cast, facts, directory, self._tell)
            self._stack.push_async_callback(self._end, self._recorded)
            self.address = await self._recorded.open()
            is_open = options.insecure or options.certificates is not None
            self._mounting.moves_in(self._recorded.host, self._recorded.watch, is_open=is_open)
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def run(self) -> PeerStatus:
        """Live until all rounds are done and the neighbors know; gives how it stands then.

        When cancelled, it leaves: it drops the unfinished round, tells its neighbors, and is over within seconds.
        Raises TrainingError when local training fails, OSError when the disk takes nothing, ConfigurationError when all
        neighbors say that it is of another run.
        """
        recorded = self._entered()
        if self._living is None:
            self._living = asyncio.create_task(recorded.run())
            self._living.add_done_callback(lambda living: self._is_over())
        try:
            await asyncio.shield(self._living)
        except asyncio.CancelledError:
            recorded.host.stop()
            await asyncio.wait([self._living])
            raise
        return self.status()

    def stop(self) -> None:
        """Leave, as one that is cancelled; `run` then ends as if all were done."""
        self._entered().host.stop()

    # What it tells

    @property
    def run_id(self) -> str:
        """The digest of all that its neighbors must agree on."""
        return self._entered().host.facts.run_id

    def status(self) -> PeerStatus:
        """The peer's words on itself."""
        return status_of(self._entered().host)

    def model(self) -> "keras.Model":
        """A Keras model of its own with what the peer knows now; takes about half a second.

        Raises ConfigurationError for a server of sums that it cannot read, which has no model.
        """
        standing = self._entered().host.peer.standing
        if standing is None or self._cast is None:
            raise ConfigurationError(f"{self._options.name} reads nothing of what it adds up, so it has no model")
        models = self._cast.experiment.models(self._cast.section)
        return models.filled(StoredModel(standing.model, self._cast.trainer.constants))

    def events(self) -> EventStream:
        """The events of its life from now on, for one reader: `async for event in peer.events()`, until it is over. Of
        more than a thousand that wait the oldest are dropped, and the reader is told so: `Missed`."""
        stream = EventStream()
        self._streams.append(stream)
        if self._living is not None and self._living.done():
            stream.end()
        return stream

    def _entered(self) -> RecordedPeer:
        if self._recorded is None:
            raise ConfigurationError(f"{self._options.name} has not begun: `async with` it first")
        return self._recorded

    def _tell(self, event: PeerEvent) -> None:
        for stream in self._streams:
            stream.put(event)

    def _is_over(self) -> None:
        self._mounting.moves_out()
        for stream in self._streams:
            stream.end()

    async def _end(self, recorded: RecordedPeer) -> None:
        recorded.host.stop()
        if self._living is not None:
            await asyncio.wait([self._living])  # `run` raises what it ended with
        await recorded.close()
        self._is_over()

    # Before it begins

    def _hear(self, loop: asyncio.AbstractEventLoop, asking: Coroutine[Any, Any, Heard]) -> Heard:
        """Called in the thread: ask the others in the program's loop."""

        async def asked() -> Heard:
            self._asking = asyncio.current_task()
            if self._is_cancelled:
                asking.close()
                raise asyncio.CancelledError
            return await asking

        return asyncio.run_coroutine_threadsafe(asked(), loop).result()

    async def _in_thread(self, call: Callable[[], Experiment]) -> Experiment:
        """What takes seconds, beside the loop. When cancelled, it ends the asking, and waits for the rest."""
        running = asyncio.create_task(asyncio.to_thread(call))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._is_cancelled = True
            if self._asking is not None:
                self._asking.cancel()
                await asyncio.wait([self._asking])
            await asyncio.gather(running, return_exceptions=True)
            raise


def _loaded(checked: CheckedPeer, hear: Hear) -> Experiment:
    """The experiment, with the numbers that it needs of all."""
    _import_framework()
    experiment = checked.experiment(hear=hear)
    _ = experiment.numbers
    return experiment


def _import_framework() -> None:
    """Import what models are built with, which takes seconds."""
    from gossipfl.training.keras import trainer  # noqa: F401
