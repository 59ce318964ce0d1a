"""Gossip learning: merging by age, and copies that may be lost, doubled and reordered at will."""

from itertools import permutations

import numpy as np
import pytest
from conversation import Conversation, random_steps
from federation import (
    complete,
    final_weights,
    identical,
    make_peers,
    make_simulator,
    random_models,
    random_shards,
    ring,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy_trainer import NumpyTrainer

from gossipfl.actions import Train, Update
from gossipfl.algorithms import GossipLearning, LocalOnly
from gossipfl.compression import dense
from gossipfl.engines.virtual.network_model import Link, NetworkModel
from gossipfl.engines.virtual.simulator import World
from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.peers import MergeRule, Sharing
from gossipfl.peers.gossip_learning import merged

RULES = [MergeRule("age_weighted"), MergeRule("limited", 0), MergeRule("limited", 3), MergeRule("plain")]
of_each_rule = pytest.mark.parametrize("rule", RULES, ids=str)
ages = st.integers(1, 10**6)
vectors = arrays(np.float32, 3, elements=st.floats(-1e6, 1e6, width=32))


def talk(graph, *, num_rounds=5, seed=0, algorithm=None, training=None, initial=None) -> Conversation:
    peers = make_peers(
        algorithm or GossipLearning(),
        graph,
        NumpyTrainer(random_shards(graph)),
        num_rounds=num_rounds,
        seed=seed,
        initial=initial or random_models(graph, seed=seed),
    )
    conversation = Conversation(peers, training or random_steps(np.random.default_rng(seed)))
    conversation.start()
    return conversation


def no_steps(job: Train) -> Update:
    return Update(job.peer_id, job.job, job.weights, job.statistics, {}, 1, job.num_steps, {})


def push(sender, receiver, weights, *, age=1, round=1, **vectors) -> Message:
    encoded = {name: dense(np.asarray(vector)) for name, vector in {"weights": weights, **vectors}.items()}
    return Message(sender, receiver, Kind.PUSH, round, vectors=encoded, numbers={"age": age})


# Merging


@of_each_rule
@given(own=ages, theirs=ages)
def test_the_two_shares_sum_to_one(rule, own, theirs):
    assert 0 <= rule.share(own, theirs) <= 1
    assert rule.share(own, theirs) + rule.share(theirs, own) == pytest.approx(1, abs=1e-15)
    assert rule.share(own, own) == 0.5


@given(a=vectors, b=vectors, share=st.floats(0, 1))
def test_a_merged_model_is_between_the_two_and_does_not_depend_on_who_merges(a, b, share):
    between = merged(a, b, share)
    tolerance = 4 * np.finfo(np.float32).eps * np.maximum(np.abs(a), np.abs(b))
    tolerance += 4 * np.finfo(np.float32).smallest_subnormal  # of numbers below 1e-38 the last bit is that large
    assert (np.minimum(a, b) - tolerance <= between).all()
    assert (between <= np.maximum(a, b) + tolerance).all()
    assert (np.abs(between - merged(b, a, 1 - share)) <= tolerance).all()
    assert between.dtype == np.float32
    assert not between.flags.writeable or share in (0.0, 1.0)


@given(a=vectors, b=vectors, share=st.floats(0, 1))
def test_merging_equal_models_changes_nothing_and_whole_shares_are_exact(a, b, share):
    assert (merged(a, a.copy(), share) == a).all()
    assert merged(a, b, 0.0) is a
    assert merged(a, b, 1.0) is b
    assert (merged(np.abs(a), np.abs(b), share) >= 0).all(), "a variance stays one"


def test_shares_by_age():
    assert MergeRule("age_weighted").share(3, 1) == 0.25
    assert MergeRule("limited", 2).share(3, 1) == 0.25
    assert MergeRule("limited", 1).share(3, 1) == 0.0
    assert MergeRule("limited", 1).share(1, 3) == 1.0
    assert MergeRule("plain").share(1, 3) == 0.5


# Peers


@of_each_rule
def test_two_peers_by_hand(rule):
    conversation = talk(complete(2), num_rounds=2, algorithm=GossipLearning(rule.merge, rule.age_limit))
    a, b = conversation.peers.values()
    a.age = 3
    conversation.train("0")
    assert (a.age, b.age) == (4, 0)
    conversation.deliver()
    start = b.weights
    assert start is conversation.jobs["1"].weights, "a model that comes during training waits for its end"
    before = np.array(conversation.moved)
    conversation.train("1")
    share = {"age_weighted": 4 / 5, "plain": 1 / 2, "limited": 4 / 5 if rule.age_limit >= 3 else 1.0}[rule.merge]
    trained = start + conversation.moved - before
    np.testing.assert_allclose(b.weights, (1 - share) * trained + share * a.weights, atol=1e-14)
    assert b.age == 4
    assert conversation.in_flight[0].numbers == {"age": 4}
    assert conversation.in_flight[0].vectors["weights"].arrays["values"] is b.weights


def test_models_are_merged_in_node_order_whatever_their_order_of_arrival():
    graph = complete(4)
    models = random_models(graph, seed=7)
    results = set()
    for order in permutations("123"):
        peer = talk(graph).peers["0"]
        for age, sender in enumerate(order):
            peer.receive(push(sender, "0", models[sender].weights, age=1 + int(sender)), 0.0)
            assert len(peer.snapshot()[1]["arrived"]) == age + 1
        peer.completed(no_steps(peer.local.outstanding), 0.0)
        results.add(peer.weights.tobytes())
        assert peer.age == 4
    assert len(results) == 1


def test_only_the_newest_model_of_a_sender_counts_and_that_once():
    conversation = talk(ring(3), num_rounds=3, training=no_steps)
    peer = conversation.peers["0"]
    newest = push("1", "0", np.full(3, 2.0), age=2, round=2)
    for message in (newest, push("1", "0", np.full(3, 9.0)), newest):
        assert peer.receive(message, 0.0) == []
    before = peer.weights
    conversation.train("0")
    np.testing.assert_allclose(peer.weights, before / 3 + 2 * 2 / 3, atol=1e-15)
    peer.receive(newest, 0.0)
    before = peer.weights
    conversation.train("0")
    assert peer.weights is before


def test_a_peer_that_has_finished_merges_at_once_and_forwards_nothing():
    conversation = talk(complete(2), num_rounds=1)
    conversation.train_all()
    a, b = conversation.peers.values()
    middle = (a.weights + b.weights) / 2
    conversation.deliver_all()
    np.testing.assert_allclose([a.weights, b.weights], [middle, middle], atol=1e-15)
    assert [message.kind for message in conversation.sent] == [Kind.PUSH, Kind.PUSH]
    assert a.is_drained


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rule=st.sampled_from(RULES),
    loss=st.floats(0, 1),
    duplicates=st.floats(0, 0.3),
    failures=st.floats(0, 0.1),
)
def test_nobody_waits_and_ages_are_rounds_of_somebody(seed, rule, loss, duplicates, failures):
    conversation = talk(complete(5), seed=seed, algorithm=GossipLearning(rule.merge, rule.age_limit))
    conversation.play(np.random.default_rng(seed), loss=loss, duplicates=duplicates, failures=failures)
    conversation.settle()
    assert len(conversation.sent) == 5 * 5
    assert not conversation.wishes
    for peer in conversation.peers.values():
        assert peer.is_drained
        assert 5 == peer.round <= peer.age <= 5 * 5


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.age_limit], ids=str)
def test_without_training_models_stay_among_the_first_ones_and_come_to_agree(rule):
    graph = complete(6)
    initial = random_models(graph)
    algorithm = GossipLearning(rule.merge, rule.age_limit)
    conversation = talk(graph, num_rounds=100, algorithm=algorithm, training=no_steps, initial=initial)
    while conversation.jobs:
        conversation.train_all()
        conversation.deliver_all()
    first = np.stack([model.weights for model in initial.values()])
    last = np.stack([peer.weights for peer in conversation.peers.values()])
    assert (first.min(axis=0) - 1e-12 <= last).all()
    assert (last <= first.max(axis=0) + 1e-12).all()
    assert np.ptp(last, axis=0).max() < 1e-6


