"""A run's own certificate authority, the certificates of its peers, and signatures that carry them.

ca.pem, ca.key                     the authority: made once per run, its key stays where certificates are issued
NAME.pem, NAME.key                 a peer: serves and calls with TLS, and signs its messages
NAME.proxy.pem, NAME.proxy.key     what a proxy that ends TLS in front of that peer presents; it signs nothing

* Every key is Ed25519, every connection TLS 1.3. `ca.pem` is all that is trusted: no authority of the system is.
* A peer is the common name of a certificate. TLS looks for `server_name(NAME)`, never for the address of a host.
* The bytes of a stranger reach the X.509 parser only after the authority's signature on them was found good.
* A certificate cannot be revoked before it expires. When the key of a peer leaks, make a new authority.
"""

import hashlib
import os
import re
import shlex
import ssl
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.weights import PeerId

SIGNATURE_BYTES = 64
MAX_CERTIFICATE_BYTES = 4096
"""Of a stranger's certificate in DER; those issued here have about 500."""

NUM_REMEMBERED = 1024
"""Certificates whose signature a `Verifier` checks only once."""

MAX_DAYS = 36_500

Clock: TypeAlias = Callable[[], datetime]

_SKEW = timedelta(hours=1)
"""How far a peer's clock may be behind that of the machine which issued its certificate."""

_LARGEST_FILE = 65_536
_PEER_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH

# RFC 5280 and 8410: a certificate is SEQUENCE {signed part, algorithm, signature}; these are the algorithm Ed25519
# and the head of a BIT STRING of 64 bytes. A body of 256 to 65,535 bytes has its length in two.
_SEQUENCE = bytes.fromhex("3082")
_SIGNED_WITH_ED25519 = bytes.fromhex("300506032b6570 034100")
_MIN_CERTIFICATE_BYTES = len(_SEQUENCE) + 2 + 256

_NOT_READABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""All that `cryptography` raises for a certificate or key that it does not understand."""


class BadCertificate(RemoteProtocolError):
    """A certificate that is not one of a peer of this run, or not now."""


class BadSignature(RemoteProtocolError):
    """A signature that was not made over this text with the key of this certificate."""


def utc_now() -> datetime:
    return datetime.now(UTC)


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
    _write_new(
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
    _check_name(name)
    now = clock()
    authority = _authority(directory / "ca.pem", now)
    authority_key = _private_key(
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
        .add_extension(x509.ExtendedKeyUsage([_SERVER] if proxy else [_SERVER, _CLIENT]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(server_name(name))]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        .sign(authority_key, None)
    )
    stem = f"{name}.proxy" if proxy else name
    _write_new(
        directory,
        stem,
        certificate,
        key,
        f"To issue anew, move {stem}.pem and {stem}.key away first.",
    )
    return directory / f"{stem}.pem"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says in public; `days_left` is rounded down, below 0 once it has expired."""

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
    certificate = _certificate(path, "")
    try:
        kind, name = _kind(certificate), _common_name(certificate)
    except _NOT_READABLE as error:
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


class _Certified(NamedTuple):
    """What the authority has put its name to; both ends of the time are included."""

    name: PeerId
    key: Ed25519PublicKey
    start: datetime
    end: datetime


class Verifier:
    """Tells the peers of a run from strangers, by certificates and signatures that came with a message.

    The last 1,024 good certificates are remembered (bad ones never are, so a stranger cannot push them out); whether
    they are valid now is asked every time. May be used by several threads.
    """

    def __init__(self, authority: x509.Certificate, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._certified = lru_cache(maxsize=NUM_REMEMBERED)(partial(_certified, authority))

    def public_key(self, certificate: bytes) -> tuple[PeerId, Ed25519PublicKey]:
        """The name and key of the peer whose certificate this is, in DER.

        Raises BadCertificate, and nothing else, for all other bytes.
        """
        name, key, start, end = self._certified(certificate)
        if not start <= self._clock() <= end:
            raise BadCertificate(f"the certificate of peer {name} is valid from {start} to {end} only")
        return name, key

    def verify(self, certificate: bytes, signature: bytes, text: bytes) -> PeerId:
        """The name of the peer that has signed the text.

        Raises BadCertificate or BadSignature.
        """
        name, key = self.public_key(certificate)
        try:
            key.verify(signature, text)
        except InvalidSignature:
            raise BadSignature(f"the signature is not that of peer {name} over this text") from None
        return name


def name_of_peer_certificate(certificate: bytes) -> PeerId:
    """The name of the peer at the other end of a TLS connection, from the DER certificate that TLS has verified.

    Raises BadCertificate when there is no such name in it.
    """
    try:
        return _peer_name(x509.load_der_x509_certificate(certificate))
    except _NOT_READABLE as error:
        raise BadCertificate(f"the certificate cannot be read: {error}") from error


@dataclass(frozen=True, slots=True, eq=False)
class Credentials:
    """Who a peer is and how it proves that; `certificate` is its certificate in DER, to go with its signatures.

    Printing it shows no key. The contexts are made from the files, which therefore have to stay where they are.
    """

    name: PeerId
    directory: Path
    not_after: datetime
    certificate: bytes = field(repr=False)
    _authority: x509.Certificate = field(repr=False)
    _key: Ed25519PrivateKey = field(repr=False)

    def server_context(self) -> ssl.SSLContext:
        """TLS 1.3 for listening: a caller has to present a certificate of a peer of this run."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0  # every connection verifies its certificates anew
        return context

    def client_context(self) -> ssl.SSLContext:
        """TLS 1.3 for calling a peer, or the proxy of one, with `server_hostname=server_name(NAME)`."""
        context = self._context(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = True
        context.hostname_checks_common_name = False  # a peer may be called like the server name of another
        return context

    def sign(self, text: bytes) -> bytes:
        """The Ed25519 signature of a text, 64 bytes. TLS signs with the same key (its texts begin with 64 spaces), so a
        text has to begin with something of the caller's own."""
        return self._key.sign(text)

    def verifier(self, clock: Clock = utc_now) -> Verifier:
        """Who belongs to the same run."""
        return Verifier(self._authority, clock)

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)  # unlike `ssl.create_default_context`, trusts nobody yet
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cadata=self._authority.public_bytes(Encoding.DER))
        files = self.directory / f"{self.name}.pem", self.directory / f"{self.name}.key"
        try:
            context.load_cert_chain(*files)
        except OSError as error:
            raise ConfigurationError(f"{files[0]} and {files[1]} are no longer what they were: {error}") from error
        return context


