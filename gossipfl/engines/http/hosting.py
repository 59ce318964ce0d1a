"""The terms on which a peer is hosted, the states that it passes, and who is told of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from gossipfl.actions import Job, Scores, Update
from gossipfl.agreements import Agreement
from gossipfl.engines.http.trust.credentials import Credentials
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.weights import PeerId

if TYPE_CHECKING:
    from gossipfl.engines.http.http_peer import HTTPPeer

State: TypeAlias = Literal["new", "meeting", "training", "waiting", "lingering", "over"]


@dataclass(frozen=True, slots=True)
class Hosting:
    """The terms on which a peer is hosted.

    `credentials` sign what it says, and identify it in TLS. `directory` holds its checkpoints; None: it has none, and
    `incarnation` is to be higher in each of its lives, or neighbors that have seen a later one refuse it.
    `linger` (seconds) is how long it serves on after it has finished, while neighbors have not or an exchange is open.
    `meeting_seconds` is how long it waits at the start for neighbors that are not there yet. `listens` is False for a
    peer that others cannot reach: it polls. Those of `revoked` are refused, and never spoken to. One that `gives_up`
    ends when none of the neighbors for whom it waits has answered for `linger` seconds; others wait for ever.
    """

    limits: Limits = field(default_factory=Limits)
    credentials: Credentials | None = None
    directory: Path | None = None
    linger: float = 600.0
    meeting_seconds: float = 30.0
    listens: bool = True
    revoked: frozenset[PeerId] = frozenset()
    gives_up: bool = False
    incarnation: int = 1


class Room(Protocol):
    """The place where the jobs of peers are done."""

    async def run(self, job: Job) -> Update | Scores:
        """Run a job. Raises TrainingError."""
        ...


class Watcher(Protocol):
    """Is told what becomes of a peer."""

    def reacted(self, host: "HTTPPeer", round_before: int) -> None:
        """The peer has reacted to something."""
        ...

    def trained(self, host: "HTTPPeer", update: Update) -> None:
        """A round of local training has ended."""
        ...

    def contact(self, host: "HTTPPeer", neighbor: PeerId, event: str) -> None:
        """A neighbor became "unreachable" or "reachable", or has "left"."""
        ...

    def agreed(self, host: "HTTPPeer", agreement: Agreement) -> None:
        """The peer has come to know how good all peers' models are."""
        ...
