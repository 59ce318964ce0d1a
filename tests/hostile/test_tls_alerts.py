"""Whom TLS refuses is told why: an honest peer whose certificate has expired reads it in its own log."""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attacker import Wire
from deadline import DEADLINE
from federation import complete, random_shards
from loopback import Loopback
from numpy_trainer import NumpyTrainer
from siege import Siege, besiege

from gossipfl.algorithms import SynchronousGossip
from gossipfl.engines.http.delivering.client import Client
from gossipfl.engines.http.delivering.sealing import Sealer
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.trust.alerts import alert_in
from gossipfl.engines.http.trust.certificates import create_authority, issue
from gossipfl.engines.http.trust.credentials import Credentials, load_credentials
from gossipfl.engines.http.trust.gate import Gate
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.engines.http.wire.offloading import Offloading
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.errors import TransportError

SAID = ("cannot be reached: it refused", "its certificate is refused here", "a caller has hung up")
LONG_AGO = datetime.now(UTC) - timedelta(days=30)


def anonymous(credentials: Mapping[str, Credentials]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(credentials["d"].directory / "ca.pem")
    return context


def of_another_authority(credentials: Mapping[str, Credentials]) -> ssl.SSLContext:
    context = anonymous(credentials)
    stranger = credentials["stranger"].directory
    context.load_cert_chain(stranger / "d.pem", stranger / "d.key")
    return context


def old_fashioned(credentials: Mapping[str, Credentials]) -> ssl.SSLContext:
    context = anonymous(credentials)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


@pytest.mark.parametrize(
    ("who", "alert"),
    [
        (anonymous, "presented no certificate"),
        (of_another_authority, "another authority"),
        (old_fashioned, "does not speak TLS 1.3"),
    ],
    ids=["nobody", "of another authority", "TLS 1.2"],
)
def test_who_is_refused_gets_an_alert(who, alert: str, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        with pytest.raises(ssl.SSLError) as error:
            async with await Wire.open(siege.port, who(credentials)) as wire:
                await wire.reader.read(1)
        assert alert in alert_in(error.value)
        await siege.refused("tls_handshake")
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, tls=True) == {"tls_handshake": 1}


def test_a_peer_whose_certificate_has_expired_reads_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whether it calls or is called; and its neighbor knows whom it refuses."""
    create_authority(tmp_path, clock=lambda: LONG_AGO)
    issue(tmp_path, "0", 1, clock=lambda: LONG_AGO)
    issue(tmp_path, "1")
    credentials = {
        "0": load_credentials(tmp_path, "0", clock=lambda: LONG_AGO),
        "1": load_credentials(tmp_path, "1"),
    }
    graph = complete(2)

    async def run() -> None:
        loopback = Loopback(
            SynchronousGossip(),
            graph,
            NumpyTrainer(random_shards(graph)),
            hosting=lambda peer_id: Hosting(
                Limits(max_backoff=0.1), credentials=credentials[peer_id], meeting_seconds=5.0
            ),
        )
        await loopback.listen()
        loopback.connect()
        running = [asyncio.create_task(host.run()) for host in loopback.hosts.values()]
        async with asyncio.timeout(DEADLINE):
            while not all(said in caplog.text for said in SAID):
                await asyncio.sleep(0.001)
        for host in loopback.hosts.values():
            host.stop()
        await asyncio.gather(*running)
        await loopback.room.close()

    caplog.set_level(logging.INFO)
    asyncio.run(run())
    assert "its certificate is refused here: certificate has expired" in caplog.text
    assert any(record.name.endswith(".meeting") for record in caplog.records)  # at once, not when meeting is over
    (line,) = {record.getMessage() for record in caplog.records if "peer 1 at" in record.getMessage()}
    assert line.endswith(
        "cannot be reached: it refused the TLS connection: the certificate of this peer has expired, "
        "or the clock of one of the two is wrong"
    )


def test_other_errors_are_no_alerts() -> None:
    assert alert_in(OSError("Connection reset by peer")) == ""
    assert alert_in(ssl.SSLError(1, "[SSL: TLSV1_ALERT_DECODE_ERROR] tlsv1 alert decode error")) == (
        "it refused the TLS connection: decode error"
    )


def test_where_nobody_listens_the_error_says_so_and_shows_no_object(credentials: Mapping[str, Credentials]) -> None:
    own = next(iter(credentials))
    gate = Gate(RunFacts({}, {}, 1), own, "0" * 32, ["1"])

    async def call() -> None:
        client = Client(Sealer(gate, 1, credentials[own], Offloading()), Limits(), lambda *_: None)
        try:
            await client.meet("1", "https://127.0.0.1:9")
        finally:
            await client.close()

    with pytest.raises(TransportError) as caught:
        asyncio.run(call())
    assert str(caught.value) == (
        "peer 1 at https://127.0.0.1:9 cannot be reached: [Errno 111] Connect call failed ('127.0.0.1', 9)"
    )
