"""Wraps letters: encoded and signed."""

from dataclasses import dataclass

from gossipfl.codec.messages import encode_parts
from gossipfl.engines.http.delivering.letters import Letter
from gossipfl.engines.http.trust.credentials import Credentials
from gossipfl.engines.http.trust.gate import Gate
from gossipfl.engines.http.wire.bodies import Wrapped
from gossipfl.engines.http.wire.envelope import NO_DIGEST, Envelope, Sealed, digest_of
from gossipfl.engines.http.wire.offloading import Offloading


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals for the peer of `gate`, in its `incarnation`; without credentials nothing is signed."""

    gate: Gate
    incarnation: int
    credentials: Credentials | None
    offloading: Offloading

    async def wrap(self, letter: Letter) -> Wrapped:
        """The letter as it goes over the wire."""
        parts = [] if letter.parcel.message is None else encode_parts(letter.parcel.message)
        size = sum(len(part) for part in parts)
        digest = NO_DIGEST
        if self.credentials is not None and parts:
            digest = await self.offloading.run(size, digest_of, parts)
        line = self.envelope(letter, size, digest).line()
        if self.credentials is None:
            return Wrapped(Sealed(line), size, parts)
        signature = self.credentials.sign(line.encode())
        return Wrapped(Sealed(line, signature, self.credentials.certificate), size, parts)

    def envelope(self, letter: Letter, size: int, digest: str = NO_DIGEST) -> Envelope:
        """The envelope of a letter whose body has `size` bytes."""
        facts = self.gate.facts
        return Envelope(
            letter.parcel.purpose,
            facts.run_id,
            facts.schema,
            self.gate.own,
            self.incarnation,
            self.gate.session,
            letter.receiver,
            letter.session,
            letter.counter,
            letter.received,
            size,
            digest,
        )
