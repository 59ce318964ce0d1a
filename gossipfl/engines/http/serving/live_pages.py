"""Serves a page, and a stream of what is newer than what the page has seen. It takes nothing from anybody.

A page is given to whoever is on this machine, or has the token; never to another page (`origins`). Streams are as many
as `MAX_STREAMS`, and have no queues: each asks for what is newer, when the last has been written.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any, Final, Protocol

from aiohttp import web

from gossipfl.engines.http.serving.connections import SERVER, Connection, ConnectionServer
from gossipfl.engines.http.serving.listener import Listener
from gossipfl.engines.http.serving.origins import is_loopback, is_same_secret, why_foreign
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.errors import ConfigurationError
from gossipfl.files.strict_json import strict_json

MAX_STREAMS = 16
"""Pages that are followed at a time; whoever is one more is told to come later."""

TICK_SECONDS = 0.4
"""Between two looks at what is new. Shorter: smoother, at the expense of the processor, here and in the browser."""

_ALIVE_SECONDS = 10.0
"""A stream that has nothing to say says so, and finds out if its page is gone."""

_WRITE_SECONDS = 10.0
"""A page that does not read for so long loses its stream, and comes again."""

_LIMITS: Final = Limits(idle_seconds=15.0, max_connections=64)


class Shown(Protocol):
    """Something that changes, and what there is to see of it: every change has a number, and begins anew with another
    epoch."""

    epoch: int
    version: int

    def html(self) -> str:
        """All of it, as a page that goes on from here by itself."""
        ...

    def policy(self) -> str:
        """The Content-Security-Policy of that page."""
        ...

    def since(self, epoch: int, version: int) -> Any:
        """JSON-ready values of all that is newer; None when nothing is."""
        ...


class LivePages:
    """Serves `/` and `/events` of what is shown, to those who give the `token` where there is one.

    Raises ConfigurationError for a place that others can reach, without a token.
    """

    def __init__(self, shown: Shown, host: str = "127.0.0.1", port: int = 0, token: str | None = None) -> None:
        if token is None and not is_loopback(host):
            raise ConfigurationError(
                f"a dashboard at {host} would be open to whoever reaches it: give it a --token FILE, or leave it on "
                "127.0.0.1 and reach it by `ssh -L`"
            )
        self._shown = shown
        self._where = host, port
        self._token = token
        self._listener: Listener | None = None
        self._num_streams = 0
        self._ending = asyncio.Event()
        self._cookie = "gossipfl"

    async def start(self) -> str:
        """Listen; gives the address of the page. Raises OSError when the port is taken."""
        self._listener = Listener(ConnectionServer(self._serve, _LIMITS, lambda refusal: None), None)
        host, port = await self._listener.start(self._where)
        self._cookie = f"gossipfl_{port}"  # cookies of a host are shared by all of its ports
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    async def stop(self) -> None:
        """Give every stream what is new, and end."""
        self._ending.set()
        if self._listener is not None:
            await self._listener.stop()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.serving(True)
        try:
            response = await self._answer(request)
            if request.can_read_body or "Upgrade" in request.headers:
                connection.end_with(response)
            return response
        finally:
            connection.serving(False)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        why = why_foreign(request.headers, self._where[0])
        if why is not None:
            return self._words(403, why)
        if request.path not in ("/", "/events"):
            return self._words(404, "there are / and /events")
        if request.method != "GET":
            response = self._words(405, "this page can only be read")
            response.headers["Allow"] = "GET"
            return response
        if self._token is not None and not self._is_known(request, self._token):
            given = request.query.get("token")
            if given is None or not is_same_secret(given, self._token):
                return self._words(401, "open the address with ?token=, as the command has printed it")
            return self._welcome(self._token)
        return self._page() if request.path == "/" else await self._stream(request)

    def _is_known(self, request: web.BaseRequest, token: str) -> bool:
        return is_same_secret(request.cookies.get(self._cookie, ""), token) or is_same_secret(
            request.headers.get("Authorization", ""), f"Bearer {token}"
        )

    def _welcome(self, token: str) -> web.Response:
        """The token goes into a cookie that no script reads, and out of the address."""
        response = self._words(303, "come in")
        response.headers["Location"] = "/"
        response.set_cookie(self._cookie, token, httponly=True, samesite="Strict", path="/")
        return response

    def _page(self) -> web.Response:
        return web.Response(text=self._shown.html(), content_type="text/html", charset="utf-8", headers=self._headers())

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._num_streams >= MAX_STREAMS:
            return self._words(503, "there are too many pages open already")
        seen = _position(request.headers.get("Last-Event-ID") or request.query.get("from", ""))
        response = web.StreamResponse(headers=self._headers() | {"Content-Type": "text/event-stream"})
        self._num_streams += 1
        try:
            await response.prepare(request)
            with suppress(ConnectionError, TimeoutError):  # the page is closed, or sleeps
                await self._tell(response, *seen)
        finally:
            self._num_streams -= 1
        response.force_close()
        return response

    async def _tell(self, response: web.StreamResponse, epoch: int, version: int) -> None:
        last = time.monotonic()
        is_last = False
        while not is_last:
            is_last = self._ending.is_set()
            news = self._shown.since(epoch, version)
            now = time.monotonic()
            if news is not None or now - last > _ALIVE_SECONDS:
                epoch, version = self._shown.epoch, self._shown.version
                event = f"id: {epoch}-{version}\ndata: {strict_json(news)}\n\n" if news is not None else ": \n\n"
                async with asyncio.timeout(_WRITE_SECONDS):
                    await response.write(event.encode())
                last = now
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if is_last else TICK_SECONDS):
                    await self._ending.wait()

    def _headers(self) -> dict[str, str]:
        return {
            "Server": SERVER,
            "Content-Security-Policy": self._shown.policy(),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
        }

    def _words(self, status: int, text: str) -> web.Response:
        return web.Response(status=status, text=text + "\n", headers=self._headers())


def _position(text: str) -> tuple[int, int]:
    """The epoch and the version that a page has seen; nothing where it says nonsense."""
    epoch, _, version = text.partition("-")
    if not (epoch.isdecimal() and version.isdecimal() and len(text) < 40):
        return 0, 0
    return int(epoch), int(version)
