"""Peers that wait for each other know all scores of a round in one and the same later round, and end together."""

import pytest
from agreeing import agreeing_simulator, own_place, plan_of
from exam import CANDIDATES
from federation import final_weights, identical, make_peer, make_simulator, random_shards, ring
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import SynchronousGossip
from gossipfl.algorithms.rounds import SynchronousRecipe
from gossipfl.compression import dense
from gossipfl.engines.virtual.compute_model import ComputeModel
from gossipfl.engines.virtual.network_model import Link, NetworkModel
from gossipfl.engines.virtual.simulator import World
from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.measured import Measured
from gossipfl.messages import Kind, Message
from gossipfl.schedules import OnePeerExponential
from gossipfl.scores import LOSS
from gossipfl.stopping.agreeing_peer import SCORES, AgreeingPeer
from gossipfl.stopping.rule import StopRule
from gossipfl.topology import Neighbors

WAITING = {name: one for name, one in CANDIDATES.items() if isinstance(one.recipe, SynchronousRecipe)}
NUM_PEERS, NUM_ROUNDS = 8, 14


def new_trainer(graph):
    return NumpyTrainer(random_shards(graph), momentum=0.9, has_statistics=True)


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("name", WAITING)
def test_what_is_agreed_is_what_the_engine_measures_and_changes_nothing(name, every):
    recipe, graph = WAITING[name].recipe, WAITING[name].graph(NUM_PEERS)
    simulator = agreeing_simulator(recipe, graph, new_trainer(graph), every=every, num_rounds=NUM_ROUNDS)
    history = simulator.run()
    plain = make_simulator(recipe, graph, new_trainer(graph), num_rounds=NUM_ROUNDS)
    plain.run()
    assert identical({one: peer.inner.weights for one, peer in simulator.peers.items()}, final_weights(plain))
    known_in = recipe.known_in(recipe.network(graph), NUM_ROUNDS, 0)
    rounds = [round for round in range(0, NUM_ROUNDS + 1, every) if known_in[round] <= NUM_ROUNDS]
    assert rounds
    assert [(agreed.round, agreed.known_in) for agreed in history.agreed] == [(r, known_in[r]) for r in rounds]
    measured = {one.round: one for one in history}
    for agreed, known in history.agreed.items():
        assert known.num_peers == agreed.num_peers == len(graph)
        own = measured[agreed.round]
        assert agreed.loss == Measured(agreed.columns[0], None, None, own.loss.peers)
        assert agreed.metrics["accuracy"].peers == own.metrics["accuracy"].peers
        assert agreed.metrics["accuracy"].deciles == own.metrics["accuracy"].deciles


@pytest.mark.parametrize("name", WAITING)
def test_all_end_in_the_round_in_which_all_know(name):
    recipe, graph = WAITING[name].recipe, WAITING[name].graph(NUM_PEERS)
    plain = make_simulator(recipe, graph, new_trainer(graph), num_rounds=NUM_ROUNDS)
    models = {}
    for one in plain:
        models[one.round] = final_weights(plain)
    free = agreeing_simulator(recipe, graph, new_trainer(graph), num_rounds=NUM_ROUNDS).run()
    values = {one.round: one.loss.mean for one in free}
    known_in = recipe.known_in(recipe.network(graph), NUM_ROUNDS, 0)
    in_time = [round for round in range(NUM_ROUNDS) if known_in[round] < NUM_ROUNDS]
    reached = min(in_time, key=values.__getitem__)
    rule = StopRule(LOSS, value=values[reached])
    simulator = agreeing_simulator(recipe, graph, new_trainer(graph), num_rounds=NUM_ROUNDS, rule=rule)
    history = simulator.run()
    ends = known_in[reached]
    assert {peer.round for peer in simulator.peers.values()} == {history.last.round} == {ends}
    assert [one.round for one in history] == list(range(ends + 1))
    assert identical({one: peer.inner.weights for one, peer in simulator.peers.items()}, models[ends])
    assert history.stopped.startswith(
        f"in round {ends}: by the scores of round {reached}, the loss in the mean over all"
    )


@pytest.mark.parametrize("away_from", [0.14, 0.2])
def test_what_could_not_be_delivered_says_later_what_it_said_at_first(away_from):
    """By then its sender is rounds ahead, and has newer scores in the places of those that the receiver still needs."""
    network = NetworkModel(link=Link(latency=0.01), offline={"3": ((away_from, away_from + 0.5),)})
    world = World(network, ComputeModel(0.01))
    recipe, graph = SynchronousGossip(OnePeerExponential()), ring(NUM_PEERS)
    history = agreeing_simulator(recipe, graph, new_trainer(graph), every=2, num_rounds=12, world=world).run()
    known_in = recipe.known_in(recipe.network(graph), 12, 0)
    assert [(one.round, one.known_in, one.num_peers) for one in history.agreed] == [
        (round, known_in[round], NUM_PEERS) for round in range(0, 9, 2)
    ]


def one_peer(rule=None):
    recipe, graph = SynchronousGossip(), ring(4)
    trainer = new_trainer(graph)
    plan = plan_of(recipe, graph, own_place(graph, trainer), rule=rule)
    return AgreeingPeer(make_peer(recipe, graph, trainer, "1"), plan, Neighbors.of(graph, "1"))


def test_who_ends_with_all_others_cannot_do_without_one_of_them():
    without = Neighbors.of(ring(4), "1").without({"2"})
    with pytest.raises(ConfigurationError, match=r"peer 1 cannot go on without 2: all peers end with the same round"):
        one_peer(StopRule(LOSS, patience=1)).neighbors_changed(without, 0.0)
    assert one_peer().neighbors_changed(without, 0.0) == []


def test_a_model_without_scores_or_a_call_is_refused_and_changes_nothing():
    peer = one_peer()
    peer.start(0.0)
    before = peer.snapshot()[1]
    bare = Message("2", "1", Kind.MODEL, 0, vectors={"weights": dense(peer.value)})
    call = Message("2", "1", Kind.STOP, vectors={SCORES: dense(peer._layout.empty())})
    for message, why in ((bare, "carries no scores"), (call, "expects no stop from peer 2")):
        with pytest.raises(RemoteProtocolError, match=why):
            peer.receive(message, 0.0)
    assert peer.snapshot()[1] == before
