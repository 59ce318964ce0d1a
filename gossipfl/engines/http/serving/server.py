"""The server's side: strangers are turned away at the headers, messages are read within bounds."""

import asyncio
import math
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from gossipfl.engines.http.serving.connections import SERVER, Connection, ConnectionServer
from gossipfl.engines.http.serving.listener import Listener
from gossipfl.engines.http.trust.gate import Gate
from gossipfl.engines.http.trust.verifier import BadCertificate, name_of_peer_certificate
from gossipfl.engines.http.wire.bodies import Wrapped, received, slices
from gossipfl.engines.http.wire.envelope import RUN, SESSION, Envelope, Purpose, Sealed
from gossipfl.engines.http.wire.limits import Limits, TokenBucket
from gossipfl.engines.http.wire.offloading import Offloading
from gossipfl.engines.http.wire.refusals import Refusal
from gossipfl.messages import Message
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class Reply:
    """The rider in the answer to a request; `on_end` is told whether it was written."""

    wrapped: Wrapped
    on_end: Callable[[bool], None]


class AnyConnection(Protocol):
    """A connection over which requests come: one of the peer's own server, or of somebody else's."""

    sender: PeerId
    num_failures: int
    bucket: TokenBucket

    def serving(self, is_serving: bool) -> None:
        """The headers of a request are here, or its answer is on its way."""

    def failed(self) -> bool:
        """Note a refusal; True when the connection has had enough of them."""
        ...

    def end_with(self, response: web.StreamResponse) -> None:
        """Close the connection after this answer."""

    def turn_away(self, refusal: Refusal) -> None:
        """Hang up."""


Handle = Callable[[Envelope, Message | None], Awaitable[Reply | None]]


