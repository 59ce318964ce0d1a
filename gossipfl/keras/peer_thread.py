"""One peer over HTTP in a thread with an event loop of its own, beside the thread in which `fit` runs."""

import asyncio
import threading

from gossipfl.deploy.checked_peer import CheckedPeer
from gossipfl.deploy.recorded_peer import RecordedPeer
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.loop_reports import report
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.experiments.experiment import Cast
from gossipfl.keras.fit_room import FitRoom
from gossipfl.runs.peer_directory import PeerDirectory


class PeerThread:
    """The peer of `checked`, whose local work is done in `room` by another thread; `start`, then `join`."""

    def __init__(self, checked: CheckedPeer, cast: Cast, facts: RunFacts) -> None:
        self.room = FitRoom(cast.trainer)
        self.listens = ""
        """Where the peer does, in words, once it has begun."""
        self._checked, self._cast, self._facts = checked, cast, facts
        self._host: HTTPPeer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None
        self._has_begun = threading.Event()
        # A daemon: a program that ends in the middle of fit is to its neighbors as one that was killed.
        self._thread = threading.Thread(target=self._run, name=f"peer {checked.options.name}", daemon=True)

    @property
    def host(self) -> HTTPPeer:
        """The engine around the peer, which has begun."""
        assert self._host is not None
        return self._host

    @property
    def has_finished(self) -> bool:
        """True if no further round begins."""
        return self.host.peer.finished or not self._thread.is_alive()

    def start(self) -> None:
        """Listen. Raises ConfigurationError when the directory or the port cannot be had."""
        self._thread.start()
        self._has_begun.wait()
        if self._host is None:
            self.join()

    def stop(self) -> None:
        """Let it leave: it says goodbye, and ends within seconds."""
        if self._loop is not None and self._host is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._host.stop)

    def join(self) -> None:
        """Wait for its end. Raises what it ended with."""
        self.wait()
        if self._failure is not None:
            raise self._failure

    def wait(self) -> None:
        """Wait for its end, whatever it is."""
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._until_over())

    async def _until_over(self) -> None:
        (self._failure,) = await asyncio.gather(self._live(), return_exceptions=True)
        self.room.end()
        self._has_begun.set()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(report)
        options = self._checked.options
        with PeerDirectory.opened(options.run_directory, resume=options.resume) as directory:
            peer = RecordedPeer(self._checked, self._cast, self._facts, directory, room=self.room)
            try:
                await peer.open()
                self.listens, self._host = peer.listens, peer.host
                self._has_begun.set()
                await peer.run()
            finally:
                await peer.close()
