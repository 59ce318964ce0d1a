"""Connections that cannot be held for nothing: deadlines for headers, a cap on their number, all errors counted."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from gossipfl.engines.http.limits import Limits, TokenBucket
from gossipfl.engines.http.refusals import Refusal


class Connection(web.RequestHandler):
    """One connection of the server; `is_trusted` once a valid request came over it."""

    def __init__(self, server: "ConnectionServer", **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._deadline: asyncio.TimerHandle | None = None
        self._is_serving = False
        self.is_trusted = False
        self.num_failures = 0
        self.bucket = TokenBucket(server.limits.requests_per_second, asyncio.get_running_loop().time)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._expect_headers()
        self._server.make_room(self)

    def data_received(self, data: bytes) -> None:
        if not self._is_serving:
            self._expect_headers()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_deadline()
        super().connection_lost(exc)

    def serving(self, is_serving: bool) -> None:
        """The headers of a request are here, or its answer is on its way."""
        self._is_serving = is_serving
        self._stop_deadline()

    def failed(self, limit: int) -> bool:
        """Note a refusal; True when the connection has had enough of them."""
        self.num_failures += 1
        return self.num_failures >= limit

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What aiohttp could not read as HTTP; its own page would tell the sender about this process."""
        refusal = Refusal("malformed_http") if status < 500 else Refusal("stopping")
        self._server.refuse(refusal)
        response = web.Response(status=refusal.status, body=refusal.body(), content_type="application/json")
        response.force_close()
        return response

    def _expect_headers(self) -> None:
        if self._deadline is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._server.limits.header_seconds, self._too_slow)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self._server.refuse(Refusal("slow_headers"))
        self.force_close()


class ConnectionServer(web.Server):
    """aiohttp's low-level server with connections of the kind above; `refuse` counts what is refused."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Any],
        limits: Limits,
        refuse: Callable[[Refusal], None],
    ) -> None:
        # Headers are small; bodies are never inflated; what follows a refusal is read for a second and thrown away, so
        # that the sender sees the answer and not a reset.
        super().__init__(handler)
        self._options: dict[str, Any] = {
            "loop": asyncio.get_running_loop(),
            "keepalive_timeout": limits.idle_seconds,
            "auto_decompress": False,
            "lingering_time": 1.0,
            "max_line_size": 2048,
            "max_field_size": 4096,
            "max_headers": 40,
            "access_log": None,
        }
        self.limits = limits
        self.refuse = refuse

    def __call__(self) -> Connection:
        return Connection(self, **self._options)

    def make_room(self, newest: Connection) -> None:
        """When there are too many connections, close the oldest that has not carried a valid request."""
        connections = [connection for connection in self.connections if connection.transport is not None]
        if len(connections) <= self.limits.max_connections:
            return
        strangers = [connection for connection in connections if not connection.is_trusted]  # type: ignore[attr-defined]
        self.refuse(Refusal("too_many_connections"))
        (strangers[0] if strangers else newest).force_close()
