"""An observer sends again what honest peers have said, word for word."""

import asyncio
import re
from collections.abc import Mapping

import pytest
from attacker import Wire, http
from siege import Siege, besiege

from gossipfl.engines.http.trust.credentials import Credentials

POST = "POST /v1/messages"


def captured(heard: bytes) -> list[bytes]:
    """The whole POSTs with a body in what an observer has heard on one connection."""
    found = []
    for match in re.finditer(rb"POST /v1/messages HTTP/1\.1\r\n.*?\r\n\r\n", heard, re.DOTALL):
        length = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", match.group()).group(1))
        if 0 < length <= len(heard) - match.end():
            found.append(heard[match.start() : match.end() + length])
    return found


@pytest.mark.parametrize("place", ["a connection of its own", "a victim that was restarted", "another receiver"])
def test_messages_of_an_honest_peer(place: str, credentials: Mapping[str, Credentials]) -> None:
    """Between a peer and the proxy in front of it, where an observer may read along."""
    posts: list[bytes] = []

    async def listen_in(siege: Siege) -> None:
        await siege.eventually(lambda: len(captured(siege.heard)) >= 5)
        posts.extend(captured(siege.heard)[:5])
        if place == "a connection of its own":
            await replay(siege)

    async def replay(siege: Siege) -> None:
        port, reason = {
            "a connection of its own": (siege.port, "replayed"),
            "a victim that was restarted": (siege.port, "other_session"),
            "another receiver": (siege.honest_port, "wrong_receiver"),
        }[place]
        async with await Wire.open(port) as wire:
            for post in posts * 2:
                await wire.send(post)
                told = await wire.told()
                assert told.reason == reason
                assert told.headers["gossipfl-session"]
                if told.closes:  # the body came before the answer, and was not looked at
                    await wire.__aexit__()
                    wire = await Wire.open(port)
            await wire.__aexit__()
        await siege.exchanges_go_on()
        host = siege.honest if place == "another receiver" else siege.victim
        assert host.refusals == {reason: 10}

    besiege(listen_in, credentials, tapped=True)
    if place != "a connection of its own":
        besiege(replay, credentials)  # another life of both peers: the same names, keys and run


def test_bytes_of_a_tls_connection(credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        await siege.eventually(lambda: len(siege.heard) > 10_000)
        for _ in range(3):
            async with await Wire.open(siege.port) as wire:
                await wire.send(siege.heard)
                await wire.ends()
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, tls=True, tapped=True) == {"tls_handshake": 3}


def test_counters_and_incarnations_only_go_up(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    """What was late by up to 1,023 is taken once; what is older, or of an earlier start, never."""

    async def assault(siege: Siege) -> None:
        async with await siege.wire("d") as wire:
            for counter, incarnation, reason in [
                (5, 1, ""),
                (5, 1, "replayed"),
                (3, 1, ""),
                (3, 1, "replayed"),
                (2000, 1, ""),
                (4, 1, "replayed"),
                (1000, 1, ""),
                (10**15, 1, ""),
                (2001, 1, "replayed"),
                (1, 2, ""),
                (10**15, 1, "old_incarnation"),
                (2, 2, ""),
            ]:
                await wire.send(http(POST, siege.headers(counter=counter, incarnation=incarnation)))
                told = await wire.told()
                assert (told.reason, told.status) == (reason, 409 if reason else 204), (counter, incarnation)
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, tls=tls) == {"replayed": 4, "old_incarnation": 1}


def test_two_at_the_same_moment(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        post = http(POST, siege.headers())
        wires = [await siege.wire("d") for _ in range(8)]
        for wire in wires:
            await wire.send(post)
        told = await asyncio.gather(*(wire.told() for wire in wires))
        assert sorted(answer.reason for answer in told) == ["", *["replayed"] * 7]
        for wire in wires:
            await wire.__aexit__()
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, tls=tls) == {"replayed": 7}
