"""A neighbor whose server misbehaves: the victim asks, and whatever comes back does it no harm."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pytest
from attacker import http
from siege import HASTY, PATIENT, Siege, besiege

from gossipfl.engines.http.trust.credentials import Credentials
from gossipfl.engines.http.wire.refusals import REASONS

Answer = Callable[[Siege, asyncio.StreamWriter], Awaitable[None]]

NOISE = b"x" * 2**16


class HostileServer:
    """What "d" serves: its session as it should, and to every message `answer`."""

    def __init__(self, answer: Answer, *, meets: bool = True) -> None:
        self._answer = answer
        self._meets = meets
        self._server: asyncio.Server | None = None
        self.siege: Siege | None = None
        self.num_messages = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, siege: Siege) -> str:
        self.siege = siege
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self.siege is not None
        self._writers.append(writer)
        with suppress(OSError, EOFError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET") and self._meets:
                    writer.write(b"HTTP/1.1 204 No Content\r\nGossipfl-Session: " + b"d" * 32 + b"\r\n\r\n")
                    continue
                self.num_messages += 1
                await self._answer(self.siege, writer)
                await writer.drain()
        writer.close()


def says(data: bytes) -> Answer:
    async def answer(_: Siege, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return answer


def says_for_ever(start: bytes, more: bytes) -> Answer:
    async def answer(_: Siege, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(more)
            await writer.drain()
            await asyncio.sleep(0.001)

    return answer


def signs(*, kept: int | None = None, ends: bool = False, **changes: object) -> Answer:
    """An answer with a message of "d" that is in order, but for `changes` of its envelope."""

    async def answer(siege: Siege, writer: asyncio.StreamWriter) -> None:
        body = siege.request()
        headers = siege.headers(body, **changes)
        writer.write(http("X", headers, body[:kept]).replace(b"X HTTP/1.1", b"HTTP/1.1 200 OK", 1))
        if ends:
            await writer.drain()
            writer.close()

    return answer


def refuses(status: int, said: object, **headers: str) -> Answer:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    fields = {"Content-Length": str(len(body)), **headers}
    return says(http("X", fields, body).replace(b"X HTTP/1.1", b"HTTP/1.1 %d No" % status, 1))


async def hangs_up(_: Siege, writer: asyncio.StreamWriter) -> None:
    writer.close()


OK = b"HTTP/1.1 200 OK\r\n"


@dataclass(frozen=True)
class Case:
    """An answer, and what the victim makes of it: it refuses it, is refused, or cannot reach the neighbor."""

    answer: Answer
    refuses: str = ""
    is_refused: str = ""
    is_unreachable: bool = False


def wrong(answer: Answer, reason: str) -> Case:
    return Case(answer, refuses=reason)


def refused(answer: Answer, reason: str) -> Case:
    return Case(answer, is_refused=reason)


def broken(answer: Answer) -> Case:
    return Case(answer, is_unreachable=True)


CASES = {
    "nothing": broken(says(b"")),
    "hanging up": broken(hangs_up),
    "noise": broken(says(bytes(range(256)) * 100)),
    "TLS": broken(says(bytes.fromhex("15030300020228"))),
    "100 Continue for ever": broken(says_for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    "headers for ever": broken(says_for_ever(OK, b"X: y\r\n" * 100)),
    "a header without an end": broken(says_for_ever(OK + b"X: ", NOISE)),
    "another protocol": refused(
        says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + NOISE), "other"
    ),
    "two lengths": broken(says(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")),
    "a body that breaks off": broken(signs(kept=100, ends=True)),
    "a body that never comes": broken(signs(kept=100)),
    "a body without an end": wrong(says_for_ever(OK + b"Content-Length: 1000000000000\r\n\r\n", NOISE), "no_envelope"),
    "chunks for ever": wrong(
        says_for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + NOISE + b"\r\n"), "no_envelope"
    ),
    "a compressed bomb": wrong(
        says(OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\0"), "no_envelope"
    ),
    "too large": wrong(signs(size=10**12), "too_large"),
    "another run": wrong(signs(run="0" * 64), "other_run"),
    "another neighbor": wrong(signs(sender="b", signer="b", counter=10**15), "bad_certificate"),
    "another neighbor's name": wrong(signs(sender="b"), "bad_certificate"),
    "a peer that is no neighbor": wrong(signs(sender="c", signer="c"), "unknown_sender"),
    "no signature": wrong(signs(signer=""), "bad_certificate"),
    "another authority": wrong(signs(signer="stranger"), "bad_certificate"),
    "an earlier session": wrong(signs(addressee="0" * 32), "other_session"),
    "an altered body": wrong(signs(digest="0" * 64), "wrong_digest"),
    "a redirection": refused(refuses(302, {}, Location="http://127.0.0.1:1/v1/messages"), "other"),
    "no reason": refused(refuses(500, b"<html>"), "other"),
    "a reason that nobody knows": refused(refuses(403, {"reason": "x" * 10**3, "message": "y"}), "other"),
    "a reason of 1 MB": refused(refuses(403, {"reason": "x" * 10**6}), "other"),
    "a known reason": refused(refuses(403, {"reason": "unknown_sender", "message": "go away"}), "unknown_sender"),
    "an error without an end": refused(
        says_for_ever(b"HTTP/1.1 403 No\r\nContent-Length: 1000000000\r\n\r\n", NOISE), "other"
    ),
    "nested JSON": refused(refuses(409, b"[" * 2000), "other"),
    "JSON of another kind": refused(refuses(409, [{"reason": 1}]), "other"),
    "later, in 10**400 seconds": refused(
        refuses(429, b'{"reason": "stopping", "message": "", "retry_after": 1' + b"0" * 400 + b"}"), "stopping"
    ),
    "other sessions for ever": refused(refuses(409, {"reason": "other_session", "message": ""}), "other_session"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_answers(case: Case, credentials: Mapping[str, Credentials]) -> None:
    server = HostileServer(case.answer)

    async def assault(siege: Siege) -> None:
        d = siege.victim.neighbors["d"]

        def is_noticed() -> bool:
            return bool(
                (case.refuses and siege.refusals[case.refuses])
                or (case.is_refused and d.refusals[case.is_refused])
                or (case.is_unreachable and d.num_failures)
            )

        await siege.eventually(lambda: server.num_messages > 0)
        await siege.exchanges_go_on(1)
        await siege.eventually(is_noticed, lambda: f"{siege.refusals} {d.refusals} {d.num_failures}")
        assert set(d.refusals) <= {*REASONS, "other"}
        await siege.exchanges_go_on()

    refusals = besiege(assault, credentials, limits=HASTY, timeout=0.3, d_server=server)
    assert set(refusals) == ({case.refuses} if case.refuses else set())


def test_a_stranger_where_a_neighbor_should_be(credentials: Mapping[str, Credentials]) -> None:
    server = HostileServer(says(OK + b"Content-Length: 0\r\n\r\n"), meets=False)

    async def assault(siege: Siege) -> None:
        await siege.eventually(lambda: siege.victim.neighbors["d"].num_failures > 0)
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, timeout=0.3, d_server=server) == {}


def test_one_that_is_never_ready_to_be_met(credentials: Mapping[str, Credentials]) -> None:
    """This once ended the peer that asked."""
    server = HostileServer(refuses(403, {"reason": "not_ready", "message": ""}), meets=False)

    async def assault(siege: Siege) -> None:
        await siege.eventually(lambda: siege.victim.neighbors["d"].refusals["not_ready"] > 0)
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, timeout=0.3, d_server=server) == {}


def test_replies_that_do_not_get_through_do_not_pile_up(credentials: Mapping[str, Credentials]) -> None:
    """A neighbor that asks and asks, hangs up before each answer, and lets nobody else get through to it."""
    server = HostileServer(says(b""))

    async def assault(siege: Siege) -> None:
        await siege.eventually(lambda: server.num_messages > 0)
        d = siege.victim.neighbors["d"]
        before = d.traffic.num_messages
        for number in range(1, 21):
            body = siege.request(number, weights=np.zeros(siege.victim.peer.weights.size))
            async with await siege.wire("d") as wire:
                await wire.send(http("POST /v1/messages", siege.headers(body), body))
            await siege.eventually(
                lambda number=number: d.traffic.num_messages >= before + number, lambda: siege.refusals
            )
        assert len(d.parcels) <= siege.victim.hosting.limits.outbox_messages + 1
        await siege.exchanges_go_on()
        siege.expect_nothing_of_the_sum()

    assert besiege(assault, credentials, limits=replace(PATIENT, outbox_messages=4), timeout=0.3, d_server=server) == {}
