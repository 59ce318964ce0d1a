"""Connections that cannot be held for nothing: deadlines both ways, a cap on their number, all errors counted."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import web

from gossipfl.engines.http.wire.limits import Limits, TokenBucket
from gossipfl.engines.http.wire.refusals import Refusal
from gossipfl.weights import PeerId

_LOGGER = logging.getLogger(__name__)

SERVER = "gossipfl"
"""The name that the server gives itself; aiohttp would tell strangers its version, and that of Python."""


class Connection(web.RequestHandler):
    """One connection of the server; `sender` is who sent the last valid request over it, "" for a stranger."""

    def __init__(self, server: "ConnectionServer", **options: Any) -> None:
        super().__init__(server, **options)
        self._max_msg_queue_size, self._msg_queue_resume_size = 2, 1  # whoever sends on without waiting may wait
        self._server = server
        self._deadline: asyncio.TimerHandle | None = None
        self._is_serving = False
        self._is_last = False
        self._is_deaf = False
        self._raw: asyncio.Transport | None = None  # until it is lost; aiohttp forgets it when it begins to close
        self.opening: asyncio.Task[bool] | None = None
        self.sender: PeerId = ""
        self.num_failures = 0
        self.bucket = TokenBucket(server.limits.requests_per_second, asyncio.get_running_loop().time)

    # What asyncio and aiohttp call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._raw = self.transport
        self._expect_headers()
        assert self._task_handler is not None
        self._task_handler.add_done_callback(self._is_closing)
        if not self._server.is_welcome(transport):
            refusal = Refusal("revoked")
            self._is_deaf = True
            self._server.refuse(refusal)
            self._say(refusal)
            transport.close()  # not at once, as a stranger's: its owner may read why

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        super().data_received(data)
        if data and not self._is_serving and not self._messages:  # headers, and not all of them
            self._expect_headers()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._raw = None
        self._stop_deadline()
        self._server.forget(self)
        super().connection_lost(exc)

    def force_close(self) -> None:
        if self._raw is not None and self._raw.is_closing():
            self._raw.abort()  # a TLS transport that is closed twice cannot be aborted any more
        super().force_close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        seconds: float | None = self._server.limits.closing_seconds
        if self.transport is not None and self.transport.get_write_buffer_size() == 0:
            seconds = None  # the reader keeps up, and what is left of the answer is small: spare the timer
        try:
            async with asyncio.timeout(seconds):
                finished = await super().finish_response(request, resp, start_time)
        except TimeoutError:
            self.turn_away(Refusal("slow_reader"))
            return resp, True
        if request.content.is_eof():
            return finished
        with suppress(TimeoutError, web.RequestPayloadError, OSError):
            async with asyncio.timeout(self._server.limits.closing_seconds):
                # Throw away what is left of a body, so that the sender sees the answer and not a reset.
                while self.transport is not None and not request.content.is_eof():
                    await request.content.readany()
        return finished

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what aiohttp could not read as HTTP, or what went wrong in serving it; its own page would tell the
        sender about this process."""
        if isinstance(exc, ConnectionError):
            raise exc  # nobody is there any more
        refusal = Refusal("malformed_http")
        if status >= 500:
            _LOGGER.error("a request failed by a defect of this program", exc_info=exc)
            refusal = Refusal("internal_error")
        self._server.refuse(refusal)
        if request.writer.output_size > 0:
            raise ConnectionResetError("an answer is under way already")
        response = web.Response(
            status=refusal.status, body=refusal.body(), content_type="application/json", headers={"Server": SERVER}
        )
        self.end_with(response)
        return response

    # What the server calls

    def serving(self, is_serving: bool) -> None:
        """The headers of a request are here, or its answer is on its way."""
        self._is_serving = is_serving or self._is_last
        self._stop_deadline()

    def failed(self) -> bool:
        """Note a refusal; True when the connection has had enough of them."""
        self.num_failures += 1
        return self.num_failures >= self._server.limits.failures_per_connection

    def end_with(self, response: web.StreamResponse) -> None:
        """Close the connection after this answer; what still comes is no longer looked at."""
        response.force_close()
        self._is_last = True
        self.serving(True)

    def turn_away(self, refusal: Refusal) -> None:
        """Hang up; say why, unless an answer to something else is under way."""
        self._server.refuse(refusal)
        if not self._is_serving:
            self._say(refusal)
        self.hang_up()

    def _say(self, refusal: Refusal) -> None:
        if self.transport is not None:
            body = refusal.body()
            head = f"HTTP/1.1 {refusal.status} {refusal.reason}\r\nContent-Type: application/json\r\n"
            self.transport.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)

    def hang_up(self) -> None:
        """Close at once, whatever is still to be written."""
        self._server.forget(self)
        if self._raw is not None:
            self._raw.abort()
        elif self.opening is not None:
            self.opening.cancel()
        self.force_close()

    def _expect_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self._loop.call_later(self._server.limits.header_seconds, self._too_slow)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self.turn_away(Refusal("slow_headers"))

    def _is_closing(self, _: object) -> None:
        """aiohttp has begun to close, and would wait for ever for a client that does not read the last answer."""
        if self._raw is not None:
            self._loop.call_later(self._server.limits.closing_seconds, self.hang_up)


class ConnectionServer(web.Server):
    """aiohttp's low-level server, each of whose connections is a `Connection`; `refuse` counts what is refused. One
    whose other end is not welcome is closed after its TLS handshake, before it is read."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Any],
        limits: Limits,
        refuse: Callable[[Refusal], None],
        is_welcome: Callable[[asyncio.BaseTransport], bool] = lambda transport: True,
    ) -> None:
        super().__init__(handler)
        self._options: dict[str, Any] = {
            "loop": asyncio.get_running_loop(),
            "keepalive_timeout": limits.idle_seconds,
            "auto_decompress": False,
            "lingering_time": 0,  # see Connection.finish_response
            "max_line_size": 2048,
            "max_field_size": 4096,
            "max_headers": 40,
            "access_log": None,
        }
        self.limits = limits
        self.refuse = refuse
        self.is_welcome = is_welcome
        self._open: dict[Connection, None] = {}  # from the first byte to the last, the oldest first

    def __call__(self) -> Connection:
        return Connection(self, **self._options)

    def admit(self, newest: Connection) -> None:
        """Take in one more. When there are too many, close the oldest of those that have not carried a valid request;
        when all have, the oldest of the peer that holds the most."""
        if len(self._open) >= self.limits.max_connections:
            holders = Counter(connection.sender for connection in self._open)
            holder = "" if "" in holders else holders.most_common(1)[0][0]
            oldest = next(connection for connection in self._open if connection.sender == holder)
            oldest.turn_away(Refusal("too_many_connections"))
        self._open[newest] = None

    async def shutdown(self, timeout: float | None = None) -> None:
        await super().shutdown(timeout)
        for connection in list(self._open):
            connection.hang_up()

    def forget(self, connection: Connection) -> None:
        self._open.pop(connection, None)
