"""The files of certificates and private keys: read with care, written all or not at all."""

import os
import shlex
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gossipfl.engines.http.trust.verifier import NOT_READABLE, PEER_NAME, ed25519_key_of, kind_of
from gossipfl.errors import ConfigurationError
from gossipfl.weights import PeerId

_LARGEST_FILE = 65_536


def check_name(name: PeerId) -> None:
    """Raises ConfigurationError for a name that cannot be one of a peer, or would clash with another file."""
    if not PEER_NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be the name of a peer: it has 1 to 64 characters from A-Z, a-z, 0-9, '.', '_' and '-'"
        )
    lowered = name.lower()  # on some file systems CA.pem is ca.pem
    if lowered == "ca" or lowered.endswith(".proxy") or name.startswith("."):
        raise ConfigurationError(
            f"A peer called {name!r} cannot have a certificate: 'ca' is the authority, names that end in '.proxy' are "
            "for the proxies of peers, and names that begin with '.' make hidden files. Rename the peer."
        )


def read_authority(
    path: Path, now: datetime, remedy: str = "`gossipfl certs init` makes an authority."
) -> x509.Certificate:
    """The certificate of an authority, valid now. Raises ConfigurationError with the remedy for any other file."""
    certificate = read_certificate(path, remedy)
    try:
        kind = kind_of(certificate)
        ed25519_key_of(certificate).verify(certificate.signature, certificate.tbs_certificate_bytes)
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (*NOT_READABLE, InvalidSignature) as error:
        raise ConfigurationError(f"{path} is not the certificate of an authority made by gossipfl. {remedy}") from error
    if kind != "authority":
        raise ConfigurationError(f"{path} is the certificate of a {kind}, not of an authority. {remedy}")
    check_validity(path, certificate, now, "Make a new authority, and issue the certificates of all peers again.")
    return certificate


def read_certificate(path: Path, remedy: str) -> x509.Certificate:
    """The one certificate in a file. Raises ConfigurationError with the remedy for any other file."""
    content = _content(path, remedy)
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except NOT_READABLE as error:
        raise ConfigurationError(f"{path} is not a certificate in PEM form: {error}. {remedy}".rstrip()) from error
    if len(certificates) != 1:
        raise ConfigurationError(f"{path} has {len(certificates)} certificates, expected one. {remedy}".rstrip())
    return certificates[0]


def check_validity(path: Path, certificate: x509.Certificate, now: datetime, remedy: str) -> None:
    """Raises ConfigurationError for a certificate that has expired, with the remedy, or is not valid yet."""
    if now > certificate.not_valid_after_utc:
        raise ConfigurationError(f"{path} has expired on {certificate.not_valid_after_utc}. {remedy}")
    if now < certificate.not_valid_before_utc:
        raise ConfigurationError(
            f"{path} is not valid before {certificate.not_valid_before_utc}, and this machine says that it is {now}. "
            "Set the clock."
        )


def read_private_key(path: Path, certificate: x509.Certificate, remedy: str) -> Ed25519PrivateKey:
    """The key of a certificate, in a file that only its owner can read. Raises ConfigurationError for any other.

    What is wrong with it is said without its content, and without the chain of causes.
    """
    content = _content(path, remedy, private=True)
    try:
        key = load_pem_private_key(content, password=None)
    except NOT_READABLE:
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


def write_new(directory: Path, stem: str, certificate: x509.Certificate, key: Ed25519PrivateKey, remedy: str) -> None:
    """Write STEM.pem, and STEM.key for its owner only.

    Raises ConfigurationError when one of them is there already, with the remedy, or cannot be written; nothing is
    changed then.
    """
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
