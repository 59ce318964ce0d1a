import asyncio
import os
import re
import shutil
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from deadline import DEADLINE
from issued import (
    DAY,
    NOON,
    always,
    der,
    new_run,
)

from gossipfl.engines.http.trust.certificates import create_authority, issue, server_name
from gossipfl.engines.http.trust.credentials import Credentials, load_credentials
from gossipfl.engines.http.trust.verifier import (
    BadCertificate,
    name_of_peer_certificate,
)
from gossipfl.errors import ConfigurationError

of_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


# Loading credentials


def test_printing_credentials_shows_no_key(run):
    credentials = load_credentials(run, "a")
    shown = f"{credentials!r} {credentials} {credentials.verifier()!r}"
    assert "'a'" in shown
    assert "Private" not in shown
    assert "PRIVATE" not in shown
    assert "_key" not in shown


@pytest.mark.parametrize("missing", ["ca.pem", "a.pem", "a.key"])
def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path, missing):
    new_run(tmp_path, "a")
    (tmp_path / missing).unlink()
    with pytest.raises(
        ConfigurationError, match=rf"{re.escape(missing)} is not there, .*`gossipfl certs issue a`"
    ) as found:
        load_credentials(tmp_path, "a")
    assert "PEM" not in str(found.value)  # it is not there: that is the cause
    assert str(found.value).count("gossipfl certs issue a") == 1
    (tmp_path / missing).mkdir()
    with pytest.raises(ConfigurationError, match=rf"{re.escape(missing)} is not there, or not a file"):
        load_credentials(tmp_path, "a")


@pytest.mark.parametrize("bits", [0o644, 0o604, 0o660, 0o620, 0o610, 0o601, 0o777])
def test_a_key_that_others_can_use_is_refused(tmp_path, bits):
    (new_run(tmp_path, "a") / "a.key").chmod(bits)
    with pytest.raises(ConfigurationError, match=rf"a\.key has the mode {bits:04o}, .*`chmod 600 {tmp_path}/a\.key`"):
        load_credentials(tmp_path, "a")


@pytest.mark.parametrize("bits", [0o600, 0o400, 0o700])
def test_a_key_of_its_owner_alone_is_accepted(tmp_path, bits):
    (new_run(tmp_path, "a") / "a.key").chmod(bits)
    assert load_credentials(tmp_path, "a").name == "a"


@of_root
def test_a_group_may_read_the_key_only_when_it_belongs_to_root(tmp_path):
    key = new_run(tmp_path, "a") / "a.key"
    key.chmod(0o640)
    assert load_credentials(tmp_path, "a").name == "a"
    os.chown(key, 65_534, -1)
    with pytest.raises(ConfigurationError, match="has the mode 0640"):
        load_credentials(tmp_path, "a")
    key.chmod(0o600)
    assert load_credentials(tmp_path, "a").name == "a"


def test_only_the_key_is_private(tmp_path):
    new_run(tmp_path, "a")
    for path in ("a.pem", "ca.pem"):
        (tmp_path / path).chmod(0o666)
    assert load_credentials(tmp_path, "a").name == "a"


def key_with_a_password(run):
    return ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )


def key_of_another_kind(run):
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a.key", lambda run: (run / "b.key").read_bytes(), r"a\.key is not the key of the certificate a\.pem"),
        ("a.key", lambda run: (run / "a.pem").read_bytes(), "is not a private key in PEM form"),
        ("a.key", lambda run: (run / "a.key").read_bytes()[:-40], "is not a private key in PEM form"),
        ("a.key", lambda run: b"\0" * 70_000, "has more than 65536 bytes"),
        ("a.key", key_with_a_password, "is not a private key in PEM form without a password"),
        ("a.key", key_of_another_kind, "is not an Ed25519 key"),
        ("a.pem", lambda run: (run / "a.pem").read_bytes() * 2, "has 2 certificates, expected one"),
        ("ca.pem", lambda run: (run / "ca.pem").read_bytes() * 2, "has 2 certificates, expected one"),
        ("ca.pem", lambda run: (run / "a.pem").read_bytes(), "is not the certificate of an authority"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, file, content, message):
    new_run(tmp_path)
    key = (tmp_path / "a.key").read_text().splitlines()[1]
    (tmp_path / file).write_bytes(content(tmp_path))
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_credentials(tmp_path, "a")
    assert key not in str(caught.value)
    if file == "a.key":
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("stem", "message"), [("b", "is the certificate of peer 'b', not of 'a'"), ("a.proxy", "of the kind 'proxy'")]
)
def test_the_certificate_of_somebody_else_is_refused(tmp_path, stem, message):
    new_run(tmp_path)
    issue(tmp_path, "a", proxy=True)
    for suffix in (".pem", ".key"):
        (tmp_path / f"{stem}{suffix}").replace(tmp_path / f"a{suffix}")
    with pytest.raises(ConfigurationError, match=message):
        load_credentials(tmp_path, "a")


def test_credentials_of_another_run_are_refused(tmp_path, other_run):
    shutil.copy(other_run / "ca.pem", new_run(tmp_path) / "ca.pem")
    with pytest.raises(ConfigurationError, match=r"a\.pem cannot be used: .*not signed by the authority of this run"):
        load_credentials(tmp_path, "a")


def test_an_expired_certificate_says_when_and_what_to_do(tmp_path):
    create_authority(tmp_path, clock=always(NOON))
    issue(tmp_path, "a", 7, clock=always(NOON))
    assert load_credentials(tmp_path, "a", clock=always(NOON + 7 * DAY)).not_after == NOON + 7 * DAY
    with pytest.raises(
        ConfigurationError, match=r"a\.pem has expired on 2030-06-08 12:00:00\+00:00\. Move .*`gossipfl certs issue a`"
    ):
        load_credentials(tmp_path, "a", clock=always(NOON + 8 * DAY))
    with pytest.raises(ConfigurationError, match=r"ca\.pem is not valid before 2030-06-01 11:.*Set the clock"):
        load_credentials(tmp_path, "a", clock=always(NOON - DAY))
    assert load_credentials(tmp_path, "a", clock=always(NOON - timedelta(minutes=59))).name == "a"


