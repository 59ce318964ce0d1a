"""A network that meddles: TCP proxies between peers that delay, cut, swallow and repeat HTTP requests and answers."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal, TypeAlias

import numpy as np
from loopback import Loopback

from gossipfl.weights import PeerId

Fate: TypeAlias = Literal[
    "pass", "delay", "drop request", "cut request", "drop answer", "cut answer", "repeat", "repeat and answer that"
]

HARSH: dict[Fate, float] = {
    "pass": 0.4,
    "delay": 0.1,
    "drop request": 0.1,
    "cut request": 0.05,
    "drop answer": 0.15,
    "cut answer": 0.05,
    "repeat": 0.1,
    "repeat and answer that": 0.05,
}
"""The share of requests that meets each fate."""

LONGEST_DELAY = 0.05


class MeddlingProxy:
    """Proxies in front of any number of servers; every request draws its fate. `calm` ends all meddling.

    `spared(request)` says which requests always pass.
    """

    def __init__(
        self,
        seed: int,
        shares: dict[Fate, float] = HARSH,
        spared: Callable[[bytes], bool] = lambda request: False,
    ) -> None:
        self.fates: Counter[Fate] = Counter()
        self._generator = np.random.default_rng(seed)
        self._shares = shares
        self._spared = spared
        self._is_calm = False
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()

    def calm(self) -> None:
        self._is_calm = True

    async def open(self, url: str) -> str:
        """The URL of a new proxy in front of the server at `url`."""
        host, _, port = url.removeprefix("http://").partition(":")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            try:
                await self._serve(reader, writer, host, int(port))
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.transport.abort()
                with suppress(asyncio.CancelledError):  # asyncio logs a handler that ends by being cancelled
                    await closed(writer)
                self._connections.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**24)
        self._servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections)

    def _fate(self, request: bytes) -> Fate:
        if self._is_calm or self._spared(request):
            return "pass"
        names = list(self._shares)
        fate = names[int(self._generator.choice(len(names), p=list(self._shares.values())))]
        self.fates[fate] += 1
        return fate

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
        while True:
            request = await one_message(reader)
            fate = self._fate(request)
            if fate == "drop request":
                return
            if fate == "delay":
                await asyncio.sleep(LONGEST_DELAY * self._generator.random())
            upstream, downstream = await asyncio.open_connection(host, port, limit=2**24)
            try:
                if fate == "cut request":
                    downstream.write(request[: int(self._generator.integers(1, len(request)))])
                    await downstream.drain()
                    return
                downstream.write(request)
                answer = await one_message(upstream)
                if fate.startswith("repeat"):
                    downstream.write(request)
                    again = await one_message(upstream)
                    answer = again if fate == "repeat and answer that" else answer
            finally:
                downstream.close()
                await closed(downstream)
            if fate == "drop answer":
                return
            if fate == "cut answer":
                writer.write(answer[: int(self._generator.integers(1, len(answer)))])
                await writer.drain()
                return
            writer.write(answer)
            await writer.drain()


async def closed(writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        await writer.wait_closed()


async def one_message(reader: asyncio.StreamReader) -> bytes:
    """One HTTP request or answer, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


@asynccontextmanager
async def meddled(loopback: Loopback, proxy: MeddlingProxy) -> AsyncIterator[None]:
    """All peers listen, and talk to each other through the proxy."""
    await loopback.listen()
    ways: dict[tuple[PeerId, PeerId], str] = {}
    for sender, receiver in (link for edge in loopback.network.edges for link in (edge, edge[::-1])):
        url = loopback.addresses[receiver]
        if url is not None:
            ways[sender, receiver] = await proxy.open(url)
    loopback.connect(lambda sender, receiver, url: ways.get((sender, receiver), url))
    try:
        yield
    finally:
        await proxy.close()
