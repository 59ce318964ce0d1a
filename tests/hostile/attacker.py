"""A client that minds no rules: it writes raw bytes, as slowly, as many and as garbled as it likes."""

import asyncio
import json
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from deadline import DEADLINE

from gossipfl.engines.http.trust.certificates import server_name


@dataclass(frozen=True, slots=True)
class Told:
    """What the victim answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def reason(self) -> str:
        return str(json.loads(self.body)["reason"]) if self.body else ""

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


class Wire:
    """One connection of an attacker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.port: int = writer.get_extra_info("sockname")[1]

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext | None = None, receive_buffer: int = 0) -> Self:
        """Connect; `receive_buffer` makes the kernel keep as few bytes as it can."""
        endpoint = socket.socket(proto=socket.IPPROTO_TCP)  # else asyncio leaves Nagle's algorithm on
        if receive_buffer:
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        endpoint.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(endpoint, ("127.0.0.1", port))
        except BaseException:
            endpoint.close()
            raise
        try:
            name = None if tls is None else server_name("a")
            return cls(*await asyncio.open_connection(sock=endpoint, ssl=tls, server_hostname=name))
        except BaseException:
            with suppress(OSError):
                endpoint.shutdown(socket.SHUT_RDWR)  # asyncio would wait for the other side's end of TLS
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def send(self, data: bytes) -> None:
        """Write; that the other side has hung up is no surprise."""
        with suppress(OSError):
            if not self.writer.is_closing():
                self.writer.write(data)
                await self.writer.drain()

    def stop_reading(self) -> None:
        """Leave everything to the kernel: asyncio's TLS would read on."""
        self.below_tls().pause_reading()

    def below_tls(self) -> asyncio.Transport:
        """What TLS writes to, where there is TLS."""
        protocol = getattr(self.writer.transport, "_ssl_protocol", None)
        return self.writer.transport if protocol is None else protocol._transport

    async def told(self, seconds: float = DEADLINE, *, with_body: bool = True) -> Told:
        """The next answer. Raises EOFError when the connection ends without one."""
        async with asyncio.timeout(seconds):
            head = (await self._exactly_until(b"\r\n\r\n")).decode("ascii").split("\r\n")
            version, status, _ = head[0].split(" ", 2)
            assert version.startswith("HTTP/"), head
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")) if with_body else 0)
            return Told(int(status), headers, body)

    async def ends(self, seconds: float = DEADLINE) -> bytes:
        """Wait until the victim has hung up; gives what it still said."""
        rest = b""
        async with asyncio.timeout(seconds):
            with suppress(ConnectionError, ssl.SSLError):
                while data := await self.reader.read(2**16):
                    rest += data
        return rest

    async def _exactly_until(self, separator: bytes) -> bytes:
        try:
            return await self.reader.readuntil(separator)
        except ConnectionError as error:
            raise EOFError from error


def http(start: str, headers: Mapping[str, str] | None = None, body: bytes = b"", **more: str) -> bytes:
    """A request, framed as told and not as it should be; `_` in the names of `more` stands for `-`."""
    fields = {"Host": "a", **(headers or {}), **{name.replace("_", "-"): value for name, value in more.items()}}
    lines = [f"{start} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
