"""A running peer's words on itself."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gossipfl.accounting.ledger import ledger_row
from gossipfl.agreements import agreement_row
from gossipfl.history import History
from gossipfl.peers import Standing
from gossipfl.weights import PeerId

if TYPE_CHECKING:
    from gossipfl.engines.http.http_peer import HTTPPeer


@dataclass(frozen=True, slots=True)
class NeighborStatus:
    """One neighbor, as a peer sees it; `seconds_since_contact` is None before the first contact."""

    name: PeerId
    contact: str
    seconds_since_contact: float | None
    num_messages: int
    sent: int
    received: int
    num_failures: int
    waiting: int
    refused: dict[str, int]


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One peer: how far it is, how good, whom it sees, what it refused (by reason), how often it took out again what it
    had mixed in. No secrets.

    It is in the protocol's `round` of `rounds`; in `rounds_done` of them it did its local work, over `examples_seen`.
    """

    peer: PeerId
    run: str
    state: str
    round: int
    rounds: int
    rounds_done: int
    examples_seen: int
    incarnation: int
    seconds: float
    awaits: tuple[PeerId, ...]
    """The neighbors without whom it does not go on at the moment."""
    num_open: int
    """Exchanges that it has no answer to, after it has finished."""
    loss: float | None
    metrics: Mapping[str, float | None]
    """Like the loss, on held-out data, by whoever has evaluated the peer last."""
    training: Mapping[str, float | None]
    """Loss and metrics of its last local round."""
    sent: int
    received: int
    num_messages: int
    neighbors: tuple[NeighborStatus, ...]
    refusals: dict[str, int]
    num_rollbacks: int = 0
    own_loss: float | None = None
    """The loss of its model on its own examples, where it has that scored itself."""
    agreed: Mapping[str, float | None] = field(default_factory=dict)
    """The newest that it knows of how good all peers' models are, as `gossipfl.agreements.agreement_row` has it; empty
    where it knows nothing."""
    privacy: Mapping[str, Any] = field(default_factory=dict)
    """The part of its privacy budget that is spent, as `gossipfl.accounting.ledger.ledger_row` has it; empty without
    one."""
    stopped: str | None = None
    """Why it ended before its rounds were over, in words; None: it did not."""

    @property
    def num_failures(self) -> int:
        """Neighbors that do not answer, and messages refused on either side."""
        refused = sum(sum(neighbor.refused.values()) for neighbor in self.neighbors)
        return sum(neighbor.num_failures > 0 for neighbor in self.neighbors) + refused + sum(self.refusals.values())


def status_of(host: "HTTPPeer") -> PeerStatus:
    """The status of a peer at this moment."""
    standing = host.peer.standing
    now = asyncio.get_running_loop().time()
    neighbors = list(host.neighbors.values())
    return PeerStatus(
        peer=host.peer.peer_id,
        run=host.facts.run_id,
        state=host.state,
        round=host.peer.round,
        rounds=host.facts.num_rounds,
        rounds_done=host.peer.rounds_done,
        examples_seen=0 if standing is None else standing.examples_seen,
        incarnation=host.incarnation,
        seconds=host.now() if host.state != "new" else 0.0,
        awaits=host.awaits,
        num_open=host.peer.num_open,
        loss=None if host.score is None else host.score.loss,
        metrics={} if host.score is None else dict(host.score.metrics),
        own_loss=None if standing is None or standing.own_score is None else standing.own_score.loss,
        training=dict(host.training_metrics),
        sent=sum(neighbor.traffic.sent for neighbor in neighbors),
        received=sum(neighbor.traffic.received for neighbor in neighbors),
        num_messages=sum(neighbor.traffic.num_messages for neighbor in neighbors),
        neighbors=tuple(
            NeighborStatus(
                neighbor.name,
                neighbor.contact,
                None if neighbor.last_contact is None else max(0.0, now - neighbor.last_contact),
                *neighbor.traffic,
                neighbor.num_failures,
                len(neighbor.parcels),
                dict(neighbor.refusals),
            )
            for neighbor in neighbors
        ),
        refusals=dict(host.refusals),
        num_rollbacks=host.num_rollbacks,
        agreed={} if standing is None or standing.agreement is None else agreement_row(standing.agreement),
        privacy=_privacy(host.facts.agreed, standing),
        stopped=host.gave_up or (None if standing is None else standing.stopped),
    )


def _privacy(agreed: Mapping[str, Any], standing: Standing | None) -> dict[str, Any]:
    wanted = (agreed.get("privacy") or {}).get("differential_privacy")
    return ledger_row(wanted, None if standing is None else standing.spending)


def complete_history(history: History, statuses: Iterable[PeerStatus]) -> None:
    """Note what the last statuses of all participants say of their traffic, and of what went wrong."""
    for status in statuses:
        history.peer_bytes[status.peer] = (status.sent, status.received)
        assert history.link_traffic is not None
        history.link_traffic |= {
            (status.peer, neighbor.name): (neighbor.num_messages, neighbor.sent)
            for neighbor in status.neighbors
            if neighbor.num_messages
        }
        history.num_open += status.num_open
        history.num_refused += sum(status.refusals.values())
        history.num_rollbacks += status.num_rollbacks
