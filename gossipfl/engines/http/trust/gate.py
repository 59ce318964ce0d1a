"""The gate checks an envelope before anything of its body is read, and then the message."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gossipfl.codec.messages import decode
from gossipfl.engines.http.trust.replay import ReplayWindow
from gossipfl.engines.http.trust.verifier import BadCertificate, BadSignature, Verifier
from gossipfl.engines.http.wire.envelope import NO_DIGEST, PROTOCOL, Envelope, Purpose, Sealed, read_line
from gossipfl.engines.http.wire.refusals import Refusal
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Message
from gossipfl.weights import PeerId


@dataclass(slots=True)
class Gate:
    """The gate of peer `own` in its life `session`; without a `verifier` nothing is signed, and names are believed.
    Those of `revoked` do not come in, whoever has signed."""

    facts: RunFacts
    own: PeerId
    session: str
    neighbors: Iterable[PeerId]
    verifier: Verifier | None = None
    revoked: frozenset[PeerId] = frozenset()
    _windows: Mapping[PeerId, ReplayWindow] = field(init=False)

    def __post_init__(self) -> None:
        self._windows = {name: ReplayWindow() for name in self.neighbors}

    def admit(self, sealed: Sealed | None, content_length: int, caller: PeerId | None) -> Envelope:
        """The envelope, when everything about it is in order; its counter is then used up.

        `caller` is who is at the other end of the connection, where that is known. Raises Refusal with the first rule
        that is broken; the cheap rules come first, and nothing is remembered of what is refused.
        """
        if sealed is None:
            raise Refusal("no_envelope")
        protocol, envelope = read_line(sealed.line)
        if envelope is None:
            if not protocol or protocol == PROTOCOL:
                raise Refusal("no_envelope")
            raise Refusal("other_protocol", f"this is {PROTOCOL}")
        self._check_addresses(envelope)
        self._check_size(envelope, content_length)
        if caller is not None and caller != envelope.sender:
            raise Refusal("bad_certificate", "the connection and the envelope name different peers")
        self._check_signature(sealed, envelope)
        if envelope.addressee != self.session:
            raise Refusal("other_session")
        self._windows[envelope.sender].check(envelope.incarnation, envelope.counter)
        return envelope

    def message(self, envelope: Envelope, body: bytearray, digest: str) -> Message:
        """The message in a body with that digest: the one that was signed, whole, finite, possible. Raises Refusal."""
        if digest != envelope.digest:
            raise Refusal("wrong_digest")
        try:
            message = decode(body, self.facts.vectors, self.facts.numbers)
        except RemoteProtocolError as error:
            raise Refusal(error.reason or "malformed_message", str(error)) from None
        if (message.sender, message.receiver) != (envelope.sender, envelope.receiver):
            raise Refusal("wrong_sender")
        absurdity = self.facts.absurdity(message)
        if absurdity is not None:
            raise Refusal("absurd_number", absurdity)
        return message

    def _check_addresses(self, envelope: Envelope) -> None:
        if envelope.sender in self.revoked:
            raise Refusal("revoked")
        if envelope.run != self.facts.run_id:
            raise Refusal("other_run")
        if envelope.receiver != self.own:
            raise Refusal("wrong_receiver")
        if envelope.sender not in self._windows:
            raise Refusal("unknown_sender")
        if envelope.schema != self.facts.schema:
            raise Refusal("other_schema")

    def _check_size(self, envelope: Envelope, content_length: int) -> None:
        if envelope.size > self.facts.max_body_bytes:
            raise Refusal("too_large", f"{envelope.size} bytes, at most {self.facts.max_body_bytes}")
        if envelope.size != content_length or (envelope.size > 0) != (envelope.purpose is Purpose.MESSAGE):
            raise Refusal("wrong_length", f"{content_length} bytes, the envelope says {envelope.size}")

    def _check_signature(self, sealed: Sealed, envelope: Envelope) -> None:
        if self.verifier is None:
            return
        try:
            signer = self.verifier.verify(sealed.certificate, sealed.signature, sealed.line.encode())
        except BadCertificate:
            raise Refusal("bad_certificate") from None
        except BadSignature:
            raise Refusal("bad_signature") from None
        if signer != envelope.sender:
            raise Refusal("bad_certificate", "the certificate names another peer")
        if envelope.digest == NO_DIGEST and envelope.size:
            raise Refusal("bad_signature", "the body is not signed")