def test_files_that_vanish_after_loading_are_reported(tmp_path):
    credentials = load_credentials(new_run(tmp_path, "a"), "a")
    (tmp_path / "a.key").unlink()
    with pytest.raises(ConfigurationError, match="no longer what they were"):
        credentials.client_context()


# TLS


async def greeting(server: ssl.SSLContext, client: ssl.SSLContext, hostname: str) -> str:
    """What a server says to a client over TLS: whom it sees, and the version. Empty when it hangs up."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls = writer.get_extra_info("ssl_object")
        writer.write(f"{name_of_peer_certificate(tls.getpeercert(binary_form=True))} {tls.version()}".encode())
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server)
    async with listener, asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection(
            *listener.sockets[0].getsockname(), ssl=client, server_hostname=hostname
        )
        try:
            return (await reader.read()).decode()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def talk(server: ssl.SSLContext, client: ssl.SSLContext, hostname: str) -> str:
    return asyncio.run(greeting(server, client, hostname))


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, hostname: str) -> None:
    """A handshake in memory, which raises what the first side to object has to say."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = client.wrap_bio(to_client, to_server, server_hostname=hostname)
    listener = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (caller, listener) * 3:
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()


def context_of(protocol: int, authority: Path, *certificates: Path) -> ssl.SSLContext:
    """A context of some other program: trusts the authority and presents a certificate, if any."""
    context = ssl.SSLContext(protocol)
    context.load_verify_locations(authority)
    for path in certificates:
        context.load_cert_chain(path, path.with_suffix(".key"))
    return context


@pytest.mark.parametrize("make", [Credentials.server_context, Credentials.client_context])
def test_contexts_trust_this_authority_only(run, make):
    context = make(load_credentials(run, "a"))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.get_ca_certs(binary_form=True) == [der(run / "ca.pem")]


def test_two_peers_of_a_run_know_each_other(run):
    server, client = load_credentials(run, "a"), load_credentials(run, "b")
    assert talk(server.server_context(), client.client_context(), server_name("a")) == "b TLSv1.3"


def test_a_peer_that_is_not_the_expected_one_is_refused(run):
    server, client = load_credentials(run, "a"), load_credentials(run, "b")
    for hostname in (server_name("b"), server_name("A"), "a", "localhost", "127.0.0.1"):
        with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch|not valid for"):
            talk(server.server_context(), client.client_context(), hostname)


def test_the_name_of_a_peer_is_no_server_name(tmp_path):
    impostor = server_name("a")
    new_run(tmp_path, impostor, "b")
    server, client = load_credentials(tmp_path, impostor), load_credentials(tmp_path, "b")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        talk(server.server_context(), client.client_context(), server_name("a"))


def test_a_server_of_another_run_is_refused(run, other_run):
    server, client = load_credentials(other_run, "a"), load_credentials(run, "b")
    with pytest.raises(ssl.SSLCertVerificationError):
        talk(server.server_context(), client.client_context(), server_name("a"))


@pytest.mark.parametrize(
    ("presents", "reason"),
    [
        ("nothing", "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        ("b of another run", "unable to get local issuer certificate"),
        ("a proxy", "unsuitable certificate purpose"),
        ("the authority", "unsuitable certificate purpose"),
        ("an expired one", "certificate has expired"),
    ],
)
def test_a_client_without_the_certificate_of_a_peer_is_refused(tmp_path, other_run, presents, reason):
    long_ago = always(datetime.now(UTC) - 9 * DAY)
    create_authority(tmp_path, clock=long_ago)
    issue(tmp_path, "a")
    issue(tmp_path, "b", 1, clock=long_ago)
    issue(tmp_path, "b", proxy=True)
    certificates = {
        "nothing": [],
        "b of another run": [other_run / "b.pem"],
        "a proxy": [tmp_path / "b.proxy.pem"],
        "the authority": [tmp_path / "ca.pem"],
        "an expired one": [tmp_path / "b.pem"],
    }
    server = load_credentials(tmp_path, "a").server_context()
    client = context_of(ssl.PROTOCOL_TLS_CLIENT, tmp_path / "ca.pem", *certificates[presents])
    with pytest.raises(ssl.SSLError, match=reason):
        shake_hands(server, client, server_name("a"))
    with suppress(ssl.SSLError, ConnectionError):
        assert talk(server, client, server_name("a")) == ""


def test_an_older_tls_is_refused(run):
    client = context_of(ssl.PROTOCOL_TLS_CLIENT, run / "ca.pem", run / "b.pem")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        shake_hands(load_credentials(run, "a").server_context(), client, server_name("a"))


def test_a_proxy_can_serve_for_its_peer_and_cannot_sign_for_it(tmp_path):
    path = issue(new_run(tmp_path), "a", proxy=True)
    server = context_of(ssl.PROTOCOL_TLS_SERVER, tmp_path / "ca.pem", path)
    server.verify_mode = ssl.CERT_REQUIRED
    client = load_credentials(tmp_path, "b")
    assert talk(server, client.client_context(), server_name("a")) == "b TLSv1.3"

    signature = load_pem_private_key(path.with_suffix(".key").read_bytes(), None).sign(b"text")
    with pytest.raises(BadCertificate, match="of the kind 'proxy', and only a peer signs"):
        client.verifier().verify(der(path), signature, b"text")
