"""Asynchronous push-sum over an adversarial network: no mass is lost, none is made, and nobody ever waits."""

from collections import Counter

import networkx as nx
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
from numpy_trainer import NumpyTrainer

from gossipfl.actions import Train, Update
from gossipfl.algorithms import GoSGD, LocalOnly
from gossipfl.engines.virtual.network_model import LAN
from gossipfl.engines.virtual.simulator import World
from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.messages import Kind
from gossipfl.peers import Sharing
from gossipfl.snapshot import messages_of_snapshot, part
from gossipfl.topology import canonical

QUICK = GoSGD(timeout=1.0, max_backoff=4.0)


GRAPHS = {
    "ring": ring(5),
    "complete": complete(5),
    "star": canonical(nx.star_graph(4), "star"),
    "one way round, and a shortcut": canonical(nx.DiGraph(["01", "12", "23", "34", "40", "03"]), "shortcut"),
}


def no_steps(job: Train) -> Update:
    return Update(job.peer_id, job.job, job.weights, job.statistics, {}, 1, job.num_steps, {})


class MassConversation(Conversation):
    """`moved` is what training alone did to the sum of all w_i x_i."""

    def train(self, peer_id):
        before, mass, start = np.array(self.moved), self.peers[peer_id].mass, self.jobs[peer_id].weights
        super().train(peer_id)
        self.moved = before + mass * (self.last.weights - start)

    def __post_init__(self):
        super().__post_init__()
        train = self.training

        def remember(job):
            self.last = train(job)
            return self.last

        self.training = remember

    def on_their_way(self):
        """The pushes that have left their senders and were not applied."""
        for sender, peer in self.peers.items():
            for receiver, push in messages_of_snapshot(part("open", part("pushes", peer.snapshot()))).items():
                decided = self.peers[receiver].snapshot()[1]["pushes"]["exchanges"]["decided"].get(sender, 0)
                assert decided in (push.exchange.number, push.exchange.number - 1)
                if decided < push.exchange.number:
                    yield push

    def total_mass(self):
        masses = [peer.mass for peer in self.peers.values()]
        return sum(masses) + sum(push.numbers["mass"] for push in self.on_their_way())

    def total(self):
        pushes = [push.numbers["mass"] * push.vectors["weights"].arrays["values"] for push in self.on_their_way()]
        return np.sum([*(peer.mass * peer.weights for peer in self.peers.values()), *pushes], axis=0)


def talk(graph, *, num_rounds=5, seed=0, algorithm=QUICK, training=None) -> MassConversation:
    peers = make_peers(
        algorithm,
        graph,
        NumpyTrainer(random_shards(graph)),
        num_rounds=num_rounds,
        seed=seed,
        initial=random_models(graph, seed=seed),
    )
    return MassConversation(peers, training or random_steps(np.random.default_rng(seed)))


def check_sums(conversation, before):
    assert conversation.total_mass() == pytest.approx(len(conversation.peers), rel=1e-14)
    np.testing.assert_allclose(conversation.total(), before + conversation.moved, rtol=0, atol=1e-12)
    assert all(peer.mass > 0 for peer in conversation.peers.values())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    graph=st.sampled_from(sorted(GRAPHS)),
    loss=st.floats(0, 0.4),
    duplicates=st.floats(0, 0.3),
    failures=st.floats(0, 0.1),
    push_probability=st.floats(0, 1),
)
def test_mass_is_kept_and_the_sum_moves_by_training_alone(seed, graph, loss, duplicates, failures, push_probability):
    algorithm = GoSGD(push_probability, timeout=1.0, max_backoff=4.0)
    conversation = talk(GRAPHS[graph], seed=seed, algorithm=algorithm)
    before = conversation.total()
    conversation.start()
    conversation.play(np.random.default_rng(seed), loss=loss, duplicates=duplicates, failures=failures)
    check_sums(conversation, before)
    conversation.settle()
    check_sums(conversation, before)
    assert not list(conversation.on_their_way())
    assert all(peer.is_drained and peer.round == 5 for peer in conversation.peers.values())


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.3))
def test_the_dead_keep_what_they_have_and_stop_nobody(seed, loss):
    rng = np.random.default_rng(seed)
    conversation = talk(GRAPHS["ring"], seed=seed, num_rounds=8)
    before = conversation.total()
    conversation.start()
    for _ in range(int(rng.integers(40))):
        if conversation.in_flight and rng.random() < 0.6:
            conversation.deliver(int(rng.integers(len(conversation.in_flight))))
        elif conversation.jobs:
            conversation.train(str(rng.choice(list(conversation.jobs))))
    conversation.kill("1")
    conversation.play(rng, loss=loss)
    check_sums(conversation, before)
    assert all(peer.round == 8 for peer_id, peer in conversation.peers.items() if peer_id != "1")


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.4))
def test_peers_that_are_restored_from_their_snapshots_lose_no_mass(seed, loss):
    rng = np.random.default_rng(seed)
    conversation = talk(GRAPHS["complete"], seed=seed)
    before = conversation.total()
    conversation.start()
    for _ in range(int(rng.integers(60))):
        if conversation.in_flight and rng.random() < 0.6:
            (conversation.drop if rng.random() < loss else conversation.deliver)()
        elif conversation.jobs:
            conversation.train(str(rng.choice(list(conversation.jobs))))
    for peer_id, twin in talk(GRAPHS["complete"], seed=seed).peers.items():
        twin.restore(conversation.peers[peer_id].snapshot())
        conversation.peers[peer_id] = twin
        conversation.jobs.pop(peer_id, None)
        conversation.carry_out(peer_id, twin.start(conversation.now))
    check_sums(conversation, before)
    conversation.settle()
    check_sums(conversation, before)


