"""Peers that agree on how good their models are end over HTTP as they do in virtual time."""

import pytest
from agreeing import agreeing_simulator, own_place, plan_of
from federation import random_shards, ring
from loopback import bits, run_loopback
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import FedAvg, GoSGD, PairwiseGossip, StochasticGradientPush, SynchronousGossip
from gossipfl.scores import LOSS
from gossipfl.stopping.rule import StopRule

GRAPH = ring(6)
RULE = StopRule(LOSS, patience=2)


def new_trainer():
    return NumpyTrainer(random_shards(GRAPH), momentum=0.9)


@pytest.mark.parametrize(
    "recipe",
    [
        SynchronousGossip(),
        SynchronousGossip(order="combine_then_adapt", gossip_steps=2),
        StochasticGradientPush(),
        FedAvg(),
    ],
    ids=["adapt then combine", "combine then adapt", "push", "fedavg"],
)
def test_who_waits_ends_in_the_same_round_with_the_same_bits(recipe):
    place = own_place(GRAPH, new_trainer())
    simulator = agreeing_simulator(recipe, GRAPH, new_trainer(), place=place, num_rounds=30, rule=RULE)
    simulator.run()
    plan = plan_of(recipe, GRAPH, place, num_rounds=30, rule=RULE)
    loopback = run_loopback(recipe, GRAPH, new_trainer(), num_rounds=30, agreement=plan)
    assert loopback.undisturbed
    (ends,) = {peer.round for peer in simulator.peers.values()}
    assert {peer.round for peer in loopback.peers.values()} == {ends}
    assert ends < 30
    assert bits({name: peer.inner for name, peer in loopback.peers.items()}) == bits(
        {name: peer.inner for name, peer in simulator.peers.items()}
    )
    for name, peer in loopback.peers.items():
        assert peer.standing.stopped == simulator.peers[name].standing.stopped
        if recipe.hub is None:
            assert peer.standing.agreement == simulator.peers[name].standing.agreement


@pytest.mark.parametrize(
    "recipe", [PairwiseGossip(), GoSGD(), SynchronousGossip(patience=0.5)], ids=["pairwise", "gosgd", "patient"]
)
def test_who_does_not_wait_ends_when_it_is_called(recipe):
    plan = plan_of(recipe, GRAPH, own_place(GRAPH, new_trainer()), num_rounds=5000, rule=RULE)
    loopback = run_loopback(recipe, GRAPH, new_trainer(), num_rounds=5000, agreement=plan)
    assert loopback.undisturbed
    assert all(peer.round < 5000 and peer.standing.stopped for peer in loopback.peers.values())