def load_credentials(directory: Path, name: PeerId, *, clock: Clock = utc_now) -> Credentials:
    """Read `ca.pem`, `NAME.pem` and `NAME.key` of a directory and make sure that they belong together.

    Raises ConfigurationError when a file is not there, the key can be read by others, or the certificate is not that
    of the peer, not of this authority, or not valid now.
    """
    _check_name(name)
    remedy = (
        f"A peer needs ca.pem, {name}.pem and {name}.key in one directory: run `gossipfl certs issue {name}` where the "
        "key of the authority is kept, and copy these three."
    )
    now = clock()
    authority = _authority(directory / "ca.pem", now, remedy)
    path = directory / f"{name}.pem"
    certificate = _certificate(path, remedy)
    _check_validity(
        path, certificate, now, f"Move {name}.pem and {name}.key away and run `gossipfl certs issue {name}`."
    )
    key = _private_key(directory / f"{name}.key", certificate, remedy)
    der = certificate.public_bytes(Encoding.DER)
    try:
        found, _ = Verifier(authority, clock).public_key(der)
    except BadCertificate as error:
        raise ConfigurationError(f"{path} cannot be used: {error}. {remedy}") from error
    if found != name:
        raise ConfigurationError(f"{path} is the certificate of peer {found!r}, not of {name!r}. {remedy}")
    return Credentials(name, directory, certificate.not_valid_after_utc, der, authority, key)


def _certified(authority: x509.Certificate, der: bytes) -> _Certified:
    if not _MIN_CERTIFICATE_BYTES <= len(der) <= MAX_CERTIFICATE_BYTES:
        raise BadCertificate(
            f"a certificate has {_MIN_CERTIFICATE_BYTES} to {MAX_CERTIFICATE_BYTES} bytes, not {len(der)}"
        )
    end = len(der) - len(_SIGNED_WITH_ED25519) - SIGNATURE_BYTES
    # The bytes around the signed part have one form only, so nobody can make a second certificate out of one.
    if not der.startswith(_SEQUENCE + (len(der) - 4).to_bytes(2)) or not der.startswith(_SIGNED_WITH_ED25519, end):
        raise BadCertificate("this is not a certificate that was signed with Ed25519")
    try:
        _ed25519(authority).verify(der[-SIGNATURE_BYTES:], der[4:end])
    except InvalidSignature:
        raise BadCertificate("the certificate was not signed by the authority of this run") from None
    try:
        certificate = x509.load_der_x509_certificate(der)
        if certificate.issuer != authority.subject:
            raise BadCertificate(f"the certificate names another issuer: {certificate.issuer.rfc4514_string()}")
        kind = _kind(certificate)
        if kind != "peer":
            raise BadCertificate(f"the certificate is of the kind {kind!r}, and only a peer signs messages")
        return _Certified(
            _peer_name(certificate),
            _ed25519(certificate),
            max(certificate.not_valid_before_utc, authority.not_valid_before_utc),
            min(certificate.not_valid_after_utc, authority.not_valid_after_utc),
        )
    except _NOT_READABLE as error:
        raise BadCertificate(f"the certificate cannot be read: {error}") from error


def _kind(certificate: x509.Certificate) -> Literal["authority", "peer", "proxy"]:
    extensions = certificate.extensions
    if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        return "authority"
    usages = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    if _CLIENT in usages:
        return "peer"
    if _SERVER in usages:
        return "proxy"
    raise ValueError("it is for neither TLS servers nor TLS clients")


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or not isinstance(names[0].value, str):
        raise ValueError("its subject has no common name, or several")
    return names[0].value