class PeerServer:
    """Serves `POST /v1/messages` and `GET /v1/session` for one peer.

    What passes all checks goes to `handle`, whose reply rides in the answer. `refuse(sender, refusal)` counts what is
    turned away, `sender` being "" for strangers.
    """

    def __init__(
        self,
        gate: Gate,
        limits: Limits,
        offloading: Offloading,
        handle: Handle,
        refuse: Callable[[PeerId, Refusal], None],
    ) -> None:
        self._gate = gate
        self._limits = limits
        self._offloading = offloading
        self._handle = handle
        self._refuse = refuse
        clock = asyncio.get_running_loop().time
        self._buckets = {name: TokenBucket(limits.requests_per_second, clock) for name in gate.neighbors}
        self._busy: set[PeerId] = set()
        self._headers = {SESSION: gate.session, "Server": SERVER}
        self._server = ConnectionServer(self._serve, limits, lambda refusal: refuse("", refusal), self._is_welcome)
        self._listener: Listener | None = None

    async def start(self, where: tuple[str, int] | socket.socket, tls: ssl.SSLContext | None) -> tuple[str, int]:
        """Listen on host and port (0 takes any free one), or on a bound socket; gives host and port.

        Raises OSError when the port is taken.
        """
        self._listener = Listener(self._server, tls)
        return await self._listener.start(where)

    async def stop(self) -> None:
        """Stop listening, and drop what is under way after a moment."""
        if self._listener is not None:
            await self._listener.stop()

    def _is_welcome(self, transport: asyncio.BaseTransport) -> bool:
        """True if the name in the certificate at the other end, where there is one, is not revoked."""
        return _name_at(transport) not in self._gate.revoked

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        return await self.serve(request, request.path, connection)

    async def serve(self, request: web.BaseRequest, path: str, connection: AnyConnection) -> web.StreamResponse:
        """Answer one request for a path, as it is where nothing is mounted elsewhere."""
        connection.serving(True)
        sender = ""
        try:
            envelope = self._admit(request, path, connection)
            if envelope is None:
                response = self._plain(204)
                if request.can_read_body:
                    connection.end_with(response)
                return response
            sender = connection.sender = envelope.sender
            connection.num_failures = 0
            reply = await self._reply(request, envelope)
            return self._plain(204) if reply is None else await self._answer(request, connection, reply)
        except Refusal as refusal:
            self._refuse(sender, refusal)
            return self._refused(request, connection, refusal)
        finally:
            connection.serving(False)

    def _admit(self, request: web.BaseRequest, path: str, connection: AnyConnection) -> Envelope | None:
        """The envelope of a POST; None for a question about the session. Raises Refusal."""
        if request.method == "CONNECT" or "Upgrade" in request.headers:
            # aiohttp would read the body of such a request as further requests.
            raise Refusal("upgrade")
        if path == "/v1/session":
            if request.method != "GET":
                raise Refusal("method")
            _take(connection.bucket)
            if request.headers.get(RUN, self._gate.facts.run_id) != self._gate.facts.run_id:
                raise Refusal("other_run")
            return None
        if path != "/v1/messages":
            raise Refusal("not_found")
        if request.method != "POST":
            raise Refusal("method")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refusal("content_encoding")
        if request.content_length is None or "Transfer-Encoding" in request.headers:
            raise Refusal("no_length")
        # Elsewhere, TLS has ended as it does at a proxy: whose certificate it was counts for nothing, signatures do.
        caller = _caller(request) if isinstance(connection, Connection) else None
        envelope = self._gate.admit(Sealed.read(request.headers.get), request.content_length, caller)
        _take(self._buckets[envelope.sender])
        return envelope

    async def _reply(self, request: web.BaseRequest, envelope: Envelope) -> Reply | None:
        if envelope.purpose is not Purpose.MESSAGE:
            return await self._handle(envelope, None)
        if envelope.sender in self._busy:  # one message at a time bounds the memory that a neighbor can take
            raise Refusal("too_many_requests", "another message of this sender is being handled", retry_after=0.2)
        self._busy.add(envelope.sender)
        try:
            return await self._handle(envelope, await self._message(request, envelope))
        finally:
            self._busy.discard(envelope.sender)

    async def _message(self, request: web.BaseRequest, envelope: Envelope) -> Message:
        try:
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # only now that it would be taken
            # A body that came together with its headers is here: spare the timer.
            seconds = None if request.content.is_eof() else self._limits.transfer_seconds(envelope.size)
            async with asyncio.timeout(seconds):
                arrived = await received(request.content, envelope)
        except TimeoutError:
            raise Refusal("slow_body") from None
        except (web.RequestPayloadError, OSError, EOFError):
            raise Refusal("broken_body") from None
        if arrived is None:
            raise Refusal("broken_body")
        return await self._offloading.run(envelope.size, self._gate.message, envelope, *arrived)

    async def _answer(self, request: web.BaseRequest, connection: AnyConnection, reply: Reply) -> web.StreamResponse:
        wrapped = reply.wrapped
        response = web.StreamResponse(headers=wrapped.sealed.headers() | self._headers)
        response.content_type = "application/octet-stream"
        response.content_length = wrapped.size
        is_written = False
        try:
            async with asyncio.timeout(self._limits.transfer_seconds(wrapped.size)):
                await response.prepare(request)
                async for piece in slices(wrapped.parts):
                    await response.write(piece)
                await response.write_eof()
            is_written = True
        except TimeoutError:
            connection.turn_away(Refusal("slow_reader"))
            raise ConnectionResetError("the answer was not read in time") from None
        finally:
            reply.on_end(is_written)
        return response

    def _plain(self, status: int) -> web.Response:
        return web.Response(status=status, headers=self._headers)

    def _refused(self, request: web.BaseRequest, connection: AnyConnection, refusal: Refusal) -> web.Response:
        response = web.Response(
            status=refusal.status,
            body=refusal.body(),
            content_type="application/json",
            headers=self._headers,
        )
        if refusal.retry_after is not None:
            response.headers["Retry-After"] = str(math.ceil(refusal.retry_after))
        if connection.failed() or request.can_read_body or refusal.reason == "upgrade":
            connection.end_with(response)
        return response


def _take(bucket: TokenBucket) -> None:
    pause = bucket.take()
    if pause > 0:
        raise Refusal("too_many_requests", retry_after=pause)


def _caller(request: web.BaseRequest) -> PeerId | None:
    """The name in the client's certificate; None without TLS."""
    if request.transport is None:
        raise ConnectionResetError("the sender has gone")
    return _name_at(request.transport)


def _name_at(transport: asyncio.BaseTransport) -> PeerId | None:
    connection = transport.get_extra_info("ssl_object")
    if connection is None:
        return None
    certificate = connection.getpeercert(binary_form=True)
    with suppress(BadCertificate):
        return name_of_peer_certificate(certificate or b"")
    return ""
