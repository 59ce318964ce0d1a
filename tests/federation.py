"""Builds small federations for tests: peers of an algorithm on a graph, with a numpy trainer."""

from collections.abc import Mapping

import networkx as nx
import numpy as np
from numpy_trainer import NumpyTrainer

from gossipfl.actions import LocalWork
from gossipfl.algorithms import POOL, Algorithm, Seat
from gossipfl.engines.evaluation import EvaluationPlan
from gossipfl.engines.virtual.simulator import Simulator, World
from gossipfl.peers import Peer
from gossipfl.privacy.protection import AnyProtection
from gossipfl.randomness import PublicRandomness, Randomness, SecretRandomness, SeededSecrets
from gossipfl.stopping.rule import StopRule
from gossipfl.topology import Neighbors, canonical
from gossipfl.weights import ModelVectors, PeerId, frozen


def ring(num_peers: int) -> nx.Graph:
    return canonical(nx.cycle_graph(num_peers), "ring")


def complete(num_peers: int) -> nx.Graph:
    return canonical(nx.complete_graph(num_peers), "complete")


def random_shards(graph: nx.Graph, *, num_rows: int = 4, size: int = 3, seed: int = 0) -> dict[PeerId, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {peer_id: rng.normal(size=(num_rows, size)) for peer_id in graph}


def unequal_shards(graph: nx.Graph, *, size: int = 3, seed: int = 0) -> dict[PeerId, np.ndarray]:
    """Peer k holds k + 1 rows."""
    rng = np.random.default_rng(seed)
    return {peer_id: rng.normal(size=(k + 1, size)) for k, peer_id in enumerate(graph)}


def random_models(graph: nx.Graph, *, size: int = 3, seed: int = 0) -> dict[PeerId, ModelVectors]:
    """Another first model for every peer."""
    rng = np.random.default_rng(seed)
    return {peer_id: ModelVectors(frozen(rng.normal(size=size)), frozen(np.zeros(0))) for peer_id in graph}


def make_peer(
    algorithm: Algorithm,
    graph: nx.Graph,
    trainer: NumpyTrainer,
    peer_id: PeerId,
    *,
    num_rounds: int = 5,
    seed: int = 0,
    initial: ModelVectors | None = None,
    revoked: frozenset[PeerId] = frozenset(),
    secret: SecretRandomness | None = None,
    protection: AnyProtection | None = None,
) -> Peer:
    work = LocalWork(0, 0, algorithm.num_rounds(num_rounds, len(graph)))
    if peer_id != algorithm.hub:
        work = LocalWork(len(trainer.shards[peer_id]), trainer.steps_per_epoch(peer_id), num_rounds)
    randomness = Randomness(PublicRandomness(seed), secret or SeededSecrets(seed))
    network = algorithm.network(graph)
    peer = algorithm.make_peer(
        Seat(peer_id, network, initial or trainer.initial(), work, randomness, protection=protection)
    )
    if revoked:
        peer.neighbors_changed(Neighbors.of(network, peer_id).without(revoked), 0.0)
    return peer


def make_peers(
    algorithm: Algorithm,
    graph: nx.Graph,
    trainer: NumpyTrainer,
    *,
    num_rounds: int = 5,
    seed: int = 0,
    initial: Mapping[PeerId, ModelVectors] | None = None,
    revoked: frozenset[PeerId] = frozenset(),
) -> dict[PeerId, Peer]:
    """All peers; those of `revoked` know nothing of it."""
    if algorithm.pools_data:
        trainer.shards = {POOL: np.concatenate(list(trainer.shards.values()))}
    models = initial or {}
    return {
        peer_id: make_peer(
            algorithm,
            graph,
            trainer,
            peer_id,
            num_rounds=num_rounds,
            seed=seed,
            initial=models.get(peer_id),
            revoked=frozenset() if peer_id in revoked else revoked,
        )
        for peer_id in algorithm.network(graph)
    }


def make_simulator(
    algorithm: Algorithm,
    graph: nx.Graph,
    trainer: NumpyTrainer,
    *,
    world: World | None = None,
    plan: EvaluationPlan | None = None,
    num_rounds: int = 5,
    seed: int = 0,
    initial: Mapping[PeerId, ModelVectors] | None = None,
    stop: StopRule | None = None,
) -> Simulator:
    peers = make_peers(algorithm, graph, trainer, num_rounds=num_rounds, seed=seed, initial=initial)
    return Simulator(peers, trainer, world, plan, seed=seed, hub=algorithm.hub, stop=stop)


def final_weights(simulator: Simulator) -> dict[PeerId, np.ndarray]:
    return {peer_id: np.array(peer.weights) for peer_id, peer in simulator.peers.items()}


def stacked(simulator: Simulator) -> np.ndarray:
    """The weights of all data holders, one row each, in node order."""
    return np.stack([weights for peer_id, weights in final_weights(simulator).items() if peer_id != "server"])


def identical(left: Mapping[PeerId, np.ndarray], right: Mapping[PeerId, np.ndarray]) -> bool:
    """Whether two sets of weights agree in every bit."""
    return left.keys() == right.keys() and all(left[peer_id].tobytes() == right[peer_id].tobytes() for peer_id in left)
