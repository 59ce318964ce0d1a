"""What the recipes without any exchange have in common."""

from dataclasses import dataclass, field
from typing import ClassVar

from gossipfl.algorithms.algorithm import Algorithm, Family
from gossipfl.algorithms.seat import Seat
from gossipfl.peers import LocalOnlyPeer, Peer, Sharing


@dataclass(frozen=True, slots=True)
class Alone(Algorithm):
    """Participants that train, and neither send nor wait."""

    sharing: Sharing = field(default_factory=Sharing)

    family: ClassVar[Family] = "bounds"
    follows_links: ClassVar[bool] = False
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform", "examples"})
    patience: ClassVar[float | None] = 0.0

    def make_peer(self, seat: Seat) -> Peer:
        return LocalOnlyPeer(seat.model(self.sharing))
