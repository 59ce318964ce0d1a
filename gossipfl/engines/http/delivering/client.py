"""The client's side: POSTs to neighbors, and the messages that come back in the answers."""

import asyncio
import json
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from gossipfl.engines.http.delivering.neighbor import Neighbor, Parcel
from gossipfl.engines.http.delivering.sealing import Sealer
from gossipfl.engines.http.trust.alerts import OPENING, alert_in
from gossipfl.engines.http.trust.certificates import server_name
from gossipfl.engines.http.wire.bodies import as_data, received
from gossipfl.engines.http.wire.envelope import RUN, SESSION, Envelope, Purpose, Sealed
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.engines.http.wire.refusals import Refusal
from gossipfl.errors import TransportError
from gossipfl.messages import Message
from gossipfl.names.visible_text import visible
from gossipfl.weights import PeerId

MAX_TRIES = 4
"""Of one delivery, for reasons that a further try can mend: a new session, a busy neighbor."""

_LONGEST_REFUSAL = 2048
"""Bytes that are read of what a neighbor says when it does not take something."""

_NOT_NOW = {"too_many_requests", "not_ready"}


class Refused(TransportError):
    """A neighbor answered, and did not take it; `reason` is the one that it gave."""

    def __init__(self, neighbor: str, reason: str, detail: str) -> None:
        super().__init__(f"peer {neighbor} refused it: {reason} ({detail})")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: its envelope and its message, where it has them."""

    envelope: Envelope
    message: Message | None


class Client:
    """Delivers parcels to neighbors: sealed, streamed, with deadlines. Answers pass the same gate as requests."""

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

    async def meet(self, neighbor: Neighbor) -> None:
        """Learn the neighbor's session. Raises TransportError when it cannot be reached, or is of another run."""
        timeout = aiohttp.ClientTimeout(total=self._limits.request_seconds, sock_connect=self._limits.connect_seconds)
        try:
            headers = {RUN: self._gate.facts.run_id}
            async with self._request("GET", neighbor, "/v1/session", timeout, headers) as response:
                if response.status in (403, 409):
                    raise await self._failure(neighbor, response)
                self._note_session(neighbor, response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransportError(f"peer {neighbor.name} at {neighbor.url} cannot be reached: {_said(error)}") from error
        if not neighbor.session:
            raise TransportError(f"{neighbor.url} answers, but is no peer of gossipfl")

    async def deliver(self, neighbor: Neighbor, parcel: Parcel) -> Answer | None:
        """Deliver a parcel, or poll; gives what came back.

        Raises TransportError when the neighbor could not be reached, or did not take it (`Refused`); it may have been
        delivered all the same.
        """
        for number in range(1, MAX_TRIES + 1):
            if not neighbor.session:
                await self.meet(neighbor)
            try:
                return await self._post(neighbor, parcel)
            except _TryAgain as again:
                if number == MAX_TRIES:
                    raise Refused(neighbor.name, again.reason, f"{number} times in a row") from None
                await asyncio.sleep(again.delay)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise TransportError(
                    f"peer {neighbor.name} at {neighbor.url} cannot be reached: {_said(error)}"
                ) from error
        raise AssertionError("a delivery ends in its last try")

    async def _post(self, neighbor: Neighbor, parcel: Parcel) -> Answer | None:
        wrapped = await self._sealer.wrap(neighbor, parcel)
        size, limits = wrapped.size, self._limits
        waiting = limits.poll_seconds if parcel.purpose is Purpose.POLL else 0
        timeout = aiohttp.ClientTimeout(
            total=limits.transfer_seconds(size + self._gate.facts.max_body_bytes) + waiting,
            sock_connect=limits.connect_seconds,
        )
        headers = wrapped.sealed.headers() | {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        async with self._request("POST", neighbor, "/v1/messages", timeout, headers, wrapped.parts) as response:
            self._note_session(neighbor, response)
            if parcel.message is not None:
                neighbor.count_sent(size)
            if response.status in (200, 204):
                neighbor.is_of_this_run = True
            if response.status == 204:
                return None
            if response.status == 200:
                return await self._answer(neighbor, response)
            raise await self._failure(neighbor, response)

    def _request(
        self,
        method: str,
        neighbor: Neighbor,
        path: str,
        timeout: aiohttp.ClientTimeout,
        headers: Mapping[str, str] | None = None,
        parts: list[memoryview] | None = None,
    ) -> "aiohttp.client._RequestContextManager":
        assert neighbor.url is not None, f"peer {neighbor.name} polls"
        return self._session.request(
            method,
            neighbor.url.rstrip("/") + path,
            data=as_data(parts),
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
            ssl=self._tls,
            server_hostname=server_name(neighbor.name) if neighbor.url.startswith("https:") else None,
        )

    def _note_session(self, neighbor: Neighbor, response: aiohttp.ClientResponse) -> None:
        session = response.headers.get(SESSION, "")
        if len(session) == 32 and session.isalnum() and session.isascii():
            neighbor.heard(session, asyncio.get_running_loop().time())

    async def _answer(self, neighbor: Neighbor, response: aiohttp.ClientResponse) -> Answer | None:
        """A message in an answer is verified and read as one in a request is."""
        try:
            sealed = Sealed.read(response.headers.get)
            envelope = self._gate.admit(sealed, response.content_length or 0, neighbor.name)
            message = None
            if envelope.size:
                arrived = await received(response.content, envelope)
                if arrived is None:
                    raise Refusal("broken_body")
                message = await self._sealer.offloading.run(envelope.size, self._gate.message, envelope, *arrived)
                neighbor.count_received(envelope.size)
            return Answer(envelope, message)
        except Refusal as refusal:
            self._refuse(neighbor.name, refusal)
            return None

    async def _failure(self, neighbor: Neighbor, response: aiohttp.ClientResponse) -> Exception:
        reason, detail, delay = f"http_{response.status}", "", 1.0
        text = b""
        while piece := await response.content.read(_LONGEST_REFUSAL - len(text)):
            text += piece
        with suppress(ValueError, KeyError, TypeError, RecursionError, OverflowError):
            told = json.loads(text)
            reason, detail = _printable(told["reason"], 40), _printable(told["message"], 400)
            delay = min(5.0, max(0.05, float(told.get("retry_after", delay))))
        if reason == "other_run":
            neighbor.refused_run()
        if reason == "other_session" and neighbor.session:
            return _TryAgain(reason, 0.0)
        if reason in _NOT_NOW:
            return _TryAgain(reason, delay)
        return Refused(neighbor.name, reason, detail)


class _TryAgain(Exception):
    def __init__(self, reason: str, delay: float) -> None:
        super().__init__(reason)
        self.reason, self.delay = reason, delay


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
    return alert_in(error) or str(error) or type(error).__name__
