"""Runs with an authority and the certificates of peers, and certificates that a careless authority might sign."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gossipfl.engines.http.trust.certificates import create_authority, issue

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
COMMON_NAME = NameOID.COMMON_NAME
NO_AUTHORITY = x509.BasicConstraints(ca=False, path_length=None)
FOR_CLIENTS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
FOR_CODE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])


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
