import errno
import os
import re
import shutil
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from issued import (
    DAY,
    NOON,
    always,
    certificate,
    contents,
    mode,
    new_run,
    signed_by,
)

from gossipfl.engines.http.trust.certificates import create_authority, describe, described, issue, server_name
from gossipfl.engines.http.trust.credentials import load_credentials
from gossipfl.errors import ConfigurationError


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
