"""A peer's endpoints in somebody's aiohttp application, which answer while the peer lives.

Connections, their number and their deadlines are the application's there. So a connection is closed after whatever is
refused; bodies are still read within the bounds of the run, and by the deadlines of the peer.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeAlias

from aiohttp import web

from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.serving.connections import SERVER
from gossipfl.engines.http.watch import Watch
from gossipfl.engines.http.wire.limits import TokenBucket
from gossipfl.engines.http.wire.refusals import Refusal
from gossipfl.weights import PeerId

Routes: TypeAlias = Sequence[web.RouteDef]
"""Routes as `add_routes` of an application takes them."""

_MESSAGES = (("GET", "/v1/session"), ("POST", "/v1/messages"))
_PAGES = ("/healthz", "/status", "/metrics")


class Mounting:
    """The place of one peer in an application: empty until the peer `moves_in`, and after it is over."""

    def __init__(self) -> None:
        self._host: HTTPPeer | None = None
        self._watch: Watch | None = None
        self._is_open = False
        self._bucket: TokenBucket | None = None

    def moves_in(self, host: HTTPPeer, watch: Watch, *, is_open: bool) -> None:
        """Let this peer answer from now on; where it `is_open`, also whoever comes from another machine."""
        self._host, self._watch, self._is_open = host, watch, is_open
        self._bucket = TokenBucket(host.hosting.limits.requests_per_second, asyncio.get_running_loop().time)

    def moves_out(self) -> None:
        """Let nobody answer."""
        self._host = self._watch = None

    def messages(self, prefix: str) -> Routes:
        """The routes by which neighbors talk to the peer."""

        def route(method: str, path: str) -> web.RouteDef:
            async def answer(request: web.Request) -> web.StreamResponse:
                return await self._message(request, path)

            # The peer itself says that a body may come, when it knows that it would take it.
            return web.RouteDef(method, prefix + path, answer, {"expect_handler": _waits})

        return [route(method, path) for method, path in _MESSAGES]

    def pages(self, prefix: str) -> Routes:
        """The routes by which the peer is watched."""

        def route(path: str) -> web.RouteDef:
            async def answer(request: web.Request) -> web.StreamResponse:
                if self._watch is None:
                    return web.json_response({"state": "over"}, status=503)
                return self._watch.answer(request.method, path)

            return web.get(prefix + path, answer)

        return [route(path) for path in _PAGES]

    async def _message(self, request: web.Request, path: str) -> web.StreamResponse:
        if self._host is None or self._bucket is None:
            return _refused(Refusal("not_ready"))
        if not self._is_open and not _is_local(request):
            refusal = Refusal("not_found", "this peer has no certificates, and serves its own machine alone")
            self._host.refusals[refusal.reason] += 1
            return _refused(refusal)
        return await self._host.server.serve(request, path, _Guest(request, self._bucket))


async def _waits(request: web.Request) -> None:
    return None


def _refused(refusal: Refusal) -> web.Response:
    response = web.Response(status=refusal.status, body=refusal.body(), content_type="application/json")
    response.headers["Server"] = SERVER
    response.force_close()
    return response


def _is_local(request: web.Request) -> bool:
    """True if the request came in at an address that other machines do not reach."""
    where: Any = None if request.transport is None else request.transport.get_extra_info("sockname")
    return isinstance(where, str) or (where is not None and ip_address(where[0].partition("%")[0]).is_loopback)


@dataclass(slots=True)
class _Guest:
    """A request at somebody else's server, in place of a connection of the peer's own."""

    request: web.Request
    bucket: TokenBucket
    sender: PeerId = ""
    num_failures: int = 0

    def serving(self, is_serving: bool) -> None:
        """The application has deadlines of its own."""

    def failed(self) -> bool:
        return True

    def end_with(self, response: web.StreamResponse) -> None:
        response.force_close()

    def turn_away(self, refusal: Refusal) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()
