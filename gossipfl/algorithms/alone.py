"""The base of the recipes without any exchange."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from gossipfl.algorithms.algorithm import Algorithm, Family
from gossipfl.algorithms.seat import Seat
from gossipfl.peers import LocalOnlyPeer, Peer, Sharing


@dataclass(frozen=True, slots=True)
class Alone(Algorithm):
    """Participants that train, and neither send nor wait."""

    scores_itself: Annotated[
        bool,
        "Score the model on the peer's own examples after each round, as the status of a peer shows it (own_loss). "
        "That takes about a third of the time of a pass of training over them.",
    ] = False
    sharing: Sharing = field(default_factory=Sharing)

    takes_no: ClassVar[Mapping[str, str]] = {
        "aggregator": "nothing is received",
        "outgoing": "nothing leaves its participants",
    }
    family: ClassVar[Family] = "bounds"
    follows_links: ClassVar[bool] = False
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform", "examples"})
    patience: ClassVar[float | None] = 0.0
    agrees: ClassVar[bool] = False

    def make_peer(self, seat: Seat) -> Peer:
        return LocalOnlyPeer(seat.model(self.sharing), scores_itself=self.scores_itself)
