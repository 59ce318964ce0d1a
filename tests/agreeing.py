"""Federations whose peers agree on how good their models are."""

from collections.abc import Mapping
from dataclasses import replace

import networkx as nx
import numpy as np
from federation import make_peers
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import Algorithm
from gossipfl.engines.evaluation import EvaluationPlan
from gossipfl.engines.places import Place
from gossipfl.engines.virtual.simulator import Simulator, World
from gossipfl.peers import Peer
from gossipfl.scores import LOSS
from gossipfl.stopping.agreeing_peer import AgreeingPeer
from gossipfl.stopping.known import window_of
from gossipfl.stopping.plan import AgreementPlan
from gossipfl.stopping.rule import StopRule
from gossipfl.stopping.table import Layout
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId


def plan_of(
    algorithm: Algorithm,
    graph: nx.Graph,
    place: Place,
    *,
    every: int = 1,
    num_rounds: int = 5,
    rule: StopRule | None = None,
    seed: int = 0,
) -> AgreementPlan:
    network = algorithm.network(graph)
    rounds = algorithm.num_rounds(num_rounds, len(graph))
    metrics = (LOSS, *NumpyTrainer.metrics)
    if rule is not None:
        rule = replace(rule, metric=place.metric(rule.metric))
    known_in = algorithm.known_in(network, rounds, seed)
    window = 0 if known_in is None else window_of(known_in, every)
    peers = tuple(peer_id for peer_id in network if peer_id != algorithm.hub)
    layout = Layout(peers, tuple(map(place.metric, metrics)), rounds, every, window)
    return AgreementPlan(
        layout, metrics, place.part, place.shares, rule, known_in, algorithm.gossip_steps, algorithm.hub
    )


def own_place(graph: nx.Graph, trainer: NumpyTrainer) -> Place:
    """Each peer's own rows of the held-out part, which is all rows: other numbers for each."""
    total = sum(len(rows) for rows in trainer.shards.values())
    rng = np.random.default_rng(7)
    return Place("test", {peer_id: rng.choice(total, 3, replace=False) for peer_id in graph})


def agreeing(peers: Mapping[PeerId, Peer], network: nx.Graph, plan: AgreementPlan) -> dict[PeerId, AgreeingPeer]:
    return {peer_id: AgreeingPeer(peer, plan, Neighbors.of(network, peer_id)) for peer_id, peer in peers.items()}


def agreeing_simulator(
    algorithm: Algorithm,
    graph: nx.Graph,
    trainer: NumpyTrainer,
    *,
    place: Place | None = None,
    every: int = 1,
    num_rounds: int = 5,
    rule: StopRule | None = None,
    seed: int = 0,
    world: World | None = None,
) -> Simulator:
    """A simulator of peers that agree; every model is measured, by the engine, too."""
    place = own_place(graph, trainer) if place is None else place
    plan = plan_of(algorithm, graph, place, every=every, num_rounds=num_rounds, rule=rule, seed=seed)
    peers = agreeing(
        make_peers(algorithm, graph, trainer, num_rounds=num_rounds, seed=seed), algorithm.network(graph), plan
    )
    evaluation = EvaluationPlan(every, places=(place,))
    return Simulator(peers, trainer, world, evaluation, seed=seed, hub=algorithm.hub)


def ends_of(simulator: Simulator) -> dict[PeerId, tuple[float, int]]:
    """Filled while a simulator runs: when each of its peers came to know that the run ends, and how many rounds of
    local work it had done then."""
    ends: dict[PeerId, tuple[float, int]] = {}
    call = simulator._call

    def noting(peer, method, *arguments):
        call(peer, method, *arguments)
        if peer.peer_id not in ends and peer._board.end is not None:
            ends[peer.peer_id] = simulator.now, peer.rounds_done

    simulator._call = noting
    return ends
