"""Pairwise averaging over an adversarial network: nothing is lost, nobody waits for the dead, nothing livelocks."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from conversation import Conversation, random_steps
from federation import complete, make_peers, random_models, random_shards, ring
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import PairwiseGossip
from gossipfl.compression import encoded
from gossipfl.errors import ConfigurationError
from gossipfl.messages import ExchangeId, Kind, Message
from gossipfl.peers import Backoff, Peer, Sharing

GRAPHS = {"ring": ring, "complete": complete}


def talk(graph, *, num_rounds=5, seed=0, algorithm=None) -> Conversation:
    algorithm = algorithm or PairwiseGossip(timeout=1.0, max_backoff=4.0)
    trainer = NumpyTrainer(random_shards(graph))
    peers = make_peers(
        algorithm, graph, trainer, num_rounds=num_rounds, seed=seed, initial=random_models(graph, seed=seed)
    )
    return Conversation(peers, random_steps(np.random.default_rng(seed)))


def counters(peer: Peer) -> dict:
    return dict(peer.snapshot()[1]["exchanges"])


def check_laws(conversation: Conversation) -> None:
    """Per ordered pair: resolved <= decided <= opened <= resolved + 1, so at most one exchange is half applied."""
    for i, initiator in conversation.peers.items():
        for j, responder in conversation.peers.items():
            opened = counters(initiator)["opened"].get(j, 0)
            resolved = counters(initiator)["resolved"].get(j, 0)
            decided = counters(responder)["decided"].get(i, 0)
            assert resolved <= decided <= opened <= resolved + 1
        assert len(counters(initiator)["answers"]) <= len(conversation.peers) - 1


def check_sum(conversation: Conversation, before: np.ndarray) -> None:
    np.testing.assert_allclose(conversation.total(), before + conversation.moved, rtol=0, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    graph=st.sampled_from(sorted(GRAPHS)),
    loss=st.floats(0, 0.3),
    duplicates=st.floats(0, 0.2),
    failures=st.floats(0, 0.1),
)
def test_the_sum_moves_by_training_alone(seed, graph, loss, duplicates, failures):
    conversation = talk(GRAPHS[graph](5), seed=seed)
    before = conversation.total()
    conversation.start()
    conversation.play(np.random.default_rng(seed), loss=loss, duplicates=duplicates, failures=failures)
    check_laws(conversation)
    conversation.settle()
    check_laws(conversation)
    check_sum(conversation, before)
    assert all(counters(peer)["opened"] == counters(peer)["resolved"] for peer in conversation.peers.values())
    assert all(peer.round == 5 for peer in conversation.peers.values())


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.3))
def test_a_peer_that_answers_late_costs_nothing(seed, loss):
    conversation = talk(complete(5), seed=seed)
    before = conversation.total()
    conversation.start()
    conversation.play(np.random.default_rng(seed), loss=loss, asleep=["2"])
    conversation.settle()
    check_sum(conversation, before)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.3))
def test_dead_peers_stop_nobody_and_leave_at_most_one_half_applied_exchange_per_direction(seed, loss):
    rng = np.random.default_rng(seed)
    conversation = talk(ring(6), seed=seed, num_rounds=6)
    conversation.start()
    for _ in range(int(rng.integers(60))):
        if conversation.in_flight and rng.random() < 0.6:
            conversation.deliver(int(rng.integers(len(conversation.in_flight))))
        elif conversation.jobs:
            conversation.train(str(rng.choice(list(conversation.jobs))))
    conversation.kill("1")
    conversation.kill("4")
    conversation.play(rng, loss=loss)
    check_laws(conversation)
    living = [peer for peer_id, peer in conversation.peers.items() if peer_id not in conversation.dead]
    assert all(peer.round == 6 for peer in living)
    assert all(set(counters(peer)["opened"]) <= {"0", "1", "2", "3", "4", "5"} for peer in living)


def test_a_dead_peer_is_left_alone_for_longer_and_longer():
    conversation = talk(ring(3), num_rounds=40, algorithm=PairwiseGossip(timeout=1.0, max_backoff=8.0))
    conversation.kill("1")
    conversation.start()
    while not all(conversation.peers[peer_id].finished for peer_id in "02"):
        conversation.now += 0.5
        conversation.train_all()
        conversation.deliver_all()
        while conversation.tick(until=conversation.now):
            pass
    asked = Counter(message.receiver for message in conversation.sent if message.kind is Kind.REQUEST)
    assert asked["1"] < 20 < asked["0"] + asked["2"]


@pytest.mark.parametrize("make_graph", GRAPHS.values(), ids=GRAPHS)
def test_synchronised_peers_make_about_one_exchange_per_peer_and_round(make_graph):
    conversation = talk(make_graph(16), num_rounds=20)
    before = conversation.total()
    conversation.start()
    for round in range(20):
        assert len(conversation.jobs) == 16, f"nobody is stuck in round {round}"
        conversation.train_all()  # all requests cross
        conversation.deliver_all()
    replies = sum(message.kind is Kind.REPLY for message in conversation.sent)
    assert 0.6 <= replies / (16 * 20) <= 1.0
    assert all(peer.finished for peer in conversation.peers.values())
    check_sum(conversation, before)
    spread = np.ptp([peer.weights for peer in conversation.peers.values()], axis=0)
    assert spread.max() < 20


def pair(*, sharing=None, num_rounds=3, has_statistics=False):
    graph = ring(3)
    trainer = NumpyTrainer(random_shards(graph), momentum=0.9, has_statistics=has_statistics)
    algorithm = PairwiseGossip(timeout=1.0, max_backoff=4.0, sharing=sharing or Sharing())
    peers = make_peers(algorithm, graph, trainer, num_rounds=num_rounds)
    return Conversation(peers, lambda job: trainer.train([job])[0])


def test_only_the_crossing_request_of_the_higher_position_is_declined():
    conversation = talk(complete(2), num_rounds=1)
    conversation.start()
    conversation.train_all()
    assert [message.kind for message in conversation.in_flight] == [Kind.REQUEST, Kind.REQUEST]
    conversation.deliver_all()
    kinds = Counter((message.sender, message.kind) for message in conversation.sent)
    assert kinds["0", Kind.DECLINE] == 1
    assert kinds["1", Kind.REPLY] == 1
    np.testing.assert_allclose(conversation.peers["0"].weights, conversation.peers["1"].weights, atol=1e-15)


def test_two_peers_meet_in_the_middle_and_training_adds_its_step():
    conversation = talk(complete(2), num_rounds=1)
    conversation.start()
    conversation.train("0")
    asked = conversation.peers["0"].weights
    trains_from = conversation.jobs["1"].weights
    conversation.deliver_all()  # peer 1 answers while it trains
    middle = (asked + trains_from) / 2
    np.testing.assert_allclose(conversation.peers["0"].weights, middle, atol=1e-15)
    np.testing.assert_allclose(conversation.peers["1"].weights, middle, atol=1e-15)
    before = np.array(conversation.moved)
    conversation.train("1")
    np.testing.assert_allclose(conversation.peers["1"].weights, middle + conversation.moved - before, atol=1e-15)


@pytest.mark.parametrize("num_peers", [2, 5, 8])
def test_a_random_pair_brings_all_models_nearer_by_one_part_in_all_other_peers(num_peers):
    """E ||X - mean||^2 shrinks by 1 - 1 / (n - 1): checked over all pairs, so that nothing is left to chance."""
    models = random_models(complete(num_peers))
    X = np.stack([model.weights for model in models.values()])

    def distance(X):
        return ((X - X.mean(axis=0)) ** 2).sum()

    distances = []
    for i, j in combinations(range(num_peers), 2):
        graph = complete(2)
        pair_of_models = dict(zip("01", (models[str(i)], models[str(j)]), strict=True))
        trainer = NumpyTrainer(random_shards(graph), learning_rate=0.0)
        peers = make_peers(PairwiseGossip(), graph, trainer, num_rounds=1, initial=pair_of_models)
        conversation = Conversation(peers, lambda job, trainer=trainer: trainer.train([job])[0])
        conversation.start()
        conversation.train("0")
        conversation.deliver_all()
        averaged = X.copy()
        averaged[[i, j]] = [peers["0"].weights, peers["1"].weights]
        distances.append(distance(averaged))
    assert np.mean(distances) == pytest.approx((1 - 1 / (num_peers - 1)) * distance(X), rel=1e-12, abs=1e-15)


def test_training_undisturbed_gives_exactly_what_was_trained():
    conversation = pair()
    conversation.start()
    job = conversation.jobs["0"]
    conversation.train("0")
    assert conversation.peers["0"].weights.tobytes() == conversation.training(job).weights.tobytes()


def test_a_lost_reply_is_repeated_when_the_neighbor_is_asked_again():
    conversation = talk(complete(2), num_rounds=2)
    conversation.start()
    before = conversation.total()
    conversation.train("0")
    conversation.deliver()
    lost = conversation.in_flight[0]
    conversation.drop()
    assert conversation.tick()  # the time-out: peer 0 trains on
    conversation.train("0")
    conversation.now += 4
    conversation.settle()
    again = [message for message in conversation.sent if message.kind is Kind.REPLY and message.sender == "1"]
    assert again[0] is lost
    assert again[1] is lost
    check_sum(conversation, before)


def test_a_failed_request_counts_as_timed_out_at_once():
    conversation = talk(complete(2), num_rounds=2)
    conversation.start()
    conversation.train("0")
    conversation.fail()
    assert "0" in conversation.jobs
    assert not conversation.in_flight
    conversation.train("0")  # the neighbor is left alone for now, so the peer finishes and drains
    assert conversation.peers["0"].finished
    before = conversation.total() - conversation.moved
    conversation.settle()
    check_sum(conversation, before)


def test_a_restored_peer_asks_again_for_what_was_not_answered():
    conversation = talk(complete(2), num_rounds=1)
    conversation.start()
    conversation.train("0")
    conversation.drop()
    waiting = conversation.peers["0"]
    twin = talk(complete(2), num_rounds=1).peers["0"]
    twin.restore(waiting.snapshot())
    conversation.peers["0"] = twin
    before = conversation.total() - conversation.moved
    conversation.carry_out("0", twin.start(conversation.now))
    assert conversation.in_flight[0].kind is Kind.REQUEST
    assert conversation.in_flight[0].exchange.number == 1
    conversation.settle()
    check_sum(conversation, before)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.3), duplicates=st.floats(0, 0.2))
def test_variances_and_momentum_are_averaged_convexly(seed, loss, duplicates):
    conversation = pair(sharing=Sharing(optimizer_state="average"), num_rounds=6, has_statistics=True)
    conversation.start()
    conversation.play(np.random.default_rng(seed), loss=loss, duplicates=duplicates)
    conversation.settle()
    for peer in conversation.peers.values():
        assert (peer.local.statistics > 0).all()
        assert peer.local.statistics.max() <= 2.0
        assert peer.local.state["optimizer"].dtype == np.float64
        assert set(peer.local.state) == {"optimizer", "integers"}


def test_statistics_that_are_kept_local_do_not_travel():
    conversation = pair(sharing=Sharing(statistics="local"), has_statistics=True)
    conversation.start()
    conversation.play(np.random.default_rng(0))
    assert all("statistics" not in message.vectors for message in conversation.sent)
    alone = pair(sharing=Sharing(statistics="local"), has_statistics=True)
    alone.start()
    for _ in range(3):
        alone.train("0")
        alone.in_flight.clear()
        alone.tick()
    assert conversation.peers["0"].local.statistics.tobytes() == alone.peers["0"].local.statistics.tobytes()


def test_a_neighbor_without_optimizer_state_yet_is_no_obstacle():
    conversation = pair(sharing=Sharing(optimizer_state="average"))
    conversation.start()
    conversation.train("0")
    conversation.deliver_all()  # the responder is in its first round and has no momentum to average
    assert not any("optimizer" in message.vectors for message in conversation.sent if message.kind is Kind.REPLY)
    conversation.settle()


@pytest.mark.parametrize(("timeout", "maximum"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)])
def test_an_impossible_backoff_is_refused(timeout, maximum):
    with pytest.raises(ConfigurationError, match="0 < timeout <= maximum"):
        Backoff(timeout, maximum)
    with pytest.raises(ConfigurationError, match="0 < timeout <= maximum"):
        PairwiseGossip(timeout=timeout, max_backoff=maximum)


def test_a_directed_graph_is_refused():
    with pytest.raises(ConfigurationError, match="links that work both ways"):
        PairwiseGossip().network(ring(3).to_directed())


@settings(deadline=None)
@given(st.integers(1, 2000), st.integers(0, 2**32))
def test_backoff_grows_up_to_its_maximum(num_timeouts, seed):
    delay = Backoff(1.0, 60.0).delay(num_timeouts, np.random.default_rng(seed))
    longest = min(2.0 ** min(num_timeouts - 1, 100), 60.0)
    assert longest / 2 <= delay <= longest


class TestAnswersWithoutAnAcknowledgement:
    """They are sent again, and only so many are kept."""

    def asked(self, num_neighbors):
        """Peer 0 of a complete graph, asked by all others, whose acknowledgements are lost."""
        conversation = talk(complete(num_neighbors + 1))
        conversation.start()
        for peer_id in [*conversation.jobs]:
            if peer_id != "0":
                self.ask(conversation, peer_id)
        return conversation

    def ask(self, conversation, initiator, number=1, now=0.0):
        vectors = encoded(conversation.peers[initiator].local.shared())
        request = Message(initiator, "0", Kind.REQUEST, 0, ExchangeId(initiator, "0", number), vectors)
        (send,) = conversation.peers["0"].receive(request, now)
        return send.message

    def test_they_are_repeated_at_the_end_of_a_round_when_their_time_has_come(self):
        conversation = self.asked(3)
        peer = conversation.peers["0"]
        conversation.train("0")
        answers = [m for m in conversation.sent if m.sender == "0" and m.kind is Kind.REPLY]
        assert answers == []  # the time-out is not over
        conversation.now = 1.5
        for job in peer.wake(1.5):
            conversation.carry_out("0", [job])
        conversation.train("0")
        answers = [m for m in conversation.sent if m.sender == "0" and m.kind is Kind.REPLY]
        assert [m.receiver for m in answers] == ["1", "2", "3"]
        peer.receive(Message("2", "0", Kind.ACKNOWLEDGE, 0, ExchangeId("2", "0", 1)), 1.5)
        assert [*counters(peer)["answers"]] == ["1", "3"]

    def test_while_eight_are_overdue_new_requests_are_declined(self):
        conversation = self.asked(8)
        conversation.peers["0"]._neighbors["9"] = 9
        conversation.peers["9"] = conversation.peers["8"]
        assert self.ask(conversation, "9", now=2.0).kind is Kind.DECLINE
        assert self.ask(conversation, "1", number=2, now=2.0).kind is Kind.REPLY  # its own last one is done with
        conversation.peers["0"].receive(Message("2", "0", Kind.ACKNOWLEDGE, 0, ExchangeId("2", "0", 1)), 2.0)
        assert self.ask(conversation, "9", number=2, now=2.0).kind is Kind.REPLY

    @settings(max_examples=8, deadline=None)
    @given(seed=st.integers(0, 2**32), loss=st.floats(0.2, 0.9))
    def test_lost_acknowledgements_do_not_pile_up_and_the_laws_hold(self, seed, loss):
        conversation = talk(complete(11), num_rounds=6, seed=seed)
        before, rng = conversation.total(), np.random.default_rng(seed)
        conversation.start()
        while not all(peer.finished for peer in conversation.peers.values()):
            conversation.in_flight = [
                m for m in conversation.in_flight if m.kind is not Kind.ACKNOWLEDGE or rng.random() > loss
            ]
            if conversation.in_flight and rng.random() < 0.8:
                conversation.deliver(int(rng.integers(len(conversation.in_flight))))
            elif conversation.jobs:
                conversation.train(str(rng.choice([*conversation.jobs])))
                conversation.now += 0.2
            else:
                conversation.tick()
            if rng.random() < 0.02:
                check_laws(conversation)
        conversation.settle()
        check_laws(conversation)
        check_sum(conversation, before)
