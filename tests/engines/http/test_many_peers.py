"""Sixteen peers over real HTTP: nobody waits for ever, nobody is lost, nothing is refused."""

import asyncio
import gc
from collections import Counter

import networkx as nx
import numpy as np
import pytest
from deadline import DEADLINE
from federation import random_models, random_shards, ring
from loopback import Loopback, run_loopback
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import FedAvg, PairwiseGossip, SynchronousGossip
from gossipfl.engines.http.delivering.letters import Parcel
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.wire.envelope import Envelope
from gossipfl.messages import Message
from gossipfl.topology import canonical

GRAPHS = {"ring": ring(16), "line": canonical(nx.path_graph(16), "line")}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize("algorithm", [SynchronousGossip(), PairwiseGossip()], ids=["synchronous", "pairwise"])
def test_sixteen_peers_gossip_undisturbed(algorithm, graph):
    loopback = run_loopback(algorithm, graph, NumpyTrainer(random_shards(graph)), num_rounds=10)
    assert {peer.round for peer in loopback.peers.values()} == {10}
    assert set(loopback.log.updates.values()) == {10}
    assert loopback.undisturbed


def test_pairwise_gossip_of_sixteen_keeps_the_sum_and_nears_the_mean():
    graph = GRAPHS["ring"]
    models = random_models(graph)
    loopback = run_loopback(
        PairwiseGossip(), graph, NumpyTrainer(random_shards(graph), learning_rate=0.0), num_rounds=10, initial=models
    )
    before = np.stack([model.weights for model in models.values()])
    after = np.stack([peer.weights for peer in loopback.peers.values()])
    np.testing.assert_allclose(after.sum(axis=0), before.sum(axis=0), atol=1e-12)
    assert after.std(axis=0).max() < 0.5 * before.std(axis=0).max()


@pytest.fixture
def frozen_heap():
    """What is there already is not looked at: with TensorFlow that would take seconds."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def alive() -> Counter[type]:
    gc.collect()
    return Counter(map(type, gc.get_objects()))


@pytest.mark.parametrize("algorithm", [SynchronousGossip(), PairwiseGossip(), FedAvg()], ids=lambda a: type(a).__name__)
@pytest.mark.usefixtures("frozen_heap")
def test_nothing_is_kept_of_messages(algorithm):
    """What is alive in a late round is no more than in an early one."""
    graph = ring(4)
    counts: dict[int, Counter[type]] = {}

    async def run() -> Loopback:
        loopback = Loopback(algorithm, graph, NumpyTrainer(random_shards(graph)), num_rounds=60)

        def count(host: HTTPPeer, round_before: int) -> None:
            if host.peer.peer_id == "0" and host.peer.round in (10, 55) and host.peer.round not in counts:
                counts[host.peer.round] = alive()

        loopback.log.reacted = count
        async with asyncio.timeout(DEADLINE):
            await loopback.run()
        assert all(not neighbor.parcels for host in loopback.hosts.values() for neighbor in host.neighbors.values())
        return loopback

    asyncio.run(run())
    assert counts[10][HTTPPeer] == len(algorithm.network(graph))
    for kind in (Message, Envelope, Parcel):
        assert counts[55][kind] <= counts[10][kind] + 8  # what happens to be under way
    # Of tasks, 28 to 44 are under way at any moment; one that is kept in each round would make 45 more.
    assert counts[55][asyncio.Task] <= counts[10][asyncio.Task] + 20
