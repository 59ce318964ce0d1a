"""A peer proves who it is, in TLS and by signatures."""

import ssl
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from gossipfl.engines.http.trust.alerts import TellingContext
from gossipfl.engines.http.trust.certificate_files import (
    check_name,
    check_validity,
    read_authority,
    read_certificate,
    read_private_key,
)
from gossipfl.engines.http.trust.verifier import BadCertificate, Clock, Verifier, utc_now
from gossipfl.errors import ConfigurationError
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True, eq=False)
class Credentials:
    """The means by which a peer proves who it is; `certificate` is its certificate in DER, to go with its signatures.

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
        context = self._context(TellingContext(ssl.PROTOCOL_TLS_SERVER))
        context.num_tickets = 0  # every connection verifies its certificates anew
        return context

    def client_context(self) -> ssl.SSLContext:
        """TLS 1.3 for calling a peer, or the proxy of one, with `server_hostname=server_name(NAME)`."""
        context = self._context(TellingContext(ssl.PROTOCOL_TLS_CLIENT))
        context.check_hostname = True
        context.hostname_checks_common_name = False  # a peer may be called like the server name of another
        return context

    def sign(self, text: bytes) -> bytes:
        """The Ed25519 signature of a text, 64 bytes. TLS signs with the same key (its texts begin with 64 spaces), so a
        text has to begin with something of the caller's own."""
        return self._key.sign(text)

    def verifier(self, clock: Clock = utc_now) -> Verifier:
        """The verifier of those who belong to the same run."""
        return Verifier(self._authority, clock)

    def _context(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """A new context, which unlike that of `ssl.create_default_context` trusts nobody yet, for this run."""
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
    check_name(name)
    remedy = (
        f"A peer needs ca.pem, {name}.pem and {name}.key in one directory: run `gossipfl certs issue {name}` where the "
        "key of the authority is kept, and copy these three."
    )
    now = clock()
    authority = read_authority(directory / "ca.pem", now, remedy)
    path = directory / f"{name}.pem"
    certificate = read_certificate(path, remedy)
    check_validity(
        path, certificate, now, f"Move {name}.pem and {name}.key away and run `gossipfl certs issue {name}`."
    )
    key = read_private_key(directory / f"{name}.key", certificate, remedy)
    der = certificate.public_bytes(Encoding.DER)
    try:
        found, _ = Verifier(authority, clock).public_key(der)
    except BadCertificate as error:
        raise ConfigurationError(f"{path} cannot be used: {error}. {remedy}") from error
    if found != name:
        raise ConfigurationError(f"{path} is the certificate of peer {found!r}, not of {name!r}. {remedy}")
    return Credentials(name, directory, certificate.not_valid_after_utc, der, authority, key)
