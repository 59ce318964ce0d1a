"""TCP proxies between peers that pass everything on and count it: payloads and segments, as the kernel tells them."""

import asyncio
import contextlib
import socket
import struct

_SEGMENTS = slice(136, 144)
"""`tcpi_segs_out` and `tcpi_segs_in` in Linux's `struct tcp_info`, since 4.2."""

HEADERS_PER_SEGMENT = 52
"""IPv4, TCP and its time stamps: 20 + 20 + 12 bytes."""


class CountingProxy:
    """Proxies in front of any number of servers; counts bytes of both directions between the clients and itself."""

    def __init__(self) -> None:
        self.payload = 0
        self._segments: dict[socket.socket, int] = {}
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def num_bytes(self) -> int:
        """What went over the wire, both ways: payloads, and the headers of their segments and acknowledgements."""
        return self.payload + HEADERS_PER_SEGMENT * sum(self._segments.values())

    async def open(self, url: str) -> str:
        """The URL of a new proxy in front of the server at `url`."""
        scheme, _, address = url.partition("://")
        host, _, port = address.partition(":")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            upstream, downstream = await asyncio.open_connection(host, int(port))
            connection = writer.get_extra_info("socket")
            passing = [
                asyncio.ensure_future(self._pass_on(*way, connection))
                for way in ((reader, downstream), (upstream, writer))
            ]
            try:
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in passing:
                    way.cancel()
                for side in (writer, downstream):
                    side.close()
                    with contextlib.suppress(ConnectionError):
                        await side.wait_closed()
                self._connections.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._servers.append(server)
        return f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=5.0)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: socket.socket
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(2**16):
                self.payload += len(data)
                with contextlib.suppress(OSError):  # it was closed meanwhile
                    self._segments[connection] = _num_segments(connection)
                writer.write(data)
                await writer.drain()


def _num_segments(connection: socket.socket) -> int:
    sent, received = struct.unpack("=II", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)[_SEGMENTS])
    return sent + received
