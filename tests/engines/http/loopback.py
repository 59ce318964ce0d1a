"""Peers of an algorithm over real HTTP on loopback, all in one event loop, with a numpy trainer."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import networkx as nx
from agreeing import agreeing
from deadline import DEADLINE
from federation import make_peers
from numpy_trainer import NumpyTrainer

from gossipfl.agreements import Agreement
from gossipfl.algorithms import Algorithm
from gossipfl.algorithms.algorithm import NUM_EXAMPLES
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.training_room import TrainingRoom
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.messages import NumberSchema, VectorSchema
from gossipfl.mixing.push_sum import SMALLEST_MASS
from gossipfl.peers import Peer
from gossipfl.stopping.agreeing_peer import SCORES
from gossipfl.stopping.plan import AgreementPlan
from gossipfl.weights import ModelVectors, PeerId


class Log:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.contacts: list[tuple[PeerId, PeerId, str]] = []
        self.updates: dict[PeerId, int] = {}

    def reacted(self, host: HTTPPeer, round_before: int) -> None: ...

    def trained(self, host: HTTPPeer, update: Any) -> None:
        self.updates[host.peer.peer_id] = self.updates.get(host.peer.peer_id, 0) + 1

    def agreed(self, host: HTTPPeer, agreement: Agreement) -> None: ...

    def contact(self, host: HTTPPeer, neighbor: PeerId, event: str) -> None:
        self.contacts.append((host.peer.peer_id, neighbor, event))


NUMBERS = {"num_examples": NUM_EXAMPLES, "mass": NumberSchema(SMALLEST_MASS, 3)}


def facts_for(
    initial: ModelVectors, *, num_rounds: int, num_participants: int, algorithm: Algorithm | None = None, **agreed: Any
) -> RunFacts:
    vectors = {"weights": VectorSchema(initial.weights.size, str(initial.weights.dtype))}
    if initial.statistics.size:
        vectors["statistics"] = VectorSchema(initial.statistics.size, str(initial.statistics.dtype))
    vectors["optimizer"] = VectorSchema(initial.weights.size, str(initial.weights.dtype))
    if algorithm is not None:
        vectors |= dict.fromkeys(algorithm.extra_vectors, vectors["weights"])
    return RunFacts(
        {"run": "test", **agreed},
        vectors,
        num_rounds,
        gossip_steps=getattr(algorithm, "gossip_steps", 1),
        numbers=NUMBERS if algorithm is None else algorithm.numbers(num_participants, num_rounds),
    )


class Loopback:
    """All participants, listening on ports of their own; used inside a running event loop.

    `way(sender, receiver, url)` gives the URL that the sender uses instead: that of a proxy, or of nobody.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        graph: nx.Graph,
        trainer: NumpyTrainer,
        *,
        num_rounds: int = 5,
        seed: int = 0,
        initial: Mapping[PeerId, ModelVectors] | None = None,
        hosting: Callable[[PeerId], Hosting] | None = None,
        revoked: frozenset[PeerId] = frozenset(),
        agreement: AgreementPlan | None = None,
    ) -> None:
        network = algorithm.network(graph)
        first = trainer.initial()
        peers = make_peers(
            algorithm, graph, trainer, num_rounds=num_rounds, seed=seed, initial=initial, revoked=revoked
        )
        self.facts = facts_for(
            first,
            num_rounds=algorithm.num_rounds(num_rounds, len(graph)),
            num_participants=len(network),
            algorithm=algorithm,
        )
        if agreement is not None:
            peers = agreeing(peers, network, agreement)
            scores = {SCORES: VectorSchema(agreement.layout.size, "float64")}
            self.facts = replace(self.facts, vectors={**self.facts.vectors, **scores})
        self.room = TrainingRoom(trainer, 2)
        self.log = Log()
        self.network = network
        self.hosts = {
            peer_id: HTTPPeer(
                peer,
                self.facts,
                self.room,
                tuple(nx.all_neighbors(network, peer_id)),
                self.log,
                Hosting(meeting_seconds=5.0) if hosting is None else hosting(peer_id),
            )
            for peer_id, peer in peers.items()
        }
        self.addresses: dict[PeerId, str | None] = {}

    @property
    def peers(self) -> dict[PeerId, Peer]:
        return {peer_id: host.peer for peer_id, host in self.hosts.items()}

    async def listen(self, *only: PeerId) -> None:
        """Open the servers of all peers, or of some."""
        for peer_id in only or self.hosts:
            host = self.hosts[peer_id]
            if not host.hosting.listens:
                self.addresses[peer_id] = None
                continue
            credentials = host.hosting.credentials
            tls = None if credentials is None else credentials.server_context()
            _, port = await host.listen(("127.0.0.1", 0), tls)
            scheme = "http" if tls is None else "https"
            self.addresses[peer_id] = f"{scheme}://127.0.0.1:{port}"

    def connect(self, way: Callable[[PeerId, PeerId, str], str] = lambda sender, receiver, url: url) -> None:
        for peer_id, host in self.hosts.items():
            host.connect(
                {
                    neighbor: None if url is None else way(peer_id, neighbor, url)
                    for neighbor, url in self.addresses.items()
                }
            )

    async def run(self) -> None:
        if not self.addresses:
            await self.listen()
            self.connect()
        try:
            await asyncio.gather(*(host.run() for host in self.hosts.values()))
        finally:
            await self.room.close()

    @property
    def undisturbed(self) -> bool:
        """Whether no neighbor was lost, nothing refused, and every delivery succeeded."""
        return not self.log.contacts and not any(
            host.refusals or any(neighbor.refusals for neighbor in host.neighbors.values())
            for host in self.hosts.values()
        )


def run_loopback(*arguments: Any, timeout: float = DEADLINE, **options: Any) -> Loopback:
    """Run a federation over loopback to its end."""

    async def run() -> Loopback:
        loopback = Loopback(*arguments, **options)
        async with asyncio.timeout(timeout):
            await loopback.run()
        return loopback

    return asyncio.run(run())


def bits(peers: Mapping[PeerId, Peer]) -> dict[PeerId, dict[str, bytes]]:
    """Everything that training and averaging have made of the models of all peers."""
    return {
        peer_id: {
            "weights": peer.local.weights.tobytes(),
            "statistics": peer.local.statistics.tobytes(),
            **{name: array.tobytes() for name, array in peer.local.state.items()},
        }
        for peer_id, peer in peers.items()
    }
