"""Below HTTP: what is no TLS, or TLS without a certificate of this run, gets no further, and is counted."""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from attacker import Wire, http
from siege import HASTY, Siege, besiege

from gossipfl.engines.http.trust.certificates import issue
from gossipfl.engines.http.trust.credentials import Credentials

GET = "GET /v1/session"
POST = "POST /v1/messages"


@pytest.mark.parametrize(
    "data",
    [
        http(GET),
        http(POST, {"Content-Length": str(10**12)}),
        bytes(range(256)) * 1000,
        b"\x16\x03\x01\xff\xff" + bytes(2**16),
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
    ],
    ids=["HTTP", "a message", "bytes", "a record too large", "an alert", "SSH"],
)
def test_no_tls(data: bytes, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        async with await Wire.open(siege.port) as wire:
            await wire.send(data)
            await wire.ends()
            await siege.refused("tls_handshake")
            assert not siege.holds(wire)
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, tls=True) == {"tls_handshake": 1}


def anonymous(credentials: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(credentials.directory / "ca.pem")
    return context


def old_fashioned(credentials: Credentials) -> ssl.SSLContext:
    context = anonymous(credentials)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(credentials.directory / "d.pem", credentials.directory / "d.key")
    return context


def with_the_certificate_of_a_proxy(credentials: Credentials) -> ssl.SSLContext:
    directory = credentials.directory
    if not (directory / "d.proxy.pem").exists():
        issue(directory, "d", proxy=True)
    context = anonymous(credentials)
    context.load_cert_chain(directory / "d.proxy.pem", directory / "d.proxy.key")
    return context


def of_another_authority(credentials: Credentials, stranger: Path) -> ssl.SSLContext:
    context = anonymous(credentials)
    context.load_cert_chain(stranger / "d.pem", stranger / "d.key")
    return context


@pytest.mark.parametrize("who", ["nobody", "TLS 1.2", "a proxy", "another authority's peer"])
def test_no_certificate_of_this_run(who: str, credentials: Mapping[str, Credentials]) -> None:
    d = credentials["d"]
    context = {
        "nobody": lambda: anonymous(d),
        "TLS 1.2": lambda: old_fashioned(d),
        "a proxy": lambda: with_the_certificate_of_a_proxy(d),
        "another authority's peer": lambda: of_another_authority(d, credentials["stranger"].directory),
    }[who]()

    async def assault(siege: Siege) -> None:
        # In TLS 1.3 a client believes to be connected before the server has looked at its certificate.
        with suppress(OSError):
            async with await Wire.open(siege.port, context) as wire:
                await wire.send(http(POST, siege.headers(siege.request())))
                assert await wire.ends() == b""
        await siege.refused("tls_handshake")
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, tls=True) == {"tls_handshake": 1}


@pytest.mark.parametrize("says", ["nothing", "a message", "headers for ever"])
def test_a_revoked_neighbor_is_refused_by_the_name_in_its_certificate(
    says: str, credentials: Mapping[str, Credentials]
) -> None:
    """Its connection ends with the handshake: nothing that it says is read, and it may read why."""

    async def assault(siege: Siege) -> None:
        body = siege.request()
        data = {"nothing": b"", "a message": http(POST, siege.headers(body), body), "headers for ever": b"GET / H"}
        for number in (1, 2):
            async with await siege.wire("d") as wire:
                with suppress(OSError):  # it is closed already, from the other side
                    await wire.send(data[says])
                told = await wire.ends()
                assert told.startswith(b"HTTP/1.1 403 revoked")
                assert b"has been shut out of the run" in told
                await siege.refused("revoked", number)
                await siege.eventually(lambda wire=wire: not siege.holds(wire))  # type: ignore[misc]
        async with await siege.wire("c") as wire:  # certified, not revoked, and no neighbor
            await wire.send(http(GET))
            assert (await wire.told()).status == 204
        await siege.exchanges_go_on()
        assert siege.victim.neighbors["d"].contact == "revoked"
        assert siege.victim.neighbors["d"].traffic == (0, 0, 0)

    assert besiege(assault, credentials, tls=True, revoked=frozenset({"d"})) == {"revoked": 2}


@pytest.mark.parametrize("signer", ["d", "c", ""])
def test_a_revoked_neighbor_is_refused_behind_a_proxy_too(signer: str, credentials: Mapping[str, Credentials]) -> None:
    """There the certificate of the connection is the proxy's, if there is one at all."""

    async def assault(siege: Siege) -> None:
        body = siege.request()
        async with await siege.wire("d") as wire:
            await wire.send(http(POST, siege.headers(body, signer=signer), body))
            told = await wire.told()
            assert (told.status, told.reason) == (403, "revoked")
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, revoked=frozenset({"d"})) == {"revoked": 1}


@pytest.mark.parametrize("says", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "the head of a record"])
def test_a_handshake_that_never_ends(says: bytes, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        async with await Wire.open(siege.port) as wire:
            await wire.send(says)
            await siege.exchanges_go_on()
            await wire.ends()
            assert not siege.holds(wire)

    assert besiege(assault, credentials, tls=True, limits=HASTY) == {"tls_handshake": 1}


@pytest.mark.parametrize("moment", ["before a request", "in the headers", "in a body", "in an answer"])
def test_a_connection_that_turns_into_noise(moment: str, credentials: Mapping[str, Credentials]) -> None:
    """The handshake was that of a certified neighbor; what follows is no TLS any more."""

    async def assault(siege: Siege) -> None:
        body = siege.request()
        start = {
            "before a request": b"",
            "in the headers": b"GET /v1/session HTTP/1.1\r\n",
            "in a body": http(POST, siege.headers(body), body[:-1]),
            "in an answer": http(GET) * 50,
        }[moment]
        async with await siege.wire("d") as wire:
            await wire.send(start)
            if moment == "in a body":
                await asyncio.sleep(0.01)
            wire.below_tls().write(bytes(range(256)) * 100)
            await wire.ends()
        await siege.exchanges_go_on()
        if moment == "in a body":
            await siege.refused("broken_body")

    assert set(besiege(assault, credentials, tls=True)) <= {"broken_body"}


def test_no_goodbye(credentials: Mapping[str, Credentials]) -> None:
    """A client that does not answer the end of TLS is not waited for."""

    async def assault(siege: Siege) -> None:
        async with await siege.wire("d") as wire:
            await wire.send(http(GET, Connection="close"))
            wire.stop_reading()
            await siege.eventually(lambda: not siege.holds(wire))
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, tls=True) == {}


def test_a_connection_of_one_peer_with_envelopes_of_another(credentials: Mapping[str, Credentials]) -> None:
    """Whoever has stolen what "d" signs, but not its key, cannot bring it in over a connection of its own."""

    async def assault(siege: Siege) -> None:
        for name in ("b", "c"):
            async with await siege.wire(name) as wire:
                await wire.send(http(POST, siege.headers(siege.request())))
                told = await wire.told()
                assert (told.status, told.reason) == (403, "bad_certificate")
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, tls=True) == {"bad_certificate": 2}