def test_when_all_is_lost_it_is_training_alone():
    graph = ring(5)
    trainer = NumpyTrainer(random_shards(graph), momentum=0.9)
    world = World(NetworkModel(link=Link(loss=1 - 1e-9)))
    simulators = [
        make_simulator(algorithm, graph, trainer, world=world) for algorithm in (GossipLearning(), LocalOnly())
    ]
    for simulator in simulators:
        simulator.run()
    assert identical(*map(final_weights, simulators))


def test_statistics_and_optimizer_state_are_merged_with_the_same_share():
    graph = complete(2)
    trainer = NumpyTrainer(random_shards(graph), momentum=0.9, has_statistics=True)
    algorithm = GossipLearning(sharing=Sharing(optimizer_state="average"))
    peer = make_peers(algorithm, graph, trainer, num_rounds=5)["0"]
    (job,) = peer.start(0.0)
    (update,) = trainer.train([job])
    theirs = {"weights": np.full(3, 1.0), "statistics": np.full(3, 2.0), "optimizer": np.full(3, 4.0)}
    peer.receive(push("1", "0", age=3, **theirs), 0.0)
    peer.completed(update, 0.0)
    for name, mine in {"weights": update.weights, "statistics": update.statistics, **update.state}.items():
        if name in theirs:
            np.testing.assert_allclose(peer.local.shared()[name], 0.25 * mine + 0.75 * theirs[name], atol=1e-15)


def test_an_optimizer_state_of_another_size_that_came_early_is_left_out():
    graph = complete(2)
    trainer = NumpyTrainer(random_shards(graph), momentum=0.9)
    peer = make_peers(GossipLearning(sharing=Sharing(optimizer_state="average")), graph, trainer)["0"]
    (job,) = peer.start(0.0)
    (update,) = trainer.train([job])
    peer.receive(push("1", "0", np.ones(3), optimizer=np.ones(2)), 0.0)
    peer.completed(update, 0.0)
    np.testing.assert_array_equal(peer.local.state["optimizer"], update.state["optimizer"])
    np.testing.assert_allclose(peer.weights, (update.weights + 1) / 2)


def test_copies_follow_the_direction_of_links():
    graph = complete(3).to_directed()
    graph.remove_edges_from([("1", "0"), ("2", "1"), ("0", "2")])
    conversation = talk(graph)
    conversation.play(np.random.default_rng(0))
    assert {(message.sender, message.receiver) for message in conversation.sent} == {("0", "1"), ("1", "2"), ("2", "0")}
    with pytest.raises(RemoteProtocolError, match="expects no push from peer 1"):
        conversation.peers["0"].receive(push("1", "0", np.ones(3)), 0.0)


@pytest.mark.parametrize("recipe", [GossipLearning, MergeRule])
def test_impossible_parameters_are_refused(recipe):
    with pytest.raises(ConfigurationError, match="merge must be 'age_weighted', 'limited' or 'plain', got 'median'"):
        recipe("median")
    with pytest.raises(ConfigurationError, match="age_limit must be at least 0 rounds, got -1"):
        recipe("limited", -1)
