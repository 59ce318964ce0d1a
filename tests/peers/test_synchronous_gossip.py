"""D-PSGD: equal to dense X <- W Y, whatever the order of messages; patience, and what it costs."""

from contextlib import suppress
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
import reference
from conversation import Conversation
from federation import (
    complete,
    final_weights,
    identical,
    make_peer,
    make_peers,
    make_simulator,
    random_models,
    random_shards,
    ring,
    stacked,
    unequal_shards,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import FedAvg, LocalOnly, SynchronousGossip
from gossipfl.compression import encoded
from gossipfl.engines.virtual.network_model import Link, NetworkModel
from gossipfl.engines.virtual.simulator import World
from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.peers import Sharing
from gossipfl.schedules import BaseGraph, EpidemicOracle, OnePeerExponential, RandomMatchings, Static
from gossipfl.topology import canonical, checked_matrix, mixing_matrix

NUMBERS = {"num_examples": 4}
GRAPHS = {
    "ring": ring(6),
    "complete": complete(4),
    "star": canonical(nx.star_graph(4), "star"),
    "path": canonical(nx.path_graph(4), "path"),
}


def talk(graph, *, num_rounds=4, patience=None, sharing=None, **options) -> Conversation:
    trainer = NumpyTrainer(random_shards(graph), momentum=0.5, **options)
    algorithm = SynchronousGossip(patience=patience, sharing=sharing or Sharing())
    peers = make_peers(algorithm, graph, trainer, num_rounds=num_rounds, initial=None)
    return Conversation(peers, lambda job: trainer.train([job])[0])


def weights_of(conversation):
    return {peer_id: np.array(peer.weights) for peer_id, peer in conversation.peers.items()}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize("mixing", ["metropolis_hastings", "max_degree"])
def test_it_is_dense_gossip(graph, mixing):
    trainer = NumpyTrainer(unequal_shards(graph), momentum=0.9, batch_size=2)
    models = random_models(graph)
    simulator = make_simulator(SynchronousGossip(Static(mixing)), graph, trainer, num_rounds=6, initial=models)
    simulator.run()
    X = np.stack([models[peer_id].weights for peer_id in graph])
    expected = reference.dense_gossip(trainer, mixing_matrix(graph, mixing).toarray(), X, 6)
    np.testing.assert_allclose(stacked(simulator), expected, rtol=0, atol=1e-13)


def test_averaged_momentum_is_mixed_like_weights():
    graph = complete(3)
    shards = {peer_id: np.ones((2, 3)) * k for k, peer_id in enumerate(graph)}
    simulator = make_simulator(
        SynchronousGossip(sharing=Sharing(optimizer_state="average")), graph, NumpyTrainer(shards, momentum=0.9)
    )
    simulator.run()
    velocities = [peer.local.state["optimizer"] for peer in simulator.peers.values()]
    np.testing.assert_allclose(velocities, np.broadcast_to(np.mean(velocities, axis=0), (3, 3)), atol=1e-15)
    # On equal objectives and the complete graph it is one machine with momentum on the mean of the data.
    alone = NumpyTrainer({"0": np.ones((1, 3))}, momentum=0.9)
    single = make_simulator(LocalOnly(), canonical(nx.empty_graph(1), "one"), alone)
    single.run()
    np.testing.assert_allclose(stacked(simulator), np.broadcast_to(stacked(single), (3, 3)), atol=1e-14)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    duplicates=st.floats(0, 0.4),
    graph=st.sampled_from(sorted(GRAPHS)),
    patience=st.sampled_from([None, 1e9]),
)
def test_order_and_repetition_of_messages_do_not_change_a_bit(seed, duplicates, graph, patience):
    sharing = Sharing(optimizer_state="average")
    orderly = talk(GRAPHS[graph], sharing=sharing, has_statistics=True)
    orderly.start()
    for _ in range(4):
        orderly.train_all()
        orderly.deliver_all()
    unruly = talk(GRAPHS[graph], patience=patience, sharing=sharing, has_statistics=True)
    unruly.start()
    rng = np.random.default_rng(seed)
    while not all(peer.finished for peer in unruly.peers.values()):
        if unruly.in_flight and (rng.random() < 0.6 or not unruly.jobs):
            index = int(rng.integers(len(unruly.in_flight)))
            if rng.random() < duplicates:
                unruly.double(index)
            unruly.deliver(index)
        else:
            unruly.train(str(rng.choice(list(unruly.jobs))))
    assert identical(weights_of(orderly), weights_of(unruly))
    for peer_id, peer in orderly.peers.items():
        assert peer.local.statistics.tobytes() == unruly.peers[peer_id].local.statistics.tobytes()


