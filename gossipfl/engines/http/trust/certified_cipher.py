"""The cipher of a peer over HTTP: it signs with the key of its certificate, and believes the run's authority alone."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gossipfl.engines.ciphers import PeerCipher
from gossipfl.engines.http.trust.credentials import Credentials
from gossipfl.errors import RemoteProtocolError
from gossipfl.randomness import SecretRandomness
from gossipfl.weights import PeerId


def certified_cipher(credentials: Credentials, secrets: SecretRandomness) -> PeerCipher:
    """The cipher of the peer with these credentials. Peers that talk by way of a third one show it certificates."""
    verifier = credentials.verifier()

    def public_key_of(peer_id: PeerId, certificate: bytes) -> Ed25519PublicKey:
        name, key = verifier.public_key(certificate)
        if name != peer_id:
            raise RemoteProtocolError(f"the certificate of peer {name} was shown for peer {peer_id}")
        return key

    return PeerCipher(secrets, credentials.sign, public_key_of, credentials.certificate)
