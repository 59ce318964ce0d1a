"""Who is gone of those with whom a schedule has a peer meet."""

from collections.abc import Callable

from gossipfl.errors import ConfigurationError
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId


class Absence:
    """Those who are absent, at first nobody; `everybody` and `needs_everybody` are those of the peer."""

    def __init__(self, everybody: Callable[[], Neighbors], needs_everybody: str | None) -> None:
        self._everybody = everybody
        self._needs_everybody = needs_everybody
        self.absent: frozenset[PeerId] = frozenset()

    def change(self, peer_id: PeerId, neighbors: Neighbors, *, may_return: bool) -> None:
        """All but these neighbors of `peer_id` are absent from now on. Raises ConfigurationError, with nothing changed,
        where that cannot be."""
        everybody = self._everybody()
        strangers = [other for other in (*neighbors.receivers, *neighbors.senders) if other not in everybody]
        if strangers:
            raise ConfigurationError(
                f"peer {peer_id} cannot mix with {strangers[0]}, to whom its schedule gives no share"
            )
        absent = frozenset(other for other in (*everybody.receivers, *everybody.senders) if other not in neighbors)
        if absent and self._needs_everybody is not None:
            raise ConfigurationError(f"peer {peer_id} cannot go on without {min(absent)}: {self._needs_everybody}")
        if (back := self.absent - absent) and not may_return:
            raise ConfigurationError(
                f"peer {peer_id} cannot go on with {min(back)} again, which may be steps ahead or behind, so that "
                "one would wait for what the other never sent: give the algorithm a patience (seconds)"
            )
        self.absent = absent