@pytest.mark.parametrize("graph", GRAPHS)
def test_pushes_are_products_of_column_stochastic_matrices(graph):
    conversation = talk(GRAPHS[graph], num_rounds=12, seed=3)
    order = list(conversation.peers)
    w = np.ones(len(order))
    V = np.stack([peer.weights for peer in conversation.peers.values()])
    conversation.start()
    while conversation.jobs:
        for peer_id in list(conversation.jobs):
            i, job = order.index(peer_id), conversation.jobs[peer_id]
            conversation.train(peer_id)
            V[i] += w[i] * (conversation.last.weights - job.weights)
            for message in conversation.in_flight:
                A = np.eye(len(order))
                A[[i, order.index(message.receiver)], i] = 0.5
                V, w = A @ V, A @ w
            conversation.deliver_all()
    for i, peer in enumerate(conversation.peers.values()):
        assert peer.mass == w[i]
        np.testing.assert_allclose(peer.weights, V[i] / w[i], rtol=0, atol=1e-12)


@pytest.mark.parametrize("graph", GRAPHS)
def test_without_training_all_end_at_the_mean_by_mass(graph):
    conversation = talk(GRAPHS[graph], num_rounds=300, training=no_steps)
    for k, peer in enumerate(conversation.peers.values()):
        peer.mass, peer._total_mass = 1.0 + k, 15.0
    mean = conversation.total() / conversation.total_mass()
    conversation.start()
    while conversation.jobs:
        conversation.train_all()
        conversation.deliver_all()
    for peer in conversation.peers.values():
        np.testing.assert_allclose(peer.weights, mean, rtol=0, atol=1e-9)


def test_masses_that_peers_train_with_settle_in_proportion_to_degrees():
    conversation = talk(GRAPHS["star"], num_rounds=600, training=no_steps)
    conversation.start()
    masses = {peer_id: [] for peer_id in conversation.peers}
    while conversation.jobs:
        for peer_id in list(conversation.jobs):
            masses[peer_id].append(conversation.peers[peer_id].mass)
            conversation.train(peer_id)
            conversation.deliver_all()
    mean = np.array([np.mean(masses[peer_id]) for peer_id in conversation.peers])
    np.testing.assert_allclose(mean / mean.sum(), np.array([4, 1, 1, 1, 1]) / 8, rtol=0.1)


def test_without_pushes_it_is_training_alone():
    graph = ring(5)
    trainer = NumpyTrainer(random_shards(graph), momentum=0.9)
    simulators = [make_simulator(a, graph, trainer, world=World(LAN)) for a in (GoSGD(0.0), LocalOnly())]
    for simulator in simulators:
        simulator.run()
    assert identical(*map(final_weights, simulators))


def two(**options):
    conversation = talk(complete(2), **options)
    conversation.start()
    return conversation


def test_what_comes_in_during_training_is_averaged_at_once_and_the_step_is_added():
    conversation = two(num_rounds=1)
    a, b = conversation.peers.values()
    b.mass = 1.5
    conversation.train("0")
    start = conversation.jobs["1"].weights
    conversation.deliver_all()
    mean = (0.5 * a.weights + 1.5 * start) / 2
    assert (a.mass, b.mass) == (0.5, 2.0)
    np.testing.assert_allclose(b.weights, mean, atol=1e-15)
    conversation.train("1")
    np.testing.assert_allclose(b.weights, mean + conversation.last.weights - start, atol=1e-15)