def _peer_name(certificate: x509.Certificate) -> PeerId:
    name = _common_name(certificate)
    if not _PEER_NAME.fullmatch(name):
        raise ValueError(f"its common name {name!r} cannot be the name of a peer")
    return name


def _ed25519(certificate: x509.Certificate) -> Ed25519PublicKey:
    key = certificate.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("its key is not of the kind Ed25519")
    return key


def _check_name(name: PeerId) -> None:
    """Case is ignored for what is reserved: on some file systems CA.pem is ca.pem."""
    if not _PEER_NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be the name of a peer: it has 1 to 64 characters from A-Z, a-z, 0-9, '.', '_' and '-'"
        )
    lowered = name.lower()
    if lowered == "ca" or lowered.endswith(".proxy") or name.startswith("."):
        raise ConfigurationError(
            f"A peer called {name!r} cannot have a certificate: 'ca' is the authority, names that end in '.proxy' are "
            "for the proxies of peers, and names that begin with '.' make hidden files. Rename the peer."
        )


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


def _authority(
    path: Path, now: datetime, remedy: str = "`gossipfl certs init` makes an authority."
) -> x509.Certificate:
    certificate = _certificate(path, remedy)
    try:
        kind = _kind(certificate)
        _ed25519(certificate).verify(certificate.signature, certificate.tbs_certificate_bytes)
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (*_NOT_READABLE, InvalidSignature) as error:
        raise ConfigurationError(f"{path} is not the certificate of an authority made by gossipfl. {remedy}") from error
    if kind != "authority":
        raise ConfigurationError(f"{path} is the certificate of a {kind}, not of an authority. {remedy}")
    _check_validity(path, certificate, now, "Make a new authority, and issue the certificates of all peers again.")
    return certificate


def _certificate(path: Path, remedy: str) -> x509.Certificate:
    try:
        certificates = x509.load_pem_x509_certificates(_content(path, remedy))
    except _NOT_READABLE as error:
        raise ConfigurationError(f"{path} is not a certificate in PEM form: {error}. {remedy}".rstrip()) from error
    if len(certificates) != 1:
        raise ConfigurationError(f"{path} has {len(certificates)} certificates, expected one. {remedy}".rstrip())
    return certificates[0]


def _check_validity(path: Path, certificate: x509.Certificate, now: datetime, remedy: str) -> None:
    if now > certificate.not_valid_after_utc:
        raise ConfigurationError(f"{path} has expired on {certificate.not_valid_after_utc}. {remedy}")
    if now < certificate.not_valid_before_utc:
        raise ConfigurationError(
            f"{path} is not valid before {certificate.not_valid_before_utc}, and this machine says that it is {now}. "
            "Set the clock."
        )


def _private_key(path: Path, certificate: x509.Certificate, remedy: str) -> Ed25519PrivateKey:
    """The key of a certificate. What is wrong with it is said without its content, and without the chain of causes."""
    content = _content(path, remedy, private=True)
    try:
        key = load_pem_private_key(content, password=None)
    except _NOT_READABLE:
        raise ConfigurationError(f"{path} is not a private key in PEM form without a password. {remedy}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{path} is not an Ed25519 key. {remedy}")
    if key.public_key() != certificate.public_key():
        raise ConfigurationError(f"{path} is not the key of the certificate {path.with_suffix('.pem').name}. {remedy}")
    return key


def _content(path: Path, remedy: str, *, private: bool = False) -> bytes:
    if not path.is_file():
        raise ConfigurationError(f"{path} is not there, or not a file. {remedy}".rstrip())
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            # As PostgreSQL has it: a group may read a key that root has given to it.
            others = 0o037 if status.st_uid == 0 else 0o077
            if private and stat.S_IMODE(status.st_mode) & others:
                raise ConfigurationError(
                    f"{path} has the mode {stat.S_IMODE(status.st_mode):04o}, so others than its owner can use this "
                    f"private key: `chmod 600 {shlex.quote(str(path))}`, and issue a new one if somebody may have."
                )
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > _LARGEST_FILE:
        raise ConfigurationError(f"{path} has more than {_LARGEST_FILE} bytes. {remedy}".rstrip())
    return content


def _write_new(directory: Path, stem: str, certificate: x509.Certificate, key: Ed25519PrivateKey, remedy: str) -> None:
    files = {
        directory / f"{stem}.key": (key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600),
        directory / f"{stem}.pem": (certificate.public_bytes(Encoding.PEM), 0o644),
    }
    try:
        _write_all_or_none(files)
    except FileExistsError as error:
        raise ConfigurationError(f"{error.filename} is there already, nothing was changed. {remedy}") from error
    except OSError as error:
        raise ConfigurationError(f"cannot write {stem}.pem and {stem}.key to {directory}: {error.strerror}") from error


def _write_all_or_none(files: Mapping[Path, tuple[bytes, int]]) -> None:
    """Write files that are not there yet; each has its mode from the moment it exists."""
    written: list[Path] = []
    try:
        for path, (content, mode) in files.items():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            written.append(path)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _sync(path.parent)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _sync(directory: Path) -> None:
    """Make the names of new files as durable as their contents."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
