"""Sums and means of numbers, by push-sum (Kempe et al., 2003).

Every peer i begins with its numbers s_i and a mass w_i. The rules:

* In each round, every `period` seconds: s_i <- s_i / 2, w_i <- w_i / 2, and the other half of both is pushed to a
  random neighbor.
* A push (s, w) that comes in:  s_i <- s_i + s,  w_i <- w_i + w.
* A push is applied exactly once: it is repeated, unchanged, until its receipt has come.

s_i / w_i comes to sum_i s_i / sum_i w_i at every peer: the mean of all numbers where each begins with mass 1, their sum
where one has mass 1 and the others none. Both sums are constant once every push has its receipt: before that, count the
pushes that were not applied.

A peer's first push is half of its numbers, so that the neighbor which gets it knows them.
"""

from dataclasses import asdict
from typing import Literal, TypeAlias

import networkx as nx
import numpy as np

from gossipfl.actions import Action, Job, Outcome, WakeAt
from gossipfl.compression import decompress, dense
from gossipfl.errors import LocalProtocolError, RemoteProtocolError
from gossipfl.messages import ExchangeId, Kind, Message
from gossipfl.peers.peer import Peer
from gossipfl.peers.pushes import LEAST_MASS, Pushes, check_mass
from gossipfl.peers.random_neighbors import Backoff
from gossipfl.peers.standing import Standing
from gossipfl.randomness import PublicRandomness
from gossipfl.snapshot import Snapshot, compose, part
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId, Vector, frozen

VALUES, MASS = "values", "mass"
"""The names of the vector and of the number that messages carry."""

Query: TypeAlias = Literal["mean", "sum"]


class SummingPeer:
    """A `Peer` without a model that comes to know the sum or the mean of everybody's float64 `numbers`.

    `total_mass` is that of all peers. After `num_rounds` rounds it gives nothing away any more; it takes in what still
    comes. Of neighbors that changed, it leaves alone at once those who are gone, with what it had pushed to them.
    """

    standing: Standing | None = None
    outstanding: Job | None = None

    def __init__(
        self,
        peer_id: PeerId,
        numbers: Vector,
        neighbors: Neighbors,
        num_rounds: int,
        backoff: Backoff,
        generator: np.random.Generator,
        *,
        mass: float = 1.0,
        total_mass: float,
        period: float = 1.0,
    ) -> None:
        self.peer_id = peer_id
        self.num_rounds = num_rounds
        self.round = 0
        self.mass = mass
        self.sums: Vector = frozen(np.array(numbers, np.float64))
        self._changed: Neighbors | None = None
        self._total_mass = total_mass
        self._period = period
        self._pushes = Pushes(peer_id, neighbors, backoff, generator, self._half, self._apply)
        self._next: float | None = None  # when the next round begins; None before the start
        self.value = self._estimate()

    def _estimate(self) -> Vector:
        return frozen(self.sums / self.mass if self.mass else np.full_like(self.sums, np.nan))

    @property
    def rounds_done(self) -> int:
        return self.round

    @property
    def finished(self) -> bool:
        return self.round >= self.num_rounds

    @property
    def is_drained(self) -> bool:
        return self.finished and not self._pushes.unconfirmed

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        return tuple(self._pushes.unconfirmed) if self.finished else ()

    @property
    def num_open(self) -> int:
        return len(self.awaits)

    def start(self, now: float) -> list[Action]:
        if self._next is None:
            self._next = now
        return self.wake(now)

    def wake(self, now: float) -> list[Action]:
        if self._next is None:  # before the start
            return []
        pushes: list[Action] = []
        if now >= self._next and not self.finished:
            # Also without any mass: its numbers have to get to where there is some.
            pushes = self._pushes.push(now, has_something=self.mass == 0 or self.mass >= LEAST_MASS)
            if pushes or not self._pushes.unconfirmed:  # else it could only wait for receipts, which is no round
                self.round += 1
            self._next = now + self._period
        return [*pushes, *(self._pushes.drain(now) if self.finished else [WakeAt(self._next)])]

    def receive(self, message: Message, now: float) -> list[Action]:
        return self._pushes.receive(message, self.round)

    def _half(self, exchange: ExchangeId) -> Message:
        self.mass /= 2
        self.sums = frozen(self.sums / 2)
        vectors = {VALUES: dense(self.sums)}
        return Message(self.peer_id, exchange.responder, Kind.PUSH, self.round, exchange, vectors, {MASS: self.mass})

    def _apply(self, push: Message) -> list[Action]:
        theirs = push.vectors.get(VALUES)
        if theirs is None or theirs.size != self.sums.size:
            raise RemoteProtocolError(f"a push from peer {push.sender} carries no {self.sums.size} {VALUES}")
        check_mass(push, self.mass, self._total_mass)
        self.mass += push.number(MASS)
        self.sums = frozen(self.sums + decompress(theirs))
        self.value = self._estimate()
        return []

    def completed(self, outcome: Outcome, now: float) -> list[Action]:
        raise LocalProtocolError(f"peer {self.peer_id} has asked for no work")

    def send_failed(self, message: Message, now: float) -> list[Action]:
        return []  # a push that has not arrived is repeated anyway

    def neighbors_changed(self, neighbors: Neighbors, now: float) -> list[Action]:
        self._changed = neighbors
        self._pushes.meet(neighbors)
        return self._pushes.drain(now) if self.finished else []

    def snapshot(self) -> Snapshot:
        changed = None if self._changed is None else asdict(self._changed)
        values = {"round": self.round, "mass": self.mass, "next": self._next, "changed": changed}
        return compose(values, {"sums": ({VALUES: self.sums}, {}), "pushes": self._pushes.snapshot()})

    def restore(self, snapshot: Snapshot) -> None:
        _, values = snapshot
        self.round, self.mass, self._next = values["round"], values["mass"], values["next"]
        if values["changed"] is not None:
            self._changed = Neighbors(**values["changed"])
            self._pushes.meet(self._changed)
        self.sums = frozen(part("sums", snapshot)[0][VALUES])
        self._pushes.restore(part("pushes", snapshot))
        self.value = self._estimate()


def summing_peer(
    peer_id: PeerId,
    numbers: Vector,
    graph: nx.Graph,
    query: Query,
    randomness: PublicRandomness,
    *,
    num_rounds: int,
    backoff: Backoff,
    period: float = 1.0,
) -> Peer:
    """The peer of one participant in a query that all of `graph` take part in. For a sum, the first has all the
    mass."""
    first = graph.nodes[peer_id]["position"] == 0
    return SummingPeer(
        peer_id,
        numbers,
        Neighbors.of(graph, peer_id),
        num_rounds,
        backoff,
        randomness.generator("summing", peer_id),
        mass=1.0 if query == "mean" or first else 0.0,
        total_mass=float(len(graph)) if query == "mean" else 1.0,
        period=period,
    )
