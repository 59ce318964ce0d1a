"""Many at once: connections, requests, bytes. The honest exchange goes on, and this process does not grow."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial

import pytest
from attacker import Wire, http
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from siege import HASTY, MIB, PATIENT, Siege, besiege

from gossipfl.engines.http.trust.credentials import Credentials

GET = "GET /v1/session"
POST = "POST /v1/messages"
CHUNKED = {"Transfer-Encoding": "chunked"}
ENDLESS = {"Content-Length": str(10**12)}
SLOW_RATE = replace(PATIENT, requests_per_second=100.0)
SLOW_ROUND = 0.02  # seconds; so the honest neighbor asks less than 100 times a second


@pytest.mark.parametrize("says", [b"", b"GET /v1/ses"], ids=["nothing", "half a line"])
def test_strangers_take_the_place_of_strangers(says: bytes, credentials: Mapping[str, Credentials]) -> None:
    """Of 40 that come and stay, the first ones have to go; the honest neighbor's connections are never closed."""

    async def assault(siege: Siege) -> None:
        async with AsyncExitStack() as stack:
            honest = siege.honest_connections
            wires = [await stack.enter_async_context(await Wire.open(siege.port)) for _ in range(40)]
            for wire in wires:
                await wire.send(says)
            await siege.exchanges_go_on()
            assert honest
            assert honest <= siege.honest_connections
            first = await wires[0].told()
            assert (first.status, first.reason, first.closes) == (503, "too_many_connections", True)
            assert await wires[0].ends() == b""
            await wires[-1].send(http(GET) if not says else http(GET)[len(says) :])
            assert (await wires[-1].told()).status == 204
            await siege.exchanges_go_on()

    refusals = besiege(assault, credentials)
    assert set(refusals) == {"too_many_connections"}
    assert 40 - 16 <= refusals["too_many_connections"] <= 40 - 16 + 4  # four at most are between honest peers