def test_a_lost_push_is_repeated_as_it_was():
    conversation = two(num_rounds=3)
    conversation.train("0")
    (push,) = conversation.in_flight
    conversation.drop()
    conversation.train("0")
    assert not conversation.in_flight, "the only neighbor is left alone until the back-off is over"
    conversation.now += 4.0
    conversation.train("0")
    assert conversation.in_flight[0] is push
    assert conversation.peers["0"].mass == 0.5


def test_a_peer_that_has_finished_repeats_what_is_left_and_still_takes_in():
    conversation = two(num_rounds=1)
    conversation.train("0")
    conversation.drop()
    finished = conversation.peers["0"]
    assert finished.finished
    assert not finished.is_drained
    conversation.settle()
    assert finished.is_drained
    assert [message.kind for message in conversation.sent].count(Kind.PUSH) == 3
    assert [peer.mass for peer in conversation.peers.values()] == [1.0, 1.0]


def test_a_dead_receiver_gets_half_once_and_is_left_alone_for_longer_and_longer():
    conversation = talk(ring(3), num_rounds=60, algorithm=GoSGD(timeout=1.0, max_backoff=8.0))
    conversation.start()
    conversation.kill("1")
    while not all(conversation.peers[peer_id].finished for peer_id in "02"):
        conversation.now += 0.5
        conversation.train_all()
        conversation.deliver_all()
    pushed = Counter(message.receiver for message in conversation.sent if message.kind is Kind.PUSH)
    assert pushed["1"] < 20 < pushed["0"] + pushed["2"]
    assert len({message.exchange for message in conversation.sent if message.receiver == "1"}) == 2


def test_a_mass_that_is_nearly_nothing_is_kept():
    conversation = two(num_rounds=2)
    conversation.peers["0"].mass = 2.0**-501
    conversation.train("0")
    assert not conversation.in_flight
    conversation.peers["0"].mass = 2.0**-500
    conversation.train("0")
    assert conversation.in_flight[0].numbers["mass"] == 2.0**-501


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.3), duplicates=st.floats(0, 0.2))
def test_variances_and_momentum_are_averaged_convexly(seed, loss, duplicates):
    graph = ring(3)
    trainer = NumpyTrainer(random_shards(graph), momentum=0.9, has_statistics=True)
    algorithm = GoSGD(timeout=1.0, max_backoff=4.0, sharing=Sharing(optimizer_state="average"))
    peers = make_peers(algorithm, graph, trainer, num_rounds=6)
    conversation = Conversation(peers, lambda job: trainer.train([job])[0])
    conversation.start()
    conversation.play(np.random.default_rng(seed), loss=loss, duplicates=duplicates)
    conversation.settle()
    for peer in peers.values():
        assert (peer.local.statistics > 0).all()
        assert peer.local.statistics.max() <= 2.0
        assert set(peer.local.state) == {"optimizer", "integers"}


def test_statistics_that_come_in_during_training_are_averaged_with_what_it_gives():
    graph = complete(2)
    trainer = NumpyTrainer(random_shards(graph), has_statistics=True)
    peers = make_peers(QUICK, graph, trainer, num_rounds=1)
    conversation = Conversation(peers, lambda job: trainer.train([job])[0])
    conversation.start()
    peers["1"].mass = 1.5
    conversation.train("0")
    theirs, job = peers["0"].local.statistics, conversation.jobs["1"]
    conversation.deliver_all()
    np.testing.assert_allclose(peers["1"].local.statistics, 0.25 * theirs + 0.75 * job.statistics, atol=1e-15)
    conversation.train("1")
    trained = trainer.train([job])[0].statistics
    np.testing.assert_allclose(peers["1"].local.statistics, 0.25 * theirs + 0.75 * trained, atol=1e-15)


def test_pushes_follow_the_direction_of_links_and_receipts_go_back():
    conversation = talk(GRAPHS["one way round, and a shortcut"])
    conversation.start()
    conversation.play(np.random.default_rng(0))
    links = GRAPHS["one way round, and a shortcut"].edges
    for message in conversation.sent:
        sender, receiver = message.sender, message.receiver
        assert ((sender, receiver) if message.kind is Kind.PUSH else (receiver, sender)) in links
    push = next(message for message in conversation.sent if message.kind is Kind.PUSH)
    with pytest.raises(RemoteProtocolError, match="expects no push from peer"):
        conversation.peers[push.sender].receive(push._replace(sender=push.receiver, receiver=push.sender), 0.0)


@pytest.mark.parametrize("push_probability", [-0.1, 1.1, float("nan")])
def test_an_impossible_probability_is_refused(push_probability):
    with pytest.raises(ConfigurationError, match="push_probability must be from 0 to 1"):
        GoSGD(push_probability)
