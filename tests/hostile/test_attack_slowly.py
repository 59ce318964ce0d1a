"""Whoever is slow, stops in the middle, or does not listen loses the connection; nobody waits for them."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from attacker import Wire, http
from siege import HASTY, PATIENT, Siege, besiege

from gossipfl.engines.http.trust.credentials import Credentials
from gossipfl.engines.http.wire.envelope import read_line

GET = "GET /v1/session"
POST = "POST /v1/messages"


def test_headers_that_trickle(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        async with await siege.wire() as wire:
            trickle = asyncio.create_task(_trickle(wire, http(POST, siege.headers(bytes(1000)))))
            await siege.exchanges_go_on()
            told = await wire.told()
            assert (told.status, told.reason, told.closes) == (408, "slow_headers", True)
            assert await wire.ends() == b""
            trickle.cancel()

    assert besiege(assault, credentials, tls=tls, limits=HASTY) == {"slow_headers": 1}


def test_nothing_at_all(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        async with await siege.wire() as wire:
            await siege.exchanges_go_on()
            assert (await wire.told()).reason == "slow_headers"
            assert await wire.ends() == b""

    assert besiege(assault, credentials, tls=tls, limits=HASTY) == {"slow_headers": 1}


def test_the_headers_of_a_second_request(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        async with await siege.wire("d") as wire:
            await wire.send(http(POST, siege.headers()) + b"GET /v1/sess")
            assert (await wire.told()).status == 204
            await wire.send(b"ion HT")
            assert (await wire.told()).reason == "slow_headers"
            assert await wire.ends() == b""
            await siege.exchanges_go_on()

    assert besiege(assault, credentials, tls=tls, limits=HASTY) == {"slow_headers": 1}


def test_a_connection_that_is_kept_for_nothing(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        async with await siege.wire() as wire:
            await wire.send(http(GET))
            assert (await wire.told()).status == 204
            await siege.exchanges_go_on()
            assert await wire.ends() == b""

    assert besiege(assault, credentials, tls=tls, limits=HASTY) == {}


def test_a_body_that_never_comes(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        async with await siege.wire("d") as wire:
            await wire.send(http(POST, siege.headers(siege.request())))
            await siege.exchanges_go_on()
            told = await wire.told()
            assert (told.status, told.reason, told.closes) == (408, "slow_body", True)
            assert await wire.ends() == b""

    assert besiege(assault, credentials, tls=tls, limits=HASTY) == {"slow_body": 1}


def test_a_body_that_trickles_after_an_invitation(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        body = siege.request()
        async with await siege.wire("d") as wire:
            await wire.send(http(POST, siege.headers(body), Expect="100-continue"))
            assert (await wire.told()).status == 100
            trickle = asyncio.create_task(_trickle(wire, body))
            await siege.exchanges_go_on()
            assert (await wire.told()).reason == "slow_body"
            assert await wire.ends() == b""
            trickle.cancel()

    assert besiege(assault, credentials, tls=tls, limits=HASTY) == {"slow_body": 1}


def test_slow_bodies_take_one_buffer_for_each_neighbor(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    """A body of 800 kB over each of ten connections: all but the first are told to come back later."""

    async def assault(siege: Siege) -> None:
        wires = [await siege.wire("d") for _ in range(10)]
        body = siege.request()
        for wire in wires:
            await wire.send(http(POST, siege.headers(body), Expect="100-continue"))
            if wire is wires[0]:
                assert (await wire.told()).status == 100
                await wire.send(body[:-1])
            else:
                told = await wire.told()
                assert (told.status, told.reason) == (429, "too_many_requests")
                assert float(told.headers["retry-after"]) > 0
        await siege.exchanges_go_on(1)
        for wire in wires:
            await wire.__aexit__()
        await siege.refused("broken_body")

    refusals = besiege(assault, credentials, tls=tls, size=10**5)
    assert refusals == {"too_many_requests": 9, "broken_body": 1}


class Latecomer:
    """A neighbor that is met at last, after it has sent three messages over three connections."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self._server: asyncio.Server | None = None

    async def start(self, siege: Siege) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            if not self.reasons:
                await attack(siege)
            writer.write(b"HTTP/1.1 204 No Content\r\nGossipfl-Session: " + b"d" * 32 + b"\r\n\r\n")
            writer.close()

        async def attack(siege: Siege) -> None:
            siege.expect_nothing_of_the_sum()  # the first of the three will be taken
            wires = [await siege.wire("d") for _ in range(3)]
            for number, wire in enumerate(wires):
                body = siege.request(1 + number)
                await wire.send(http(POST, siege.headers(body), body))
                if number:
                    self.reasons.append((await wire.told()).reason)
            for wire in wires:
                await wire.__aexit__()

        self._server = await asyncio.start_server(serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        assert self._server is not None
        self._server.close()


def test_messages_that_wait_for_the_start_take_one_buffer_for_each_neighbor(
    credentials: Mapping[str, Credentials],
) -> None:
    latecomer = Latecomer()

    async def assault(siege: Siege) -> None:
        await siege.exchanges_go_on()

    refusals = besiege(assault, credentials, d_server=latecomer, meeting_seconds=5.0)
    assert latecomer.reasons == ["too_many_requests", "too_many_requests"]
    assert refusals == {"too_many_requests": 2}


def test_polls_that_were_given_up_do_not_wait(credentials: Mapping[str, Credentials]) -> None:
    """A neighbor that nobody can reach polls over and over, and never reads an answer."""

    async def assault(siege: Siege) -> None:
        siege.expect_nothing_of_the_sum()  # the victim waits for an answer of "d"
        wires = [await siege.wire("d") for _ in range(4)]
        await wires[0].send(http(POST, siege.headers()))
        _, envelope = read_line((await wires[0].told()).headers["gossipfl-envelope"])
        for wire in wires:  # nothing else waits for "d"
            await wire.send(http(POST, siege.headers(received=envelope.counter)))
        for wire in wires[:-1]:
            assert (await wire.told()).status == 204
        await siege.exchanges_go_on()
        for wire in wires:
            await wire.__aexit__()

    assert besiege(assault, credentials, d_polls=True) == {}


def test_a_body_that_breaks_off(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        body = siege.request()
        for part in (b"", body[:1], body[:-1]):
            async with await siege.wire("d") as wire:
                await wire.send(http(POST, siege.headers(body), Expect="100-continue"))
                assert (await wire.told()).status == 100
                await wire.send(part)
                await siege.exchanges_go_on(1)
        await siege.refused("broken_body", 3)

    assert besiege(assault, credentials, tls=tls) == {"broken_body": 3}


def test_gone_before_the_answer(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    """Every moment at which a connection may break: nothing of this is an error of the victim."""

    async def assault(siege: Siege) -> None:
        body = siege.request()
        data = http(POST, siege.headers(bytes(body), digest="0" * 64), body)
        for length in range(0, len(data), 97):
            async with await siege.wire("d") as wire:
                await wire.send(data[:length])
                for _ in range(length % 5):
                    await asyncio.sleep(0)
        await siege.exchanges_go_on()

    refusals = besiege(assault, credentials, tls=tls)
    assert set(refusals) <= {"broken_body", "replayed", "wrong_digest"}


def test_half_a_connection(credentials: Mapping[str, Credentials]) -> None:
    """A client that has said all it will ever say, whole or not, is not waited for. (TLS has no half connections.)"""

    async def assault(siege: Siege) -> None:
        for data in (b"", b"GET /v1/se", http(GET), http(POST, siege.headers(siege.request()), b"x")):
            async with await siege.wire("d") as wire:
                await wire.send(data)
                wire.writer.write_eof()
                await wire.ends()
        await siege.refused("broken_body")
        await siege.exchanges_go_on()

    assert besiege(assault, credentials) == {"broken_body": 1}


def test_more_body_than_was_announced(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        body = siege.request()
        async with await siege.wire("d") as wire:
            await wire.send(http(POST, siege.headers(body, digest="0" * 64), body + b"and more"))
            assert (await wire.told()).reason == "malformed_http"
            assert await wire.ends() == b""
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, tls=tls) == {"malformed_http": 1}


def test_answers_that_are_not_read(credentials: Mapping[str, Credentials]) -> None:
    """What is written for such a client is thrown away with its connection."""

    async def assault(siege: Siege) -> None:
        async def ask_on() -> None:
            while not wire.writer.is_closing():
                await wire.send(http(GET) * 50)
                await asyncio.sleep(0)

        async with await siege.wire(receive_buffer=1) as wire:
            wire.stop_reading()
            asking = asyncio.create_task(ask_on())
            await siege.refused("slow_reader")
            await asking
            await siege.eventually(lambda: not siege.holds(wire))
            await siege.exchanges_go_on()

    limits = replace(PATIENT, requests_per_second=10_000.0)
    refusals = besiege(assault, credentials, limits=limits, send_buffer=2**13, round_seconds=0.02)
    assert refusals == {"slow_reader": 1}


def test_a_large_answer_that_is_not_read(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        body = siege.request()
        async with await siege.wire("d", receive_buffer=1) as wire:
            wire.stop_reading()
            await wire.send(http(POST, siege.headers(body), body))
            await siege.refused("slow_reader")
            await siege.eventually(lambda: not siege.holds(wire))
            await siege.exchanges_go_on(1)
        async with await siege.wire("d") as wire:
            await wire.send(http(POST, siege.headers(body), body))
            siege.account_for(await wire.told())

    # Larger than what the kernel takes, 4 MB, and asyncio's TLS, 0.5 MB
    limits = replace(HASTY, request_seconds=2.0)
    assert besiege(assault, credentials, tls=tls, limits=limits, size=800_000, round_seconds=0.1) == {"slow_reader": 1}


async def _trickle(wire: Wire, data: bytes) -> None:
    for position in range(len(data)):
        await wire.send(data[position : position + 1])
        await asyncio.sleep(0.01)
