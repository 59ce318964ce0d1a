"""What the headers decide: the answer comes before any of the body, which may be endless or never come."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from attacker import http
from siege import Siege, besiege

from gossipfl.engines.http.trust.credentials import Credentials
from gossipfl.engines.http.wire.envelope import CERTIFICATE, ENVELOPE, SIGNATURE

POST = "POST /v1/messages"
GET = "GET /v1/session"
BODY = bytes(1000)
ENDLESS = 10**12


@dataclass(frozen=True)
class Attack:
    """Something to write, and what has to come of it; `name` is whose certificate the TLS connection is made with."""

    data: Callable[[Siege], bytes]
    status: int
    reason: str
    closes: bool = True
    name: str = "c"


def sealed(reason: str, status: int, name: str = "d", **changes: object) -> Attack:
    """A POST of peer `name` that announces a body and is in order, but for `changes` of its envelope."""
    return Attack(
        lambda siege: http(POST, siege.headers(BODY, **{"sender": name} | changes)), status, reason, name=name
    )


def headed(reason: str, status: int, start: str = POST, *, closes: bool = True, **headers: str) -> Attack:
    return Attack(lambda _: http(start, **headers), status, reason, closes)


def raw(data: bytes) -> Attack:
    return Attack(lambda _: data, 400, "malformed_http")


def instead(header: str, value: str | Callable[[str], str], reason: str, status: int) -> Attack:
    """A POST with another value of one header."""

    def data(siege: Siege) -> bytes:
        headers = siege.headers(BODY)
        return http(POST, headers | {header: value(headers[header]) if callable(value) else value})

    return Attack(data, status, reason, name="d")


def without(*names: str) -> Callable[[Siege], bytes]:
    return lambda siege: http(POST, {name: value for name, value in siege.headers(BODY).items() if name not in names})


ATTACKS: dict[str, dict[str, Attack]] = {
    "paths and methods": {
        "a scan": headed("not_found", 404, "GET /wp-login.php", closes=False),
        "another version of the API": headed("not_found", 404, "POST /v2/messages", Content_Length=str(ENDLESS)),
        "a path with tricks": headed("not_found", 404, "GET /v1/../v1/%2e%2e/%00session", closes=False),
        "another host's messages": headed("not_found", 404, "GET http://example.org/messages", closes=False),
        "options of everything": headed("not_found", 404, "OPTIONS *", closes=False),
        "a GET of the messages": headed("method", 405, "GET /v1/messages", closes=False),
        "a POST to the session": headed("method", 405, "POST /v1/session", Content_Length=str(ENDLESS)),
        "OPTIONS": headed("method", 405, "OPTIONS /v1/session", closes=False),
        "TRACE": headed("method", 405, "TRACE /v1/session", closes=False),
    },
    "framing that two readers may read in two ways": {
        "two lengths": raw(
            b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"
        ),
        "one length twice": raw(
            b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"
        ),
        "a list of lengths": raw(http(POST, Content_Length="5, 5")),
        "a signed length": raw(http(POST, Content_Length="+5")),
        "a negative length": raw(http(POST, Content_Length="-5")),
        "a length of 40 digits": raw(http(POST, Content_Length="9" * 40)),
        "chunks and a length": raw(http(POST, Content_Length="5", Transfer_Encoding="chunked")),
        "chunks twice": raw(http(POST, Transfer_Encoding="chunked, chunked")),
        "a folded header": raw(b"GET /v1/session HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
        "a space before the colon": raw(b"GET /v1/session HTTP/1.1\r\nHost : a\r\n\r\n"),
        "lines without carriage returns": raw(b"GET /v1/session HTTP/1.1\nHost: a\n\n"),
        "no host": raw(b"GET /v1/session HTTP/1.1\r\n\r\n"),
        "two hosts": raw(b"GET /v1/session HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        "a zero byte in a header": raw(http(GET, X="a\0b")),
        "a chunk of 16 EiB": raw(http(POST, Transfer_Encoding="chunked", body=b"f" * 17 + b"\r\n")),
    },
    "other protocols": {
        "bytes": raw(bytes(range(256))),
        "TLS to a port without": raw(bytes.fromhex("1603010200010001fc0303") + bytes(501)),
        "HTTP/2": raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        "HTTP/1.9": raw(b"GET /v1/session HTTP/1.9\r\nHost: a\r\n\r\n"),
        "an unknown method": raw(http("GOSSIP /v1/session")),
        "a target that is no URL": raw(http("GET http://[::1/v1/session")),
        "a port that cannot be": raw(http("GET http://a:99999/v1/session")),
        "a web socket": headed("upgrade", 400, GET, Connection="Upgrade", Upgrade="websocket"),
        "a message that becomes HTTP/2": headed(
            "upgrade", 400, Connection="Upgrade", Upgrade="h2c", Content_Length="5"
        ),
        "a tunnel": headed("upgrade", 400, "CONNECT example.org:443"),
    },
    "too much of everything": {
        "a header of 1 MB": raw(http(GET, X="y" * 2**20)),
        "a header name of 1 MB": raw(http(GET, **{"X" * 2**20: "y"})),
        "a target of 1 MB": raw(http(GET + "y" * 2**20)),
        "a method of 1 MB": raw(b"G" * 2**20),
        "10,000 headers": raw(http(GET, {f"X{number}": "y" for number in range(10_000)})),
    },
    "bodies that cannot be taken": {
        "no length": headed("no_length", 411, closes=False),
        "chunks": headed("no_length", 411, Transfer_Encoding="chunked"),
        "compressed chunks": headed("no_length", 411, Transfer_Encoding="gzip, chunked"),
        "a compressed body": headed("content_encoding", 415, Content_Encoding="gzip", Content_Length=str(ENDLESS)),
        "an exotic encoding": headed("content_encoding", 415, Content_Encoding="identity, zstd", Content_Length="5"),
    },
    "envelopes": {
        "no envelope": headed("no_envelope", 400, Content_Length=str(ENDLESS)),
        "no envelope, politely": headed("no_envelope", 400, Content_Length=str(ENDLESS), Expect="100-continue"),
        "an envelope of noise": instead(ENVELOPE, "\xff\xfe" * 500, "no_envelope", 400),
        "an envelope with a tail": instead(ENVELOPE, lambda line: line + " 0", "no_envelope", 400),
        "an unknown purpose": sealed("no_envelope", 400, purpose="gossip"),
        "a signature that is not base64": instead(SIGNATURE, "~", "no_envelope", 400),
        "another version": instead(
            ENVELOPE, lambda line: line.replace("gossipfl/1", "gossipfl/2"), "other_protocol", 400
        ),
        "another run": sealed("other_run", 409, run="0" * 64),
        "another schema": sealed("other_schema", 409, schema="0" * 64),
        "another receiver": sealed("wrong_receiver", 403, receiver="b"),
        "a peer of the run that is no neighbor": sealed("unknown_sender", 403, "c", signer="c"),
        "a peer that nobody knows": sealed("unknown_sender", 403, "c", sender="e", signer="stranger"),
        "an earlier session": sealed("other_session", 409, addressee="0" * 32),
        "a size of 10**12": sealed("too_large", 413, size=ENDLESS),
        "a length that is not the size": sealed("wrong_length", 400, size=999),
        "a poll with a body": sealed("wrong_length", 400, purpose="poll"),
        "no signature": Attack(without(SIGNATURE), 403, "bad_signature", name="d"),
        "no certificate": Attack(without(CERTIFICATE), 403, "bad_certificate", name="d"),
        "neither": Attack(without(CERTIFICATE, SIGNATURE), 403, "bad_certificate", name="d"),
        "another authority's certificate": sealed("bad_certificate", 403, signer="stranger"),
        "a certified peer in another's name": sealed("bad_certificate", 403, signer="c"),
        "an unsigned body": sealed("bad_signature", 403, digest="-"),
        "another peer's signature": instead(SIGNATURE, "A" * 86 + "==", "bad_signature", 403),
        "a certificate of zeros": instead(CERTIFICATE, "A" * 2000, "bad_certificate", 403),
        "an altered envelope": instead(ENVELOPE, lambda line: line.replace(" d 1 ", " d 2 "), "bad_signature", 403),
        "counter 0": sealed("replayed", 409, counter=0),
    },
}


@pytest.mark.parametrize("attacks", ATTACKS.values(), ids=ATTACKS)
def test_the_answer_names_the_reason_and_nothing_of_the_body_is_waited_for(
    attacks: Mapping[str, Attack], tls: bool, credentials: Mapping[str, Credentials]
) -> None:
    async def assault(siege: Siege) -> None:
        for name, attack in attacks.items():
            before = siege.refusals
            async with await siege.wire(attack.name) as wire:
                await wire.send(attack.data(siege))
                told = await wire.told()
                assert (told.status, told.reason) == (attack.status, attack.reason), name
                assert told.headers["content-type"] == "application/json"
                assert siege.refusals - before == {attack.reason: 1}, name
                await siege.exchanges_go_on(1)
                if attack.closes:  # after a moment in which a body that is on its way is thrown away, or at once
                    assert told.closes or await wire.ends() == b"", name
                else:
                    await wire.send(http(GET))
                    assert (await wire.told()).status == 204, name

    besiege(assault, credentials, tls=tls)


def test_head(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    """Its answer has no body, not even one with a reason."""

    async def assault(siege: Siege) -> None:
        async with await siege.wire() as wire:
            await wire.send(http("HEAD /v1/session"))
            assert (await wire.told(with_body=False)).status == 405
            await wire.send(http(GET))
            assert (await wire.told()).status == 204

    assert besiege(assault, credentials, tls=tls) == {"method": 1}


@pytest.mark.parametrize("version", [b" HTTP/1.0", b""], ids=["1.0", "0.9"])
def test_an_old_client(version: bytes, tls: bool, credentials: Mapping[str, Credentials]) -> None:
    """It gets an answer, and the end of the connection that it expects."""

    async def assault(siege: Siege) -> None:
        async with await siege.wire() as wire:
            await wire.send(b"GET /v1/session" + version + b"\r\n\r\n")
            assert (await wire.told()).status == 204
            assert await wire.ends() == b""

    assert besiege(assault, credentials, tls=tls) == {}


def test_no_answer_tells_what_is_inside(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    """Neither files nor lines of this program, nor which libraries it is made of."""

    async def assault(siege: Siege) -> None:
        for data in (http(GET), http("GET /"), http(POST, Content_Length="5"), b"noise", http("GET http://[::1/")):
            async with await siege.wire() as wire:
                await wire.send(data)
                told = await wire.told()
                said = repr((told.headers, told.body)).lower()
                assert not [word for word in ("traceback", ".py", "aiohttp", "python") if word in said]

    besiege(assault, credentials, tls=tls)
