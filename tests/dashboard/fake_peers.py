"""Peers that are made up, watched over real HTTP; they can be killed, and come back."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import asdict

from aiohttp import web

from gossipfl.engines.http.status import PeerStatus
from gossipfl.files.strict_json import strict_json


class FakePeers:
    """Peers that are watched at one port, each at a path of its own: `tell` gives the status of each."""

    def __init__(self, tell: Callable[[int], PeerStatus]) -> None:
        self._tell = tell
        self._server: web.Server | None = None
        self._listening: asyncio.Server | None = None
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    def urls(self, num_peers: int) -> list[str]:
        return [f"http://127.0.0.1:{self.port}/{place}" for place in range(num_peers)]

    async def start(self) -> None:
        self._server = web.Server(self._answer)
        listening = self._socket if self._socket.fileno() >= 0 else socket.create_server(("127.0.0.1", self.port))
        self._listening = await asyncio.get_running_loop().create_server(self._server, sock=listening)

    async def kill(self) -> None:
        assert self._listening is not None
        assert self._server is not None
        self._listening.close()
        await self._server.shutdown(0.1)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        told = self._tell(int(request.path.split("/")[1]))
        return web.Response(text=strict_json(asdict(told)), content_type="application/json")