def test_failed_messages_are_sent_again():
    orderly, troubled = talk(ring(5)), talk(ring(5))
    for conversation in (orderly, troubled):
        conversation.start()
    rng = np.random.default_rng(3)
    while not all(peer.finished for peer in orderly.peers.values()):
        orderly.train_all()
        orderly.deliver_all()
    while not all(peer.finished for peer in troubled.peers.values()):
        troubled.train_all()
        while troubled.in_flight:
            (troubled.fail if rng.random() < 0.4 else troubled.deliver)()
        troubled.tick()
    assert identical(weights_of(orderly), weights_of(troubled))


def test_identity_mixing_is_local_only():
    graph = ring(5)
    shards = random_shards(graph)
    alone = make_simulator(LocalOnly(), graph, NumpyTrainer(shards, momentum=0.9))
    alone.run()
    identity = SynchronousGossip(Static(checked_matrix(graph, np.eye(5))))
    gossip = make_simulator(identity, graph, NumpyTrainer(shards, momentum=0.9))
    gossip.run()
    assert identical(final_weights(alone), final_weights(gossip))


def test_the_complete_graph_with_equal_shards_is_fedavg():
    graph = complete(6)
    shards = random_shards(graph, num_rows=5)
    gossip = make_simulator(SynchronousGossip(), graph, NumpyTrainer(shards, batch_size=2), num_rounds=8)
    fedavg = make_simulator(FedAvg(), graph, NumpyTrainer(shards, batch_size=2), num_rounds=8)
    gossip.run()
    fedavg.run()
    np.testing.assert_allclose(stacked(gossip), stacked(fedavg), rtol=0, atol=1e-12)
    np.testing.assert_allclose(gossip.history.average.weights, fedavg.history.average.weights, rtol=0, atol=1e-12)


