"""Sixteen peers over real HTTP: nobody waits for ever, nobody is lost, nothing is refused."""

import networkx as nx
import numpy as np
import pytest
from federation import random_models, random_shards, ring
from loopback import run_loopback
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import PairwiseGossip, SynchronousGossip
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
