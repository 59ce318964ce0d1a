import re
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
)
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from issued import (
    COMMON_NAME,
    DAY,
    FOR_CLIENTS,
    FOR_CODE,
    NO_AUTHORITY,
    NOON,
    always,
    authority_key,
    certificate,
    der,
    signed_by,
)

from gossipfl.engines.http.trust.certificates import create_authority, issue
from gossipfl.engines.http.trust.credentials import load_credentials
from gossipfl.engines.http.trust.verifier import (
    MAX_CERTIFICATE_BYTES,
    BadCertificate,
    BadSignature,
    Verifier,
    name_of_peer_certificate,
)
from gossipfl.errors import RemoteProtocolError


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
