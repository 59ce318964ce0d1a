"""The client's side: POSTs to neighbors, and the messages that come back in the answers."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp

from gossipfl.engines.http.delivering.letters import Answer, Letter, NotTaken
from gossipfl.engines.http.delivering.sealing import Sealer
from gossipfl.engines.http.trust.alerts import OPENING, alert_in
from gossipfl.engines.http.trust.certificates import server_name
from gossipfl.engines.http.wire.bodies import as_data, received
from gossipfl.engines.http.wire.envelope import RUN, SESSION, Purpose, Sealed
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.engines.http.wire.refusals import Refusal
from gossipfl.errors import TransportError
from gossipfl.names.visible_text import visible
from gossipfl.weights import PeerId

_LONGEST_REFUSAL = 2048
"""Bytes that are read of what a neighbor says when it does not take something."""


class Client:
    """Posts letters to neighbors: sealed, streamed, with deadlines. Answers pass the same gate as requests."""

    def __init__(
        self,
        sealer: Sealer,
        limits: Limits,
        refuse: Callable[[PeerId, Refusal], None],
    ) -> None:
        self._sealer = sealer
        self._gate = sealer.gate
        self._limits = limits
        self._refuse = refuse
        self._tls: ssl.SSLContext | bool = True
        if sealer.credentials is not None:
            self._tls = sealer.credentials.client_context()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, socket_factory=_opened),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            raise_for_status=False,
        )

    async def close(self) -> None:
        await self._session.close()

    async def meet(self, name: PeerId, url: str) -> str | NotTaken:
        """The session of neighbor `name`, or why it is not told.

        Raises TransportError when it cannot be reached.
        """
        timeout = aiohttp.ClientTimeout(total=self._limits.request_seconds, sock_connect=self._limits.connect_seconds)
        headers = {RUN: self._gate.facts.run_id}
        with _as_transport_error(name, url):
            async with self._request("GET", name, url, "/v1/session", timeout, headers) as response:
                if response.status in (403, 409, 503):
                    return await _refusal(response)
                if session := _session(response):
                    return session
        raise TransportError(f"{url} answers, but is no peer of gossipfl")

    async def post(self, url: str, letter: Letter, responded: Callable[[str, int], None]) -> Answer | NotTaken | None:
        """Post a letter; gives what came back. `responded` is told the session of the neighbor ("" when it says none)
        and the size of the letter as soon as an answer begins.

        Raises TransportError when the neighbor could not be reached; the letter may have arrived all the same.
        """
        wrapped = await self._sealer.wrap(letter)
        size, limits = wrapped.size, self._limits
        waiting = limits.poll_seconds if letter.parcel.purpose is Purpose.POLL else 0
        timeout = aiohttp.ClientTimeout(
            total=limits.transfer_seconds(size + self._gate.facts.max_body_bytes) + waiting,
            sock_connect=limits.connect_seconds,
        )
        headers = wrapped.sealed.headers() | {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        name = letter.receiver
        with _as_transport_error(name, url):
            async with self._request("POST", name, url, "/v1/messages", timeout, headers, wrapped.parts) as response:
                responded(_session(response), size)
                if response.status == 204:
                    return None
                if response.status == 200:
                    return await self._answer(name, response)
                return await _refusal(response)

    def _request(
        self,
        method: str,
        name: PeerId,
        url: str,
        path: str,
        timeout: aiohttp.ClientTimeout,
        headers: Mapping[str, str],
        parts: list[memoryview] | None = None,
    ) -> "aiohttp.client._RequestContextManager":
        return self._session.request(
            method,
            url.rstrip("/") + path,
            data=as_data(parts),
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
            ssl=self._tls,
            server_hostname=server_name(name) if url.startswith("https:") else None,
        )

    async def _answer(self, name: PeerId, response: aiohttp.ClientResponse) -> Answer | None:
        """A message in an answer is verified and read as one in a request is."""
        try:
            sealed = Sealed.read(response.headers.get)
            envelope = self._gate.admit(sealed, response.content_length or 0, name)
            message = None
            if envelope.size:
                arrived = await received(response.content, envelope)
                if arrived is None:
                    raise Refusal("broken_body")
                message = await self._sealer.offloading.run(envelope.size, self._gate.message, envelope, *arrived)
            return Answer(envelope, message)
        except Refusal as refusal:
            self._refuse(name, refusal)
            return None


def _session(response: aiohttp.ClientResponse) -> str:
    """The session that an answer tells; "" when it does not."""
    session = response.headers.get(SESSION, "")
    return session if len(session) == 32 and session.isalnum() and session.isascii() else ""


async def _refusal(response: aiohttp.ClientResponse) -> NotTaken:
    reason, detail, delay = f"http_{response.status}", "", 1.0
    text = b""
    while piece := await response.content.read(_LONGEST_REFUSAL - len(text)):
        text += piece
    with suppress(ValueError, KeyError, TypeError, RecursionError, OverflowError):
        told = json.loads(text)
        reason, detail = _printable(told["reason"], 40), _printable(told["message"], 400)
        delay = min(5.0, max(0.05, float(told.get("retry_after", delay))))
    return NotTaken(reason, detail, delay)


@contextmanager
def _as_transport_error(name: PeerId, url: str) -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TransportError(f"peer {name} at {url} cannot be reached: {_said(error)}") from error


def _printable(text: object, length: int) -> str:
    """What a neighbor says, as it may stand in one line of a log."""
    return visible(str(text)[:length])


def _opened(address: tuple[Any, ...]) -> socket.socket:
    """A socket for an address, noted for what TLS has to say over it."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    OPENING.set(made)
    return made


def _said(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = error.certificate_error
        return f"its certificate is refused here: {getattr(reason, 'verify_message', reason)}"
    # aiohttp puts the address, and the TLS context as an object, before what the system says.
    return alert_in(error) or str(getattr(error, "os_error", error)) or type(error).__name__
