"""Tells the peers of a run from strangers, by certificates and signatures.

The bytes of a stranger reach the X.509 parser only after the authority's signature on them was found good.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Literal, NamedTuple, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gossipfl.errors import RemoteProtocolError
from gossipfl.weights import PeerId

SIGNATURE_BYTES = 64
MAX_CERTIFICATE_BYTES = 4096
"""The largest certificate of a stranger in DER; those issued here have about 500."""

NUM_REMEMBERED = 1024
"""Certificates whose signature a `Verifier` checks only once."""

Clock: TypeAlias = Callable[[], datetime]

PEER_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH

NOT_READABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""All that `cryptography` raises for a certificate or key that it does not understand."""

# RFC 5280 and 8410: a certificate is SEQUENCE {signed part, algorithm, signature}; these are the algorithm Ed25519
# and the head of a BIT STRING of 64 bytes. A body of 256 to 65,535 bytes has its length in two.
_SEQUENCE = bytes.fromhex("3082")
_SIGNED_WITH_ED25519 = bytes.fromhex("300506032b6570 034100")
_MIN_CERTIFICATE_BYTES = len(_SEQUENCE) + 2 + 256


class BadCertificate(RemoteProtocolError):
    """A certificate that is not one of a peer of this run, or not now."""


class BadSignature(RemoteProtocolError):
    """A signature that was not made over this text with the key of this certificate."""


def utc_now() -> datetime:
    """The `Clock` of this machine."""
    return datetime.now(UTC)


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
    except NOT_READABLE as error:
        raise BadCertificate(f"the certificate cannot be read: {error}") from error


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
        ed25519_key_of(authority).verify(der[-SIGNATURE_BYTES:], der[4:end])
    except InvalidSignature:
        raise BadCertificate("the certificate was not signed by the authority of this run") from None
    try:
        certificate = x509.load_der_x509_certificate(der)
        if certificate.issuer != authority.subject:
            raise BadCertificate(f"the certificate names another issuer: {certificate.issuer.rfc4514_string()}")
        kind = kind_of(certificate)
        if kind != "peer":
            raise BadCertificate(f"the certificate is of the kind {kind!r}, and only a peer signs messages")
        return _Certified(
            _peer_name(certificate),
            ed25519_key_of(certificate),
            max(certificate.not_valid_before_utc, authority.not_valid_before_utc),
            min(certificate.not_valid_after_utc, authority.not_valid_after_utc),
        )
    except NOT_READABLE as error:
        raise BadCertificate(f"the certificate cannot be read: {error}") from error


def kind_of(certificate: x509.Certificate) -> Literal["authority", "peer", "proxy"]:
    """The kind of a certificate: what it is for. Raises one of NOT_READABLE when it is of no kind that is made here."""
    extensions = certificate.extensions
    if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        return "authority"
    usages = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    if CLIENT in usages:
        return "peer"
    if SERVER in usages:
        return "proxy"
    raise ValueError("it is for neither TLS servers nor TLS clients")


def common_name_of(certificate: x509.Certificate) -> str:
    """The common name of the subject. Raises ValueError when it has none, or several."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or not isinstance(names[0].value, str):
        raise ValueError("its subject has no common name, or several")
    return names[0].value


def _peer_name(certificate: x509.Certificate) -> PeerId:
    name = common_name_of(certificate)
    if not PEER_NAME.fullmatch(name):
        raise ValueError(f"its common name {name!r} cannot be the name of a peer")
    return name


def ed25519_key_of(certificate: x509.Certificate) -> Ed25519PublicKey:
    """The key that is certified. Raises ValueError when it is of another kind."""
    key = certificate.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("its key is not of the kind Ed25519")
    return key
