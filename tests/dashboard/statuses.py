"""Statuses of peers, made up."""

from typing import Any

from gossipfl.engines.http.status import NeighborStatus, PeerStatus


def neighbor(name: str, contact: str = "reachable", num_messages: int = 0, **refused: int) -> NeighborStatus:
    return NeighborStatus(name, contact, 1.0, num_messages, 1_000 * num_messages, 0, 0, 0, refused)


def status(peer: str, *neighbors: NeighborStatus, **changes: Any) -> PeerStatus:
    usual = {
        "run": "r",
        "state": "training",
        "round": 3,
        "rounds": 9,
        "rounds_done": 3,
        "examples_seen": 90,
        "incarnation": 1,
        "seconds": 1.0,
        "awaits": (),
        "num_open": 0,
        "loss": 0.5,
        "metrics": {"accuracy": 0.75},
        "training": {"loss": 0.4},
        "sent": 1_000,
        "received": 2_000,
        "num_messages": 4,
        "refusals": {},
    }
    return PeerStatus(peer=peer, neighbors=neighbors, **(usual | changes))
