"""The public terms of a secure sum: whose it is, which step, and how many have to take part."""

from dataclasses import dataclass
from enum import IntEnum
from math import ceil

from gossipfl.secrecy.packing import pack
from gossipfl.weights import PeerId


class Phase(IntEnum):
    """The messages of a secure sum in their order; those with even numbers go out from whoever adds up."""

    ADVERT = 1
    ROSTER = 2
    SHARES = 3
    INBOX = 4
    MASKED = 5
    SURVIVORS = 6
    SIGNED = 7
    SIGNATURES = 8
    REVEALED = 9


@dataclass(frozen=True, slots=True)
class Rules:
    """The least that a sum needs. `threshold` is the share of those on its roster who have to agree before anything is
    unmasked; so many of them may be `colluders` of whoever adds up."""

    threshold: float = 0.67
    colluders: int = 0

    @property
    def least(self) -> int:
        """The least number of terms: two of honest peers."""
        return 2 + self.colluders

    def needed(self, num_peers: int) -> int:
        """The number t of peers on a roster who have to agree on who survived, and whose shares give a secret.

        With t > (n + colluders) / 2 no two lists of survivors can have t signatures: honest peers sign one.
        """
        return max(ceil(self.threshold * num_peers), (num_peers + self.colluders) // 2 + 1, self.least)

    def allows(self, num_peers: int) -> bool:
        """True if so many can make a sum."""
        return num_peers >= self.least and self.needed(num_peers) <= num_peers


@dataclass(frozen=True, slots=True)
class SumId:
    """The name of a sum: gossip step `step` of `run`, added up by `aggregator`."""

    run: str
    aggregator: PeerId
    step: int

    def context(self, purpose: str, *more: bytes) -> bytes:
        """Bytes that go into each signature and key, so that none can be used anywhere else."""
        return pack(
            [
                b"gossipfl secure sum 1",
                purpose.encode(),
                self.run.encode(),
                self.aggregator.encode(),
                str(self.step).encode(),
                *more,
            ]
        )