def test_handshakes_that_never_end_are_strangers_too(credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        async with AsyncExitStack() as stack:
            wires = [await stack.enter_async_context(await Wire.open(siege.port)) for _ in range(40)]
            await siege.refused("too_many_connections", 40 - 16)
            assert await wires[0].ends() == b""
            assert sum(siege.holds(wire) for wire in wires) <= 16
            async with await siege.wire("b") as honest:
                await honest.send(http(GET))
                assert (await honest.told()).status == 204
            await siege.exchanges_go_on()

    assert set(besiege(assault, credentials, tls=True)) <= {"too_many_connections", "tls_handshake"}


def test_a_neighbor_that_takes_all_connections_loses_its_own(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        async with AsyncExitStack() as stack:
            honest = siege.honest_connections
            wires = [await stack.enter_async_context(await siege.wire("d")) for _ in range(24)]
            for wire in reversed(wires[-15:]):  # the newest, which are still open
                await wire.send(http(POST, siege.headers()))
                with suppress(EOFError):
                    assert (await wire.told()).status == 204
            async with await siege.wire("b") as newcomer:
                await newcomer.send(http(GET))
                assert (await newcomer.told()).status == 204
            await siege.exchanges_go_on()
            assert honest
            assert honest <= siege.honest_connections

    assert set(besiege(assault, credentials, tls=tls)) == {"too_many_connections"}


def test_connections_that_come_and_go(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        for number in range(300):
            wire = await Wire.open(siege.port)
            if number % 3:
                wire.writer.write(b"GET /v1/session HTTP/1.1\r\n"[: number % 30])
            wire.writer.transport.abort()
        await siege.exchanges_go_on()

    assert set(besiege(assault, credentials, tls=tls)) <= {"tls_handshake", "malformed_http", "too_many_connections"}


@pytest.mark.parametrize("who", ["a stranger", "a neighbor"])
def test_too_many_requests(who: str, tls: bool, credentials: Mapping[str, Credentials]) -> None:
    """As fast as can be: 200 are a burst that is allowed, then some have to come later; a stranger's 20th ends it."""

    async def assault(siege: Siege) -> None:
        neighbor = who == "a neighbor"

        async def flood() -> None:
            for _ in range(40):
                await wire.send(b"".join(http(POST, siege.headers()) if neighbor else http(GET) for _ in range(200)))

        async with await siege.wire("d") as wire:
            flooding = asyncio.create_task(flood())
            answers, late = [], []
            while len(late) < 20:
                answers.append(await wire.told())
                late += [] if answers[-1].status == 204 else answers[-1:]
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
        assert [answer.status for answer in answers[:200]] == [204] * 200
        assert {(answer.status, answer.reason, answer.headers["retry-after"]) for answer in late} == {
            (429, "too_many_requests", "1")
        }
        assert neighbor or answers[-1].closes  # of a neighbor those in a row count, and some may pass in between
        await siege.exchanges_go_on()

    refusals = besiege(assault, credentials, tls=tls, limits=SLOW_RATE, round_seconds=SLOW_ROUND)
    assert set(refusals) == {"too_many_requests"}


NOISE = bytes([120]) * 2**16
FLOODS = {
    "a body without an end": (http(POST, ENDLESS), NOISE, "no_envelope"),
    "a session with a body": (http(GET, ENDLESS), NOISE, None),
    "chunks": (http(POST, CHUNKED), b"10000\r\n" + NOISE + b"\r\n", "no_length"),
    "tiny chunks": (http(POST, CHUNKED), b"1\r\nx\r\n" * 5000, "no_length"),
    "an extension of a chunk": (http(POST, CHUNKED) + b"1;", NOISE, "no_length"),
    "trailers": (http(POST, CHUNKED) + b"0\r\n", b"X: y\r\n" * 5000, "malformed_http"),
    "a header": (b"GET /v1/session HTTP/1.1\r\nHost: a\r\nX: ", NOISE, "malformed_http"),
    "a protocol that goes on": (http(GET, Connection="Upgrade", Upgrade="x"), NOISE, "upgrade"),
}


@pytest.mark.parametrize(("start", "more", "reason"), FLOODS.values(), ids=FLOODS)
def test_as_many_bytes_as_it_takes(
    start: bytes, more: bytes, reason: str | None, tls: bool, credentials: Mapping[str, Credentials]
) -> None:
    """The answer is there at once, and what is sent nevertheless goes nowhere until the victim hangs up."""

    async def assault(siege: Siege) -> None:
        async with await siege.wire() as wire:
            flooding = asyncio.create_task(_flood(wire, start, more))
            told = await wire.told()
            assert (told.reason or None) == reason
            await wire.ends()
            await flooding
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, tls=tls) == ({reason: 1} if reason else {})


PARTS_OF_HTTP = [
    *(b"GET ", b"POST ", b"HEAD ", b"CONNECT ", b"/v1/session", b"/v1/messages", b"http://a/", b" HTTP/1.1\r\n"),
    *(b"GET /v1/session HTTP/1.1\r\nHost: a\r\n", b" HTTP/1.0\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"Host: a\r\n"),
    *(b"Content-Length: ", b"0\r\n", b"5\r\n", b"99999999\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Connection: close\r\n", b"Connection: Upgrade\r\n", b"Upgrade: x\r\n", b"Expect: 100-continue\r\n"),
    *(b"Content-Encoding: gzip\r\n", b"Gossipfl-Envelope: gossipfl/1 message ", b"Gossipfl-Signature: ", b"a" * 64),
    *(b" d 1 ", b"\x00", b"\xff", b"\x16\x03\x01"),
]
NEARLY_HTTP = st.lists(st.sampled_from(PARTS_OF_HTTP) | st.binary(max_size=40), max_size=30).map(b"".join)


@settings(
    max_examples=4,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # each example takes half a second: too long for finding a smaller one
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(noises=st.lists(NEARLY_HTTP | st.binary(max_size=2000), min_size=20, max_size=20))
def test_noise(tls: bool, credentials: Mapping[str, Credentials], noises: list[bytes]) -> None:
    """Whatever is sent: an answer or none, and no more than that."""

    async def assault(siege: Siege) -> None:
        for noise in noises:
            async with await (siege.wire() if len(noise) % 2 else Wire.open(siege.port)) as wire:
                await wire.send(noise)
                with suppress(EOFError, TimeoutError):
                    assert 100 <= (await wire.told(0.01)).status < 500
        await siege.exchanges_go_on()

    assert "internal_error" not in besiege(assault, credentials, tls=tls)


def test_everything_at_once(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    """Attackers of every kind, each again and again without a pause, while 15 messages come through either way."""
    generator = random.Random(0)
    noises = [
        b"".join(generator.choice([*PARTS_OF_HTTP, generator.randbytes(20)]) for _ in range(generator.randrange(1, 30)))
        for _ in range(50)
    ]
    counted = {"malformed_http", "no_length", "no_envelope", "upgrade", "replayed", "bad_certificate", "not_found"}
    counted |= {"too_many_connections", "against_protocol"}

    async def assault(siege: Siege) -> None:
        replayed = http(POST, siege.headers(counter=1))
        unsigned = http(POST, siege.headers(bytes(1000), signer="stranger"))
        body = siege.request(vectors={})
        attacks: list[Callable[[], Awaitable[None]]] = [
            *(partial(_connect_and_flood, siege, start, more) for start, more, _ in FLOODS.values()),
            *(partial(_connect_and_send, siege, data) for data in (replayed, unsigned, http(GET) * 100, http("GET /"))),
            lambda: _connect_and_send(siege, http(POST, siege.headers(body), body)),
            lambda: _connect_and_send(siege, http(POST, siege.headers(body), body[:-1])),
            partial(_connect_and_send, siege, b"GET /v1/session HTTP/1.1\r\n"),
            *(partial(_noise, siege, noises) for _ in range(3)),
            *(partial(_stay, siege) for _ in range(10)),
        ]
        tasks = [asyncio.create_task(_for_ever(attack)) for attack in attacks]
        await siege.exchanges_go_on(15)
        await siege.eventually(lambda: counted <= set(siege.refusals), lambda: siege.refusals)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not [task for task in tasks if not task.cancelled()]

    # With TLS, each of 16 connections may take 0.25 MiB for a buffer, 0.5 MiB for what is not decrypted, and 0.5 MiB
    # for what is not yet thrown away; each of the 28 attackers 0.25 MiB for a buffer and 0.6 MiB for what is not sent.
    max_growth = (16 * 5 // 4 + 28 + 48) * MIB  # the last for Python's and malloc's own reserves
    limits = replace(HASTY, request_seconds=2.0)
    refusals = besiege(assault, credentials, tls=tls, limits=limits, max_growth=max_growth)
    assert "internal_error" not in refusals


async def _flood(wire: Wire, start: bytes, more: bytes, num_bytes: int = 64 * 2**20) -> None:
    await wire.send(start)
    for _ in range(num_bytes // len(more)):
        if wire.writer.is_closing():
            return
        await wire.send(more)


async def _for_ever(attack: Callable[[], Awaitable[None]]) -> None:
    while True:
        with suppress(OSError, EOFError, TimeoutError):
            await attack()
        await asyncio.sleep(0.01)  # all attackers share one processor with their victim


async def _connect_and_flood(siege: Siege, start: bytes, more: bytes) -> None:
    async with await siege.wire() as wire:
        await _flood(wire, start, more)


async def _connect_and_send(siege: Siege, data: bytes) -> None:
    async with await siege.wire("d") as wire:
        await wire.send(data)
        await wire.told(0.5)


async def _noise(siege: Siege, noises: list[bytes]) -> None:
    for noise in noises:
        async with await Wire.open(siege.port) as wire:
            await wire.send(noise)
            with suppress(TimeoutError, EOFError):
                await wire.told(0.01)


async def _stay(siege: Siege) -> None:
    async with await Wire.open(siege.port) as wire:
        await wire.ends(1.0)