def test_the_fixed_point_on_quadratics_has_its_closed_form():
    """x* = (I - (1 - eta) W)^-1 eta W b for f_i = (x - b_i)^2 / 2; its mean is the mean of b."""
    graph = ring(8)
    trainer = NumpyTrainer(random_shards(graph, size=2), learning_rate=0.1)
    simulator = make_simulator(SynchronousGossip(), graph, trainer, num_rounds=400)
    simulator.run()
    W, b = mixing_matrix(graph).toarray(), reference.own_minimisers(trainer.shards)
    expected = np.linalg.solve(np.eye(8) - 0.9 * W, 0.1 * W @ b)
    np.testing.assert_allclose(stacked(simulator), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(stacked(simulator).mean(axis=0), b.mean(axis=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_pure_mixing_keeps_the_mean_and_contracts(graph):
    models = random_models(graph)
    trainer = NumpyTrainer(random_shards(graph), learning_rate=0.0)
    simulator = make_simulator(SynchronousGossip(), graph, trainer, num_rounds=12, initial=models)
    mean = np.mean([models[peer_id].weights for peer_id in graph], axis=0)
    W = mixing_matrix(graph).toarray()
    rho = np.linalg.norm(W - 1 / len(graph), 2)
    distances = []
    for evaluation in simulator:
        distances.append(evaluation.consensus_distance)
        np.testing.assert_allclose(stacked(simulator).mean(axis=0), mean, rtol=0, atol=1e-14)
    for before, after in pairwise(distances):
        assert after <= rho * before * (1 + 1e-12) + 1e-14


def test_the_share_of_a_silent_neighbor_goes_to_oneself():
    conversation = talk(ring(4), num_rounds=1, patience=2.0)
    conversation.start()
    conversation.train_all()
    trained = {m.sender: m.vectors["weights"].arrays["values"] for m in conversation.in_flight}
    conversation.in_flight = [message for message in conversation.in_flight if message.sender != "1"]
    conversation.deliver_all()
    assert not conversation.peers["0"].finished
    while conversation.tick():
        pass
    assert conversation.now == 2.0
    expected = (2 * trained["0"] + trained["3"]) / 3
    np.testing.assert_allclose(conversation.peers["0"].weights, expected, atol=1e-15)
    assert conversation.peers["0"].finished


def test_a_peer_that_was_overtaken_skips_ahead():
    conversation = talk(ring(3), num_rounds=9, patience=1.0)
    conversation.start()
    for _ in range(5):  # peer 2 is slow: the others go on without it
        conversation.train("0")
        conversation.train("1")
        conversation.deliver_all()
        while conversation.tick():
            pass
    slow = conversation.peers["2"]
    assert [peer.round for peer in conversation.peers.values()] == [5, 5, 0]
    assert len(slow.snapshot()[1]["received"]) <= 3
    conversation.train("2")
    assert slow.round == 5  # both models of round 4 are there, so it has mixed them
    conversation.deliver_all()
    conversation.train_all()
    conversation.deliver_all()
    assert [peer.round for peer in conversation.peers.values()] == [6, 6, 6]
    assert slow.local.num_jobs == 2


def test_early_rounds_are_kept_up_to_a_bound():
    conversation = talk(ring(3), num_rounds=1000, patience=1.0)
    peer = conversation.peers["0"]
    conversation.start()
    vectors = encoded(conversation.peers["1"].local.shared())
    for round in [*range(500), *range(900, 500, -1)]:
        assert peer.receive(Message("1", "0", Kind.MODEL, round, None, vectors, NUMBERS), 0.0) == []
        assert len(peer.snapshot()[1]["received"]) <= 3
    assert {"0", "900"} <= set(peer.snapshot()[1]["received"])


def test_rounds_that_nobody_can_be_in_are_refused():
    patient, impatient = talk(ring(3)), talk(ring(3), patience=1.0)
    vectors = encoded(patient.peers["1"].local.shared())
    for conversation, last in ((patient, 1), (impatient, 3)):
        conversation.start()
        peer = conversation.peers["0"]
        peer.receive(Message("1", "0", Kind.MODEL, last, None, vectors, NUMBERS), 0.0)
        with pytest.raises(RemoteProtocolError, match=f"step {last} is the last possible one"):
            peer.receive(Message("1", "0", Kind.MODEL, last + 1, None, vectors, NUMBERS), 0.0)


class TestSkipping:
    """What makes a patient peer skip rounds."""

    def peer(self, num_peers=4, *, patience=1.0):
        conversation = talk(ring(num_peers) if num_peers > 2 else complete(2), num_rounds=100, patience=patience)
        conversation.start()
        return conversation

    def say(self, conversation, sender, step):
        vectors = encoded(conversation.peers[sender].local.shared())
        conversation.peers["0"].receive(
            Message(sender, "0", Kind.MODEL, step, None, vectors, NUMBERS), conversation.now
        )

    def test_one_voice_of_two_skips_nothing(self):
        conversation = self.peer()
        self.say(conversation, "1", 99)
        conversation.now = 1000.0
        conversation.train("0")
        assert conversation.peers["0"].round == 0

    def test_a_skip_goes_as_far_as_the_second_voice(self):
        conversation = self.peer()
        self.say(conversation, "1", 99)
        self.say(conversation, "3", 7)
        conversation.now = 1000.0
        conversation.train("0")
        assert conversation.peers["0"].round == 7

    @pytest.mark.parametrize("num_peers", [2, 4])
    def test_a_skip_goes_no_further_than_patience_lets_anybody_go(self, num_peers):
        conversation = self.peer(num_peers)
        for neighbor in ("1", "3")[: num_peers // 2]:
            self.say(conversation, neighbor, 99)
        conversation.now = 6.5
        conversation.train("0")
        assert conversation.peers["0"].round == 7
        conversation.now = 7.5  # when it loses patience; it has been in this step since 6.5
        conversation.carry_out("0", conversation.peers["0"].wake(7.5))
        conversation.now = 9.5
        conversation.train("0")
        assert conversation.peers["0"].round == 11


SCHEDULES_AND_KEPT = {
    "static": (SynchronousGossip(), 2),
    "random_matchings": (SynchronousGossip(RandomMatchings()), 2),
    "epidemic_oracle": (SynchronousGossip(EpidemicOracle(4)), 2),
    "base_graph": (SynchronousGossip(BaseGraph(1)), 2),
    "one_peer_exponential": (SynchronousGossip(OnePeerExponential()), 2),
    "static, patient": (SynchronousGossip(patience=1.0), 3),
    "random_matchings, patient": (SynchronousGossip(RandomMatchings(), patience=1.0), 11),
    "one_peer_exponential, patient": (SynchronousGossip(OnePeerExponential(), patience=1.0), 6),
}


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize(("algorithm", "num_kept"), SCHEDULES_AND_KEPT.values(), ids=SCHEDULES_AND_KEPT)
def test_a_neighbor_can_have_few_models_kept(algorithm, num_kept, down):
    graph = ring(12)
    trainer = NumpyTrainer(random_shards(graph))
    vectors = encoded({"weights": np.ones(3)})
    for sender in algorithm.network(graph)["0"]:
        peer = make_peer(algorithm, graph, trainer, "0", num_rounds=300)
        peer.start(0.0)
        for step in sorted(range(300), reverse=down):
            with suppress(RemoteProtocolError):
                peer.receive(Message(sender, "0", Kind.MODEL, step, None, vectors, NUMBERS), 0.0)
        received = peer.snapshot()[1]["received"]
        assert sum(sender in messages for messages in received.values()) <= num_kept


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.5))
def test_with_patience_no_loss_stops_anybody(seed, loss):
    graph = ring(5)
    world = World(NetworkModel(link=Link(latency=0.01, jitter=0.05, loss=loss)))
    simulator = make_simulator(
        SynchronousGossip(patience=0.2), graph, NumpyTrainer(random_shards(graph)), world=world, seed=seed
    )
    simulator.run()
    assert all(peer.round == 5 for peer in simulator.peers.values())


def test_a_restored_peer_sends_again_and_keeps_what_it_has_received():
    conversation = talk(ring(3), num_rounds=2)
    conversation.start()
    conversation.train_all()
    conversation.deliver_all()
    conversation.train("0")
    conversation.train("1")
    conversation.fail()  # a message of peer 0
    kept = [message for message in conversation.in_flight if message.receiver == "0"]
    conversation.in_flight.clear()
    for message in kept:
        conversation.in_flight.append(message)
    conversation.deliver_all()
    twin = talk(ring(3), num_rounds=2).peers["0"]
    twin.restore(conversation.peers["0"].snapshot())
    conversation.peers["0"] = twin
    conversation.wishes.pop("0")
    conversation.carry_out("0", twin.start(conversation.now))
    assert [message.receiver for message in conversation.in_flight] == ["1", "2"]
    assert "0" in conversation.wishes  # for the message that failed
    conversation.train("2")
    conversation.carry_out("1", conversation.peers["1"].start(conversation.now))
    conversation.settle()
    assert all(peer.finished for peer in conversation.peers.values())


@pytest.mark.parametrize("patience", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("algorithm", [SynchronousGossip, FedAvg])
def test_an_impossible_patience_is_refused(algorithm, patience):
    with pytest.raises(ConfigurationError, match="patience must be above 0"):
        algorithm(patience=patience)


def test_a_peer_has_no_more_attributes_than_python_keeps_without_a_dictionary_for_each():
    # Of up to 29, CPython keeps the names once for all instances; with one more, each peer takes 1.3 KB more, and a
    # simulation of many 5 % more time.
    assert len(vars(talk(ring(3)).peers["0"])) <= 29
