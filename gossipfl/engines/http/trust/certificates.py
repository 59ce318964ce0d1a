"""A run's own certificate authority, and the certificates of its peers: made, issued and described.

ca.pem, ca.key                     the authority: made once per run, its key stays where certificates are issued
NAME.pem, NAME.key                 a peer: serves and calls with TLS, and signs its messages
NAME.proxy.pem, NAME.proxy.key     what a proxy that ends TLS in front of that peer presents; it signs nothing

* Every key is Ed25519, every connection TLS 1.3. `ca.pem` is all that is trusted: no authority of the system is.
* A peer is the common name of a certificate. TLS looks for `server_name(NAME)`, never for the address of a host.
* A certificate is valid until it expires. When the key of a peer leaks, the others shut it out by its name
  (`http.revoked`).
"""

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from gossipfl.engines.http.trust.certificate_files import (
    check_name,
    read_authority,
    read_certificate,
    read_private_key,
    write_new,
)
from gossipfl.engines.http.trust.verifier import CLIENT, NOT_READABLE, SERVER, Clock, common_name_of, kind_of, utc_now
from gossipfl.errors import ConfigurationError
from gossipfl.weights import PeerId

MAX_DAYS = 36_500

_SKEW = timedelta(hours=1)
"""How far a peer's clock may be behind that of the machine which issued its certificate."""


def server_name(name: PeerId) -> str:
    """The DNS name in the certificate of a peer, for TLS to compare with: 40 hex digits of SHA-256(name) below a domain
    that no resolver answers for. Host names ignore case and have no underscore; names of peers may differ in either."""
    return f"{hashlib.sha256(name.encode()).hexdigest()[:40]}.gossipfl.invalid"


def create_authority(directory: Path, days: int = 365, *, clock: Clock = utc_now) -> None:
    """Write `ca.pem` and `ca.key` (readable for its owner only) into a directory, which is made if need be.

    Raises ConfigurationError when one of them is there already or cannot be written; nothing is changed then.
    """
    start, end = _validity(days, clock())
    key = Ed25519PrivateKey.generate()
    # Two authorities never share a subject, so that certificates of another run are told apart by their issuer.
    subject = _subject(f"gossipfl {os.urandom(8).hex()}")
    certificate = (
        _builder(subject, subject, key.public_key(), start, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, None)
    )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make the directory {directory}: {error.strerror}") from error
    write_new(
        directory,
        "ca",
        certificate,
        key,
        "Certificates are issued with the authority that is there. To begin anew, move ca.pem and ca.key away first, "
        "and issue the certificates of all peers again.",
    )


def issue(directory: Path, name: PeerId, days: int = 365, *, proxy: bool = False, clock: Clock = utc_now) -> Path:
    """Write `NAME.pem` and `NAME.key`, or with `proxy` `NAME.proxy.pem` and `NAME.proxy.key`, signed with `ca.key` of
    the same directory; returns the path of the certificate, which is valid no longer than its authority.

    Raises ConfigurationError for a name that cannot be one of a peer or would clash with another file, when there is
    no usable authority, and when a file is there already; nothing is changed then.
    """
    check_name(name)
    now = clock()
    authority = read_authority(directory / "ca.pem", now)
    authority_key = read_private_key(
        directory / "ca.key",
        authority,
        "Certificates are issued where the key of the authority is kept; `gossipfl certs init` makes a new authority.",
    )
    start, end = _validity(days, now)
    key = Ed25519PrivateKey.generate()
    issuer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _builder(_subject(name), authority.subject, key.public_key(), start, min(end, authority.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([SERVER] if proxy else [SERVER, CLIENT]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(server_name(name))]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        .sign(authority_key, None)
    )
    stem = f"{name}.proxy" if proxy else name
    write_new(
        directory,
        stem,
        certificate,
        key,
        f"To issue anew, move {stem}.pem and {stem}.key away first.",
    )
    return directory / f"{stem}.pem"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """The public facts of a certificate; `days_left` is rounded down, below 0 once it has expired."""

    name: str
    kind: Literal["authority", "peer", "proxy"]
    not_before: datetime
    not_after: datetime
    fingerprint: str
    days_left: int


def describe(path: Path, *, clock: Clock = utc_now) -> CertificateFacts:
    """The facts of one certificate file; the fingerprint is the SHA-256 of its DER form, in hex.

    Raises ConfigurationError naming the file when it is not a certificate of the kinds made here.
    """
    certificate = read_certificate(path, "")
    try:
        kind, name = kind_of(certificate), common_name_of(certificate)
    except NOT_READABLE as error:
        raise ConfigurationError(
            f"{path} is neither the certificate of an authority, a peer nor a proxy of gossipfl: {error}. Move it away."
        ) from error
    return CertificateFacts(
        name,
        kind,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        certificate.fingerprint(SHA256()).hex(),
        (certificate.not_valid_after_utc - clock()).days,
    )


def described(directory: Path, *, clock: Clock = utc_now) -> list[CertificateFacts]:
    """The facts of every `*.pem` of a directory, in the order of file names."""
    if not directory.is_dir():
        raise ConfigurationError(f"{directory} is not a directory; `gossipfl certs init` makes an authority in one")
    return [describe(path, clock=clock) for path in sorted(directory.glob("*.pem"))]


def _validity(days: int, now: datetime) -> tuple[datetime, datetime]:
    if not 1 <= days <= MAX_DAYS:
        raise ConfigurationError(f"days must be 1 to {MAX_DAYS}, got {days}")
    return now - _SKEW, now + timedelta(days=days)


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Ed25519PublicKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
