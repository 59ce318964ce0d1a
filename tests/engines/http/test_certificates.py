import asyncio
import errno
import os
import re
import shutil
import ssl
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.engines.http.certificates import (
    MAX_CERTIFICATE_BYTES,
    BadCertificate,
    BadSignature,
    Credentials,
    Verifier,
    create_authority,
    describe,
    described,
    issue,
    load_credentials,
    name_of_peer_certificate,
    server_name,
)
from gossipfl.errors import ConfigurationError, RemoteProtocolError

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)

of_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The directory of a run of peers "a" and "b"."""
    return new_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def other_run(tmp_path_factory):
    """Another run, whose peers have the same names."""
    return new_run(tmp_path_factory.mktemp("other-run"))


def new_run(directory: Path, *names: str) -> Path:
    create_authority(directory)
    for name in names or ("a", "b"):
        issue(directory, name)
    return directory


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def der(path: Path) -> bytes:
    return certificate(path).public_bytes(Encoding.DER)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def always(moment: datetime):
    return lambda: moment


# Making files


def test_a_certificate_says_who_its_peer_is_and_what_it_may_do(run):
    extensions = certificate(run / "a.pem").extensions
    assert certificate(run / "a.pem").subject.rfc4514_string() == "CN=a"
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [server_name("a")]
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    }


def test_an_authority_certifies_peers_and_no_other_authority(run):
    authority = certificate(run / "ca.pem")
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert usage.crl_sign
    assert not usage.digital_signature
    authority.verify_directly_issued_by(authority)
    certificate(run / "a.pem").verify_directly_issued_by(authority)


def test_two_authorities_are_told_apart_by_their_names(run, other_run):
    assert certificate(run / "ca.pem").subject != certificate(other_run / "ca.pem").subject


def test_a_proxy_may_serve_and_nothing_else(tmp_path):
    path = issue(new_run(tmp_path, "a"), "a", proxy=True)
    assert path == tmp_path / "a.proxy.pem"
    assert mode(tmp_path / "a.proxy.key") == 0o600
    usages = certificate(path).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert set(contents(tmp_path)) == {"ca.pem", "ca.key", "a.pem", "a.key", "a.proxy.pem", "a.proxy.key"}


def test_a_key_is_readable_for_its_owner_only_from_the_moment_it_exists(tmp_path, monkeypatch):
    created = {}
    really_open = os.open

    def spying_open(path, flags, *arguments, **keywords):
        descriptor = really_open(path, flags, *arguments, **keywords)
        if flags & os.O_CREAT:
            created[Path(path).name] = (stat.S_IMODE(os.fstat(descriptor).st_mode), bool(flags & os.O_EXCL))
        return descriptor

    monkeypatch.setattr(os, "open", spying_open)
    before = os.umask(0)
    try:
        new_run(tmp_path / "new" / "run", "a")
    finally:
        os.umask(before)
    expected = {"ca.key": 0o600, "ca.pem": 0o644, "a.key": 0o600, "a.pem": 0o644}
    assert created == {name: (bits, True) for name, bits in expected.items()}
    assert {path.name: mode(path) for path in (tmp_path / "new" / "run").iterdir()} == expected
    assert mode(tmp_path / "new" / "run") == 0o700


@pytest.mark.parametrize("there", ["ca.pem", "ca.key"])
def test_an_authority_is_never_overwritten(tmp_path, there):
    (tmp_path / there).write_text("precious")
    with pytest.raises(ConfigurationError, match=rf"{there} is there already, nothing was changed\. .*move ca\.pem"):
        create_authority(tmp_path)
    assert contents(tmp_path) == {there: b"precious"}


@pytest.mark.parametrize("there", ["a.pem", "a.key"])
def test_a_certificate_is_never_overwritten(tmp_path, there):
    create_authority(tmp_path)
    (tmp_path / there).write_text("precious")
    before = contents(tmp_path)
    with pytest.raises(ConfigurationError, match=rf"{there} is there already, nothing was changed\. .*move a\.pem and"):
        issue(tmp_path, "a")
    assert contents(tmp_path) == before


def test_a_link_is_not_followed(tmp_path):
    create_authority(tmp_path)
    (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="is there already"):
        issue(tmp_path, "a")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("last", range(4), ids=["key", "name of the key", "certificate", "name of the certificate"])
def test_a_full_disk_leaves_neither_file(tmp_path, monkeypatch, last):
    create_authority(tmp_path)
    before = contents(tmp_path)
    synced = []

    def no_space(descriptor):
        if len(synced) == last:
            raise OSError(errno.ENOSPC, "No space left on device")
        synced.append(descriptor)

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(ConfigurationError, match=r"cannot write a\.pem and a\.key to .*: No space left"):
        issue(tmp_path, "a")
    assert contents(tmp_path) == before


def test_a_file_in_place_of_a_directory_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot make the directory"):
        create_authority(tmp_path / "file")


@pytest.mark.parametrize(
    "name", ["a", "A", "7", "-1", "under_score", "with.dots", "caa", "proxy", "a.proxy.b", "x" * 64]
)
def test_every_other_name_of_a_peer_gets_a_certificate(tmp_path, name):
    assert load_credentials(new_run(tmp_path, name), name).name == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", ".hidden", "a/b", "../a", "a\n", "a b", "é", "a\0", "x" * 65),
        *("ca", "CA", "a.proxy", "a.PROXY", ".proxy"),
    ],
)
def test_a_name_that_would_make_a_surprising_file_is_refused(run, name):
    before = contents(run)
    for proxy in (False, True):
        with pytest.raises(ConfigurationError, match=re.escape(repr(name))):
            issue(run, name, proxy=proxy)
    with pytest.raises(ConfigurationError, match=re.escape(repr(name))):
        load_credentials(run, name)
    assert contents(run) == before


@given(st.from_regex(r"\A[A-Za-z0-9._-]{1,64}\Z"))
def test_every_peer_has_a_valid_server_name_of_its_own(name):
    assert re.fullmatch(r"[0-9a-f]{40}\.gossipfl\.invalid", server_name(name))
    assert name.swapcase() == name or server_name(name.swapcase()) != server_name(name)


def test_a_server_name_never_changes():
    assert server_name("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8.gossipfl.invalid"


@pytest.mark.parametrize("days", [0, -1, 36_501])
def test_an_impossible_number_of_days_is_refused(tmp_path, days):
    with pytest.raises(ConfigurationError, match=f"days must be 1 to 36500, got {days}"):
        create_authority(tmp_path, days)
    create_authority(tmp_path)
    with pytest.raises(ConfigurationError, match=f"days must be 1 to 36500, got {days}"):
        issue(tmp_path, "a", days)


def test_a_certificate_is_not_valid_longer_than_its_authority(tmp_path):
    create_authority(tmp_path, 10, clock=always(NOON))
    later = NOON + DAY
    assert certificate(issue(tmp_path, "a", 3, clock=always(later))).not_valid_after_utc == later + 3 * DAY
    assert certificate(issue(tmp_path, "b", 365, clock=always(later))).not_valid_after_utc == NOON + 10 * DAY
    assert certificate(tmp_path / "a.pem").not_valid_before_utc == later - timedelta(hours=1)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda run: (run / "ca.pem").unlink(), r"ca\.pem is not there, .*certs init"),
        (lambda run: (run / "ca.key").unlink(), r"ca\.key is not there, .*where the key of the authority is kept"),
        (lambda run: (run / "ca.pem").write_text("?"), r"ca\.pem is not a certificate in PEM form"),
        (lambda run: (run / "ca.key").write_text("?"), r"ca\.key is not a private key in PEM form"),
        (lambda run: (run / "ca.key").chmod(0o644), r"ca\.key has the mode 0644, .*chmod 600 .*ca\.key"),
        (lambda run: shutil.copy(run / "a.key", run / "ca.key"), r"ca\.key is not the key of the certificate ca\.pem"),
        (lambda run: shutil.copy(run / "a.pem", run / "ca.pem"), r"ca\.pem is not the certificate of an authority"),
    ],
)
def test_nothing_is_issued_without_a_usable_authority(tmp_path, broken, message):
    new_run(tmp_path, "a")
    broken(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        issue(tmp_path, "new")
    assert not list(tmp_path.glob("new*"))


def test_an_expired_authority_issues_nothing(tmp_path):
    create_authority(tmp_path, 10, clock=always(NOON))
    with pytest.raises(ConfigurationError, match=r"ca\.pem has expired on 2030-06-11 .*Make a new authority"):
        issue(tmp_path, "a", clock=always(NOON + 11 * DAY))


# Describing files


def test_the_facts_of_a_directory_are_listed_by_file(tmp_path):
    create_authority(tmp_path, 100, clock=always(NOON))
    for name, proxy in (("b", False), ("a", False), ("a", True)):
        issue(tmp_path, name, 10, proxy=proxy, clock=always(NOON))
    facts = described(tmp_path, clock=always(NOON + 2.5 * DAY))
    assert [(fact.kind, fact.name) for fact in facts[:2]] == [("peer", "a"), ("proxy", "a")]
    assert [(fact.kind, fact.name) for fact in facts[2:]] == [
        ("peer", "b"),
        ("authority", certificate(tmp_path / "ca.pem").subject.rfc4514_string().removeprefix("CN=")),
    ]
    assert [fact.days_left for fact in facts] == [7, 7, 7, 97]
    assert (facts[0].not_before, facts[0].not_after) == (NOON - timedelta(hours=1), NOON + 10 * DAY)
    assert re.fullmatch("[0-9a-f]{64}", facts[0].fingerprint)
    assert len({fact.fingerprint for fact in facts}) == 4
    assert describe(tmp_path / "a.pem", clock=always(NOON + 10 * DAY + timedelta(seconds=1))).days_left == -1


@pytest.mark.parametrize("content", ["", "certificate", "a.key", "a.pem twice", "long", "web site"])
def test_a_file_that_is_no_certificate_is_named(tmp_path, content):
    new_run(tmp_path, "a")
    pem = (tmp_path / "a.pem").read_text()
    text = {
        "a.key": (tmp_path / "a.key").read_text(),
        "a.pem twice": pem * 2,
        "long": pem + " " * 65_536,
        "web site": signed_by(tmp_path, extensions=[]).public_bytes(Encoding.PEM).decode(),
    }
    (tmp_path / "bad.pem").write_text(text.get(content, content))
    with pytest.raises(ConfigurationError, match=r"bad\.pem") as caught:
        described(tmp_path)
    assert "PRIVATE" not in str(caught.value)


def test_a_directory_that_is_not_there_has_no_facts(tmp_path):
    with pytest.raises(ConfigurationError, match="nowhere is not a directory"):
        described(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match=r"a\.pem is not there"):
        describe(tmp_path / "a.pem")


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
    with pytest.raises(ConfigurationError, match=rf"{re.escape(missing)} is not there, .*`gossipfl certs issue a`"):
        load_credentials(tmp_path, "a")
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
    async with listener, asyncio.timeout(30):
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


# Signatures, and certificates of strangers

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
COMMON_NAME = NameOID.COMMON_NAME
NO_AUTHORITY = x509.BasicConstraints(ca=False, path_length=None)
FOR_CLIENTS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
FOR_CODE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])


def authority_key(directory: Path) -> ed25519.Ed25519PrivateKey:
    return load_pem_private_key((directory / "ca.key").read_bytes(), None)


def signed_by(directory: Path, **unusual) -> x509.Certificate:
    """A certificate of peer "a" that `issue` might not make."""
    now = datetime.now(UTC)
    usual = {
        "subject": [x509.NameAttribute(COMMON_NAME, "a")],
        "issuer": certificate(directory / "ca.pem").subject,
        "key": KEY.public_key(),
        "start": now - DAY,
        "end": now + DAY,
        "extensions": [NO_AUTHORITY, FOR_CLIENTS],
    }
    assert unusual.keys() <= usual.keys()
    asked = usual | unusual
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(asked["subject"]))
        .issuer_name(asked["issuer"])
        .public_key(asked["key"])
        .serial_number(7)
        .not_valid_before(asked["start"])
        .not_valid_after(asked["end"])
    )
    for extension in [x509.SubjectAlternativeName([x509.DNSName("long." * 30 + "invalid")]), *asked["extensions"]]:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(authority_key(directory), None)


@pytest.fixture(scope="module")
def verifier(run):
    return load_credentials(run, "a").verifier()


@pytest.fixture(scope="module")
def good(run):
    return der(run / "b.pem")


def test_a_signature_tells_who_signed(run, verifier):
    signer = load_credentials(run, "b")
    signature = signer.sign(b"text")
    assert len(signature) == 64
    assert verifier.verify(signer.certificate, signature, b"text") == "b"
    assert verifier.public_key(signer.certificate)[0] == "b"
    assert name_of_peer_certificate(signer.certificate) == "b"


def test_a_signature_over_or_of_something_else_is_refused(run, verifier):
    a, b = load_credentials(run, "a"), load_credentials(run, "b")
    signature = b.sign(b"text")
    for wrong in (a.sign(b"text"), b.sign(b"other"), b"", signature[:-1], signature + b"\0", bytes(64)):
        with pytest.raises(BadSignature, match="not that of peer b over this text"):
            verifier.verify(b.certificate, wrong, b"text")


def test_bad_certificates_and_signatures_are_the_fault_of_another_peer():
    assert issubclass(BadCertificate, RemoteProtocolError)
    assert issubclass(BadSignature, RemoteProtocolError)


def test_the_same_name_in_another_run_is_a_stranger(verifier, other_run):
    stranger = load_credentials(other_run, "b")
    with pytest.raises(BadCertificate, match="not signed by the authority of this run"):
        verifier.verify(stranger.certificate, stranger.sign(b"text"), b"text")


def test_no_bit_of_a_certificate_can_be_changed(verifier, good):
    assert verifier.public_key(good)[0] == "b"
    for position in range(8 * len(good)):
        changed = bytearray(good)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(BadCertificate):
            verifier.public_key(bytes(changed))


def test_no_other_length_of_a_certificate_is_accepted(verifier, good):
    longer = [good + bytes(count) for count in (1, 2, 64, 3000)]
    shorter = [good[:count] for count in range(len(good))]
    for changed in [*longer, *shorter, b"\0" + good, good * 2]:
        with pytest.raises(BadCertificate):
            verifier.public_key(changed)


def test_the_order_of_the_group_cannot_be_added_to_a_signature(verifier, good):
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(good[-32:], "little") + order
    with pytest.raises(BadCertificate, match="not signed by the authority"):
        verifier.public_key(good[:-32] + scalar.to_bytes(32, "little"))


@given(st.binary(max_size=MAX_CERTIFICATE_BYTES + 1))
def test_random_bytes_are_a_bad_certificate(verifier, noise):
    with pytest.raises(BadCertificate):
        verifier.public_key(noise)
    with pytest.raises(BadCertificate):
        name_of_peer_certificate(noise)


@given(st.data())
def test_a_certificate_with_a_piece_replaced_is_bad_or_the_same(verifier, good, data):
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, len(good)))
    changed = good[:start] + data.draw(st.binary(max_size=80)) + good[end:]
    if changed == good:
        assert verifier.public_key(changed)[0] == "b"
    else:
        with pytest.raises(BadCertificate):
            verifier.public_key(changed)


def resigned(run: Path, signed_part: bytes) -> bytes:
    """Bytes of any kind as a certificate whose signature is good."""
    body = signed_part + bytes.fromhex("300506032b6570034100") + authority_key(run).sign(signed_part)
    return bytes.fromhex("3082") + len(body).to_bytes(2) + body


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.data())
def test_whatever_the_authority_signs_is_a_bad_certificate_or_that_of_a_peer(run, verifier, good, data):
    signed_part = bytearray(good[4:-74])
    assert resigned(run, bytes(signed_part)) == good
    for _ in range(data.draw(st.integers(1, 3))):
        signed_part[data.draw(st.integers(0, len(signed_part) - 1))] = data.draw(st.integers(0, 255))
    try:
        name, _ = verifier.public_key(resigned(run, bytes(signed_part)))
    except BadCertificate:
        return
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name)


@given(st.binary(min_size=256, max_size=600))
def test_noise_that_the_authority_signs_is_a_bad_certificate(run, verifier, noise):
    with pytest.raises(BadCertificate, match="cannot be read"):
        verifier.public_key(resigned(run, noise))


@pytest.mark.parametrize(
    ("unusual", "message"),
    [
        ({"subject": [x509.NameAttribute(COMMON_NAME, "a b")]}, "'a b' cannot be the name of a peer"),
        ({"subject": [x509.NameAttribute(COMMON_NAME, name) for name in "ab"]}, "no common name, or several"),
        ({"subject": [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "a")]}, "no common name, or several"),
        ({"issuer": x509.Name([x509.NameAttribute(COMMON_NAME, "x")])}, "names another issuer: CN=x"),
        ({"key": ec.generate_private_key(ec.SECP256R1()).public_key()}, "not of the kind Ed25519"),
        ({"extensions": []}, "cannot be read"),
        ({"extensions": [NO_AUTHORITY]}, "cannot be read"),
        ({"extensions": [NO_AUTHORITY, FOR_CODE]}, "for neither TLS servers nor TLS clients"),
        ({"extensions": [x509.BasicConstraints(ca=True, path_length=None), FOR_CLIENTS]}, "of the kind 'authority'"),
    ],
)
def test_not_every_certificate_of_the_authority_is_that_of_a_peer(run, verifier, unusual, message):
    assert verifier.public_key(signed_by(run).public_bytes(Encoding.DER))[0] == "a"
    with pytest.raises(BadCertificate, match=message):
        verifier.public_key(signed_by(run, **unusual).public_bytes(Encoding.DER))


def test_the_authority_itself_is_no_peer(run, verifier):
    with pytest.raises(BadCertificate, match="of the kind 'authority'"):
        verifier.public_key(der(run / "ca.pem"))


def test_a_certificate_that_was_good_once_expires_all_the_same(tmp_path):
    create_authority(tmp_path, 100, clock=always(NOON))
    issue(tmp_path, "a", 7, clock=always(NOON))
    moments = [NOON, NOON + 7 * DAY, NOON - timedelta(minutes=59)]
    bad_moments = [NOON + 7 * DAY + timedelta(seconds=1), NOON - timedelta(minutes=61)]
    clock = iter(moments + bad_moments)
    verifier = load_credentials(tmp_path, "a", clock=always(NOON)).verifier(lambda: next(clock))
    certificate_of_a = der(tmp_path / "a.pem")
    for _ in moments:
        assert verifier.public_key(certificate_of_a)[0] == "a"
    for _ in bad_moments:
        with pytest.raises(BadCertificate, match="certificate of peer a is valid from 2030-06-01 11:00"):
            verifier.public_key(certificate_of_a)


def test_no_certificate_outlives_the_authority(tmp_path):
    create_authority(tmp_path, 1, clock=always(NOON))
    outliving = signed_by(tmp_path, start=NOON - DAY, end=NOON + 9 * DAY).public_bytes(Encoding.DER)
    authority = certificate(tmp_path / "ca.pem")
    assert Verifier(authority, always(NOON + DAY)).public_key(outliving)[0] == "a"
    with pytest.raises(BadCertificate, match="to 2030-06-02 12:00"):
        Verifier(authority, always(NOON + 2 * DAY)).public_key(outliving)


def test_a_good_certificate_is_remembered_and_a_bad_one_is_not(run, good, monkeypatch):
    parsed = []
    really_load = x509.load_der_x509_certificate
    monkeypatch.setattr(x509, "load_der_x509_certificate", lambda data: parsed.append(data) or really_load(data))
    verifier = load_credentials(run, "a").verifier()
    parsed.clear()
    for _ in range(3):
        assert verifier.public_key(good)[0] == "b"
        with pytest.raises(BadCertificate):
            verifier.public_key(der(run / "ca.pem"))
    assert parsed == [good, *[der(run / "ca.pem")] * 3]


def test_a_stranger_does_not_reach_the_parser(verifier, other_run, monkeypatch):
    monkeypatch.setattr(x509, "load_der_x509_certificate", lambda data: pytest.fail("parsed"))
    with pytest.raises(BadCertificate, match="not signed"):
        verifier.public_key(der(other_run / "b.pem"))
