"""Accepts connections one by one, so that each of them is counted and can be closed from its first byte on.

asyncio's own servers tell their protocols nothing of a connection before its TLS handshake has succeeded: those that
never do are neither limited in number nor counted when they fail.
"""

import asyncio
import logging
import socket
import ssl
from functools import partial
from typing import Any

from gossipfl.engines.http.serving.connections import Connection, ConnectionServer
from gossipfl.engines.http.trust.alerts import OPENING, alert_in
from gossipfl.engines.http.wire.refusals import Refusal

_LOGGER = logging.getLogger(__name__)

_BACKLOG = 256
_PAUSE = 0.1
"""Seconds until the next try when the operating system has no sockets left."""

_CLOSING_SECONDS = 0.2
"""For answers that are being written."""


class Listener:
    """Listens for a `ConnectionServer`, with TLS where there is a context."""

    def __init__(self, server: ConnectionServer, tls: ssl.SSLContext | None) -> None:
        self._server = server
        self._tls = tls
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sockets: list[socket.socket] = []
        self._was_told = False

    async def start(self, where: tuple[str, int] | socket.socket) -> tuple[str, int]:
        """Listen on host and port (0 takes any free one), or on a bound socket; gives host and port.

        Raises OSError when the port is taken.
        """
        self._sockets = [where] if isinstance(where, socket.socket) else await _bound(*where)
        for listening in self._sockets:
            listening.listen(_BACKLOG)
            listening.setblocking(False)
        address: tuple[str, int] = self._sockets[0].getsockname()[:2]
        for listening in self._sockets:
            self._listen(listening)
        return address

    async def stop(self) -> None:
        """Accept nobody any more, drop those whose handshake is not done, and what is under way after a moment."""
        for listening in self._sockets:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        for opening in self._tasks:
            opening.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._server.pre_shutdown()
        await self._server.shutdown(_CLOSING_SECONDS)

    def _listen(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        """One connection at a time: many at once are not a reason to do nothing else."""
        # Not `loop.sock_accept`: a connection that comes in the moment in which that is cancelled would stay open.
        loop = asyncio.get_running_loop()
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            loop.remove_reader(listening)
            loop.call_later(_PAUSE, self._listen, listening)
            return
        accepted.setblocking(False)
        connection = self._server()
        connection.opening = asyncio.create_task(self._open(accepted, connection))
        connection.opening.add_done_callback(partial(self._opened, accepted, connection))
        self._tasks.add(connection.opening)
        self._server.admit(connection)

    async def _open(self, accepted: socket.socket, connection: Connection) -> bool:
        OPENING.set(accepted)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else self._server.limits.header_seconds,
                ssl_shutdown_timeout=None if self._tls is None else self._server.limits.closing_seconds,
            )
        except OSError as error:
            told = alert_in(error)
            if told and not self._was_told:  # once: a stranger can say it, too
                self._was_told = True
                _LOGGER.warning("a caller has hung up: %s", told)
            self._server.refuse(Refusal("tls_handshake", told or str(error)))
            return False
        return True

    def _opened(self, accepted: socket.socket, connection: Connection, opening: asyncio.Task[bool]) -> None:
        self._tasks.discard(opening)
        if opening.cancelled() or not opening.result():
            connection.hang_up()
            accepted.close()


async def _bound(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of a host, all with the same port. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in found:
            sockets.append(socket.create_server((str(address[0]), port), family=family, backlog=_BACKLOG))
            port = sockets[0].getsockname()[1]
    except OSError:
        for bound in sockets:
            bound.close()
        raise
    return sockets
