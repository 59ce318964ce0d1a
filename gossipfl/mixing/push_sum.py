"""Push-sum in gossip steps (SGP; Assran et al., 2019): value and mass travel together, so links may go one way.

Peer i has the value v_i and the mass w_i, and trains z_i = v_i / w_i. In a step it keeps a share of both and gives the
others away, so the sums over peers of v and of w stay as they are:

    v_i <- sum_j p_ij v_j,    w_i <- sum_j p_ij w_j,    sum_i p_ij = 1

The shares are the mixing weights, p_ij = w_ji, where a peer sends to whom it hears from; else they are equal.

Local training moves v_i by a_i (y_i - z_i), that is, z_i by a_i / w_i times its step, where a_i is the first mass: 1,
or the number of examples, for which sum_i v_i / sum_i w_i is the mean by examples. What is sent is z and the mass that
goes with it; the value is their product. Of a message whose vectors are not taken in, the mass is: with one's own z for
its value, so that the sum of w stays. A peer keeps a least mass whatever others send, and training counts no more than
a hundred times: masses next to nothing would move z without bound.
"""

from collections.abc import Mapping
from typing import ClassVar

from gossipfl.aggregators import Context, weighted_mean
from gossipfl.messages import Message
from gossipfl.mixing.mixing import Content, Encode, vector_of
from gossipfl.schedules import Meeting
from gossipfl.snapshot import Snapshot
from gossipfl.weights import PeerId, Vector

SMALLEST_MASS = 5e-324
"""Above 0, and no other bound from below: honest masses may come to be that small where few are heard."""

_LEAST_MASS = 1e-9  # of the first; honest masses stay far above
_LARGEST_SCALE = 100.0  # recipes refuse graphs where it would settle above 10


class PushSumMixing:
    """The mass of one peer, and its mixing; every message of a step has to arrive."""

    number: ClassVar[str] = "mass"

    def __init__(self, peer_id: PeerId, mass: float) -> None:
        self._peer_id = peer_id
        self._first_mass = self.mass = mass

    @property
    def step_scale(self) -> float:
        return min(self._first_mass / self.mass, _LARGEST_SCALE)

    def num_models(self, message: Message) -> float:
        return 1.0

    def contents(self, own: Mapping[str, Vector], meeting: Meeting, encode: Encode) -> Mapping[PeerId, Content]:
        vectors, shares = encode(own), self._shares(meeting)
        return {receiver: Content(vectors, {"mass": shares[receiver] * self.mass}) for receiver in meeting.receivers}

    def mix(
        self, own: Mapping[str, Vector], meeting: Meeting, received: Mapping[PeerId, Message], context: Context
    ) -> dict[str, Vector]:
        kept = max(self._shares(meeting)[self._peer_id] * self.mass, _LEAST_MASS * self._first_mass)
        masses = {
            peer_id: kept if peer_id == self._peer_id else received[peer_id].numbers["mass"] for peer_id in meeting.row
        }
        self.mass = sum(masses.values())
        return {name: self._mixed(name, vector, masses, received) for name, vector in own.items()}

    def _mixed(
        self, name: str, own: Vector, masses: Mapping[PeerId, float], received: Mapping[PeerId, Message]
    ) -> Vector:
        vectors = []
        for peer_id in masses:
            theirs = None if peer_id == self._peer_id else vector_of(received[peer_id], name, own.size)
            vectors.append(own if theirs is None else theirs)
        return weighted_mean(list(masses), vectors, [mass / self.mass for mass in masses.values()])

    def _shares(self, meeting: Meeting) -> Mapping[PeerId, float]:
        """The share that goes to each receiver, and stays here, by peer."""
        peers = {self._peer_id, *meeting.receivers}
        return meeting.row if peers == meeting.row.keys() else dict.fromkeys(peers, 1 / len(peers))

    def go_back(self) -> None:
        """The mass stays, so that the sum over peers does."""

    def snapshot(self) -> Snapshot:
        return {}, {"mass": self.mass}

    def restore(self, snapshot: Snapshot) -> None:
        self.mass = snapshot[1]["mass"]
