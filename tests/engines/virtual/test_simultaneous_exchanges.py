"""How fast pairwise gossip mixes in virtual time, per exchange: at one instant, and one after the other."""

import numpy as np
import pytest
from federation import complete, make_simulator, random_models, random_shards, stacked
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import PairwiseGossip
from gossipfl.engines.virtual.compute_model import ComputeModel, drawn_speeds
from gossipfl.engines.virtual.network_model import IDEAL, LAN, WAN, NetworkModel
from gossipfl.engines.virtual.simulator import World
from gossipfl.messages import Kind

NUM_PEERS, NUM_ROUNDS, SIZE = 32, 10, 100


def mixing_per_exchange(network: NetworkModel, speed_spread: float) -> float:
    """By what power of 1 - 1 / (n - 1), that of one random pair after the other, an exchange shrinks the variance."""
    graph = complete(NUM_PEERS)
    shrunk, num_exchanges = 0.0, 0
    for seed in range(3):
        initial = random_models(graph, size=SIZE, seed=seed)
        speeds = drawn_speeds(list(graph), speed_spread, np.random.default_rng(seed))
        world = World(network, ComputeModel(1.0, speeds))
        trainer = NumpyTrainer(random_shards(graph, num_rows=1, size=SIZE), learning_rate=0.0)
        simulator = make_simulator(
            PairwiseGossip(), graph, trainer, num_rounds=NUM_ROUNDS, seed=seed, initial=initial, world=world
        )
        for peer in simulator.peers.values():
            receive = peer.receive

            def count(message, now, receive=receive):
                nonlocal num_exchanges
                num_exchanges += message.kind is Kind.REPLY
                return receive(message, now)

            peer.receive = count
        simulator.run()
        models = [np.stack([model.weights for model in initial.values()]), stacked(simulator)]
        first, last = (((X - X.mean(axis=0)) ** 2).sum() for X in models)
        shrunk += np.log(last / first)
    return shrunk / num_exchanges / np.log(1 - 1 / (NUM_PEERS - 1))


@pytest.mark.parametrize("network", [IDEAL, LAN, WAN])
def test_peers_of_equal_speed_exchange_at_one_instant_and_mix_less(network):
    """Requests carry weights that are being averaged elsewhere meanwhile."""
    assert mixing_per_exchange(network, 0.0) == pytest.approx(0.72, abs=0.04)


@pytest.mark.parametrize("network", [IDEAL, LAN])
def test_a_spread_of_one_percent_puts_exchanges_one_after_the_other(network):
    """More than 1: each peer asks once a round, so nobody is left out as by independent draws."""
    assert mixing_per_exchange(network, 0.01) == pytest.approx(1.26, abs=0.06)
