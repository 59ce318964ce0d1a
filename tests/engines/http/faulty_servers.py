"""Servers that go wrong in the ways in which servers do, and the addresses of some that are not there."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from gossipfl.engines.http.wire.envelope import SESSION

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads the headers and resets the connection."""
    await reader.readuntil(b"\r\n\r\n")
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes everything and never answers."""
    while await reader.read(65_536):
        pass


async def silent_after_meeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Tells its session as a peer does, and then never answers."""
    if (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET"):
        writer.write(b"HTTP/1.1 204 No Content\r\n%s: %s\r\n\r\n" % (SESSION.encode(), b"0" * 32))
    await silent(reader, writer)


async def half_an_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hangs up in the middle of its answer."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def web_site(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Is something else altogether."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
    await writer.drain()


async def refused(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Stands for a port on which nobody listens."""


FAULTS: list[Serve] = [refused, reset, silent, silent_after_meeting, half_an_answer, web_site]


@asynccontextmanager
async def faulty(serve: Serve) -> AsyncIterator[str]:
    """The URL of such a server."""
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError, asyncio.CancelledError):  # asyncio logs a handler that ends by being cancelled
            await writer.wait_closed()
        tasks.discard(task)

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if serve is refused:
        server.close()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks)
