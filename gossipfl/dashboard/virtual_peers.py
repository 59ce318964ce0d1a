"""Peers in virtual time as they would speak of themselves: what peers over HTTP say at their watching ports."""

from collections.abc import Sequence
from itertools import islice

from gossipfl.dashboard.board import MAX_SEATS
from gossipfl.engines.http.status import NeighborStatus, PeerStatus
from gossipfl.engines.virtual.simulator import Simulator
from gossipfl.history import Evaluation
from gossipfl.scores import Score
from gossipfl.weights import PeerId

MAX_PAIRS = 20_000
"""Pairs of a sender and a receiver that are looked at; where more have talked, nobody is shown with its neighbors."""


def statuses_of(simulator: Simulator, evaluation: Evaluation, hub: PeerId | None) -> list[PeerStatus]:
    """The statuses of the peers that are not cut off, at the moment of an evaluation."""
    talked = _talked(simulator)
    online = [name for name in islice(simulator.peers, MAX_SEATS) if not is_cut_off(simulator, name)]
    return [_status_of(simulator, name, _score(evaluation, name, hub), talked.get(name, [])) for name in online]


def is_cut_off(simulator: Simulator, peer_id: PeerId) -> bool:
    """True if a peer is offline at the moment, as the scenario has it."""
    return simulator.network.is_offline(peer_id, simulator.now)


def _score(evaluation: Evaluation, name: PeerId, hub: PeerId | None) -> Score | None:
    if name == hub:
        return evaluation.score()
    return evaluation.score(name) if name in evaluation.loss.peers else None


def _status_of(
    simulator: Simulator, name: PeerId, score: Score | None, neighbors: Sequence[NeighborStatus]
) -> PeerStatus:
    peer, wires = simulator.peers[name], simulator.network.wires[name]
    return PeerStatus(
        peer=name,
        run="",
        state="lingering" if peer.finished else "waiting" if peer.outstanding is None else "training",
        round=peer.round,
        rounds=peer.num_rounds,
        rounds_done=peer.rounds_done,
        examples_seen=0,
        incarnation=0,
        seconds=simulator.now,
        awaits=peer.awaits,
        num_open=peer.num_open,
        loss=None if score is None else score.loss,
        metrics={} if score is None else score.metrics,
        training={},
        sent=wires.sent,
        received=wires.received,
        num_messages=sum(neighbor.num_messages for neighbor in neighbors),
        neighbors=tuple(neighbors),
        refusals={},
    )


def _talked(simulator: Simulator) -> dict[PeerId, list[NeighborStatus]]:
    """Those to whom each has sent messages."""
    pairs = simulator.network.pairs
    found: dict[PeerId, list[NeighborStatus]] = {}
    if pairs is None or len(pairs) > MAX_PAIRS:
        return found
    for (sender, receiver), (num_messages, num_bytes) in pairs.items():
        contact = "unreachable" if is_cut_off(simulator, receiver) else "reachable"
        one = NeighborStatus(receiver, contact, None, num_messages, num_bytes, 0, 0, 0, {})
        found.setdefault(sender, []).append(one)
    return found
