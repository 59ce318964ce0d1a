"""Wraps what is to be delivered: encoded, addressed, counted and signed."""

from dataclasses import dataclass

from gossipfl.codec import encode_parts
from gossipfl.engines.http.delivering.neighbor import Neighbor, Parcel
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

    async def wrap(self, neighbor: Neighbor, parcel: Parcel) -> Wrapped:
        """The parcel, sealed anew for each delivery, with a counter of its own."""
        parts = [] if parcel.message is None else encode_parts(parcel.message)
        size = sum(len(part) for part in parts)
        digest = NO_DIGEST
        if self.credentials is not None and parts:
            digest = await self.offloading.run(size, digest_of, parts)
        parcel.counter = neighbor.next_counter()
        facts = self.gate.facts
        line = Envelope(
            parcel.purpose,
            facts.run_id,
            facts.schema,
            self.gate.own,
            self.incarnation,
            self.gate.session,
            neighbor.name,
            neighbor.session,
            parcel.counter,
            neighbor.received,
            size,
            digest,
        ).line()
        if self.credentials is None:
            return Wrapped(Sealed(line), size, parts)
        signature = self.credentials.sign(line.encode())
        return Wrapped(Sealed(line, signature, self.credentials.certificate), size, parts)
