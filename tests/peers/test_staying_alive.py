"""No message, and no chain of messages, ends a peer: lawful lies of every kind against every algorithm."""

import logging

import networkx as nx
import numpy as np
import pytest
from conversation import Conversation
from exam import AVERAGE, CANDIDATES
from federation import complete, make_peers, make_simulator, random_shards, ring, unequal_shards
from hypothesis import given
from hypothesis import strategies as st
from liars import LIES, FragileTrainer, Liar, WithLiar, claiming, of
from numpy_trainer import NumpyTrainer

from gossipfl.actions import LocalWork, Refused, Update, WentBack
from gossipfl.aggregators import Context
from gossipfl.algorithms import (
    SERVER,
    FedAvg,
    FedNova,
    GoSGD,
    GossipLearning,
    LocalOnly,
    PairwiseGossip,
    RelaySumGossip,
    StochasticGradientPush,
    SynchronousGossip,
)
from gossipfl.compression import encoded
from gossipfl.errors import ConfigurationError, TrainingError
from gossipfl.messages import ExchangeId, Kind, Message
from gossipfl.mixing import PushSumMixing
from gossipfl.peers import Sharing
from gossipfl.peers.local_model import LocalModel
from gossipfl.peers.magnitudes import sum_of_squares
from gossipfl.schedules import Static
from gossipfl.topology import canonical
from gossipfl.weights import ModelVectors, frozen

ALL = [name for name in CANDIDATES if name not in ("local", "centralized")]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:overflow encountered")  # the evaluation of a liar
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("name", ALL)
def test_every_honest_peer_finishes_with_finite_weights(name, lie):
    candidate = CANDIDATES[name]
    graph = candidate.graph(8)
    for liar in ("1", candidate.recipe.hub or "0"):
        trainer = FragileTrainer(random_shards(graph), momentum=0.5, has_statistics=True)
        recipe = candidate.recipe
        if recipe.hub and "mass" in lie:  # the server refuses such an update: its sender is silent
            recipe = FedNova(patience=0.5)
        simulator = make_simulator(WithLiar(recipe, liar, LIES[lie]), graph, trainer, num_rounds=7)
        simulator.run()
        for peer_id, peer in simulator.peers.items():
            if not isinstance(peer, Liar):
                assert peer.finished, peer_id
                assert np.isfinite(peer.weights).all(), peer_id
                assert np.abs(peer.weights).max() < 1e4


@pytest.mark.parametrize("name", ["pairwise", "gosgd", "synchronous", "fedavg", "gossip_learning"])
@pytest.mark.parametrize("lie", ["giant corrections", "corrections below the bound", "negative variances"])
def test_averaged_optimizer_states_of_liars(name, lie):
    recipes = {
        "pairwise": PairwiseGossip,
        "gosgd": GoSGD,
        "synchronous": SynchronousGossip,
        "fedavg": FedAvg,
        "gossip_learning": GossipLearning,
    }
    trainer = FragileTrainer(random_shards(ring(6)), momentum=0.5, has_statistics=True)
    simulator = make_simulator(WithLiar(recipes[name](sharing=AVERAGE), "1", LIES[lie]), ring(6), trainer, num_rounds=9)
    simulator.run()
    assert all(np.isfinite(peer.weights).all() and peer.finished for peer in simulator.peers.values())


def test_a_refused_neighbor_counts_as_silent():
    liar, rest = "1", ("0", "2", "3")
    simulator = make_simulator(
        WithLiar(SynchronousGossip(), liar, of(1e6)), ring(4), NumpyTrainer(random_shards(ring(4))), num_rounds=1
    )
    simulator.run()
    trained = {peer_id: 0.1 * rows.mean(axis=0) for peer_id, rows in random_shards(ring(4)).items()}
    np.testing.assert_allclose(simulator.peers["0"].weights, (2 * trained["0"] + trained["3"]) / 3, atol=1e-15)
    np.testing.assert_allclose(simulator.peers["3"].weights, sum(trained[p] for p in rest) / 3, atol=1e-15)
    assert simulator.history.num_refused == 2
    assert simulator.history.num_rollbacks == 0


def test_honest_models_far_from_zero_are_taken_in():
    """The bound is relative: models of size 1e6 mix as they always have."""
    graph = ring(4)
    shards = {peer_id: 1e6 * rows for peer_id, rows in random_shards(graph).items()}
    simulators = [
        make_simulator(SynchronousGossip(sharing=Sharing(magnitude_bound=bound)), graph, NumpyTrainer(shards))
        for bound in (100.0, False)
    ]
    for simulator in simulators:
        simulator.run()
        assert simulator.history.num_refused == 0
    assert simulators[0].history.average.weights.tobytes() == simulators[1].history.average.weights.tobytes()


def test_without_a_bound_whatever_is_finite_is_taken_in():
    sharing = Sharing(magnitude_bound=False)
    simulator = make_simulator(
        WithLiar(SynchronousGossip(sharing=sharing), "1", of(1e6)), ring(4), NumpyTrainer(random_shards(ring(4)))
    )
    simulator.run()
    assert simulator.history.num_refused == 0
    assert np.abs(simulator.peers["0"].weights).max() > 1e5


def local_model(own, bound=100.0) -> LocalModel:
    initial = ModelVectors(frozen(np.array(own)), frozen(np.zeros(0, own.dtype)))
    return LocalModel("0", LocalWork(1, 1, 1), initial, Sharing(magnitude_bound=bound))


def message_with(vector) -> Message:
    return Message("1", "0", Kind.MODEL, vectors=encoded({"weights": frozen(np.array(vector))}))


def taken_in(theirs, own) -> bool:
    peer = local_model(own)
    return peer.refusal(message_with(theirs), peer.shared()) is None


class TestBound:
    @pytest.mark.parametrize("size", [1, 8191, 8192, 8193, 100_000])
    def test_sums_of_squares(self, size):
        vector = np.random.default_rng(0).normal(size=size).astype(np.float32)
        assert sum_of_squares(vector) == pytest.approx(float(vector.astype(np.float64) @ vector), rel=1e-5)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_what_is_within(self, dtype):
        zeros, ones = np.zeros(5, dtype), np.ones(5, dtype)
        assert taken_in(99 * ones, zeros)
        assert not taken_in(101 * ones, zeros)
        assert taken_in(990 * ones, 10 * ones)
        assert not taken_in(1010 * ones, 10 * ones)
        assert taken_in(np.zeros(0, dtype), np.zeros(0, dtype))

    def test_what_overflows_is_never_within(self):
        giant = np.full(5, 8e37, np.float32)
        assert not taken_in(giant, giant)
        assert not taken_in(np.full(5, np.nan, np.float32), giant)

    @given(theirs=st.floats(0, 1e4), own=st.floats(0, 1e3), bound=st.floats(1, 200))
    def test_the_rule_and_what_is_remembered_as_large(self, theirs, own, bound):
        """Against the formula of `magnitudes`, away from its edges; `LARGE` is 3."""
        peer = local_model(np.full(7, own), bound)
        refused = peer.refusal(message_with(np.full(7, theirs)), peer.shared())
        ratio = theirs / max(own, 1.0)
        if abs(ratio - bound) > 1e-6 * bound:
            assert (refused is not None) == (ratio > bound)
        if abs(ratio - 3) > 1e-6 and refused is None:
            assert peer.last_sound.has_taken_large == (ratio > 3)

    @pytest.mark.parametrize("bound", [0.0, 0.5, -1.0, float("nan"), float("inf")])
    def test_an_impossible_bound_is_refused(self, bound):
        with pytest.raises(ConfigurationError, match="magnitude_bound must be at least 1"):
            Sharing(magnitude_bound=bound)


def talk(recipe, graph, trainer=None, num_rounds=20) -> Conversation:
    trainer = trainer or FragileTrainer(random_shards(graph), momentum=0.5)
    peers = make_peers(recipe, graph, trainer, num_rounds=num_rounds)
    conversation = Conversation(peers, lambda job: trainer.train([job])[0])
    conversation.start()
    return conversation


def train_on(conversation, peer_id) -> list:
    """Train a peer, which may fail; gives what it asks for."""
    job, peer = conversation.jobs.pop(peer_id), conversation.peers[peer_id]
    try:
        actions = peer.completed(conversation.training(job), conversation.now)
    except TrainingError as error:
        actions = peer.completed(error, conversation.now)
    conversation.carry_out(peer_id, actions)
    return actions


class TestPairs:
    def ask(self, conversation, value, number=1):
        vectors = encoded({"weights": np.full(3, value)})
        request = Message("1", "0", Kind.REQUEST, 0, ExchangeId("1", "0", number), vectors)
        return conversation.peers["0"].receive(request, 0.0)

    def test_a_request_beyond_the_bound_is_declined_for_good(self):
        conversation = talk(PairwiseGossip(), complete(3))
        before = conversation.peers["0"].weights
        refused, send = self.ask(conversation, 1e3)
        assert isinstance(refused, Refused)
        assert refused.sender == "1"
        assert send.message.kind is Kind.DECLINE
        assert conversation.peers["0"].weights is before
        (again,) = self.ask(conversation, 1.0)
        assert again.message is send.message

    def test_a_reply_beyond_the_bound_resolves_its_exchange_and_changes_nothing(self):
        conversation = talk(PairwiseGossip(), complete(2))
        train_on(conversation, "0")
        (request,) = conversation.in_flight
        peer = conversation.peers["0"]
        before = peer.weights
        vectors = encoded({"weights": np.full(3, 1e3)})
        actions = peer.receive(Message("1", "0", Kind.REPLY, 0, request.exchange, vectors), 0.0)
        assert {type(action).__name__ for action in actions} == {"Send", "Refused", "Train"}
        assert peer.weights is before
        assert peer.round == 1


class TestMass:
    def test_a_push_beyond_the_bound_gives_its_mass_and_nothing_else(self):
        conversation = talk(GoSGD(), complete(3))
        peer, before = conversation.peers["0"], conversation.peers["0"].weights
        push = Message(
            "1", "0", Kind.PUSH, 1, ExchangeId("1", "0", 1), encoded({"weights": np.full(3, 1e3)}), {"mass": 0.5}
        )
        refused, send = peer.receive(push, 0.0)
        assert isinstance(refused, Refused)
        assert send.message.kind is Kind.ACKNOWLEDGE
        assert peer.mass == 1.5
        assert peer.weights is before
        (again,) = peer.receive(push, 0.0)
        assert again == send
        assert peer.mass == 1.5

    def test_the_sum_of_masses_stays_in_rounds(self):
        graph = ring(5)
        recipe = WithLiar(StochasticGradientPush(Static()), "1", of(1e9))
        simulator = make_simulator(recipe, graph, NumpyTrainer(random_shards(graph)), num_rounds=6)
        simulator.run()
        assert simulator.history.num_refused == 12
        assert sum(peer._mixing.mass for peer in simulator.peers.values()) == pytest.approx(5, abs=1e-12)

    def test_next_to_no_mass_from_all_others_for_ever_moves_nothing_without_bound(self):
        mixing = PushSumMixing("0", 1.0)
        meeting = Static().meetings(ring(3), "0", 0)(0)
        own = {"weights": frozen(np.ones(3))}
        for _ in range(3000):
            received = {
                sender: Message(sender, "0", Kind.MODEL, 0, None, encoded(own), {"mass": 5e-324}) for sender in "12"
            }
            mixed = mixing.mix(own, meeting, received, Context(step=0, num_steps=1))
        np.testing.assert_array_equal(mixed["weights"], 1.0)
        assert mixing.mass > 0
        assert mixing.step_scale == 100.0

    def test_sums_of_more_models_than_there_are_count_as_silent(self):
        path = canonical(nx.path_graph(3), "path")
        trainer = NumpyTrainer(random_shards(path))
        lying = make_simulator(WithLiar(RelaySumGossip(), "0", claiming(num_models=3)), path, trainer, num_rounds=6)
        lying.run()
        assert all(np.abs(peer.weights).max() < 3 for peer in lying.peers.values())


class TestGoingBack:
    def test_it_goes_back_to_what_training_gave_and_names_whom_it_had_mixed(self):
        conversation = talk(SynchronousGossip(), ring(4))
        conversation.peers["1"] = Liar(conversation.peers["1"], of(99.0))
        conversation.train_all()
        conversation.deliver_all()
        peer = conversation.peers["0"]
        sound = 0.1 * random_shards(ring(4))["0"].mean(axis=0)
        assert np.abs(peer.weights).max() > 20
        note, job = train_on(conversation, "0")
        assert note == WentBack(("1", "3"), "NaN")
        np.testing.assert_allclose(job.weights, sound, atol=1e-15)
        assert (job.job, peer.round) == (1, 1)
        train_on(conversation, "0")
        assert peer.local.num_jobs == 2

    def test_nothing_mixed_in_is_the_end(self):
        for recipe in (SynchronousGossip(), PairwiseGossip(), GoSGD(), GossipLearning(), LocalOnly()):
            conversation = talk(recipe, ring(4))
            error = TrainingError("NaN", peer_id="0", round=0)
            with pytest.raises(TrainingError) as caught:
                conversation.peers["0"].completed(error, 0.0)
            assert caught.value is error

    def test_what_fails_without_the_mix_too_is_the_end(self):
        conversation = talk(SynchronousGossip(), ring(4))
        conversation.train_all()
        conversation.deliver_all()
        peer, error = conversation.peers["0"], TrainingError("NaN", peer_id="0", round=1)
        assert isinstance(peer.completed(error, 0.0)[0], WentBack)
        with pytest.raises(TrainingError):
            peer.completed(error, 0.0)

    def test_after_three_in_a_row_a_round_takes_nothing_in(self):
        conversation = talk(SynchronousGossip(), ring(3))
        for peer_id in "12":
            conversation.peers[peer_id] = Liar(conversation.peers[peer_id], of(99.0))
        peer, notes = conversation.peers["0"], []
        while not peer.finished:
            while "0" in conversation.jobs:
                notes += [type(action).__name__ for action in train_on(conversation, "0")]
            for peer_id in "12":  # whatever becomes of them
                if job := conversation.jobs.pop(peer_id, None):
                    update = Update(peer_id, job.job, job.weights * 0, job.statistics, {}, 1, 1, {})
                    conversation.carry_out(peer_id, conversation.peers[peer_id].completed(update, 0.0))
            while conversation.in_flight:
                message = conversation.in_flight.pop(0)
                actions = conversation.peers[message.receiver].receive(message, 0.0)
                if message.receiver == "0":
                    notes += [type(action).__name__ for action in actions]
                conversation.carry_out(message.receiver, actions)
        undone = "".join("u" if note == "WentBack" else "r" for note in notes if note in ("WentBack", "Refused"))
        assert undone.startswith("uuurruuurr")
        assert peer.local.num_jobs == 20

    def test_finite_giants_of_training_go_back_too(self):
        conversation = talk(SynchronousGossip(), ring(4))
        conversation.train_all()
        conversation.deliver_all()
        job, peer = conversation.jobs["0"], conversation.peers["0"]
        update = Update("0", 1, frozen(np.full(3, 1e30)), job.statistics, {}, 1, 1, {})
        note, again = peer.completed(update, 0.0)
        assert "beyond the magnitude_bound" in note.why
        assert np.abs(again.weights).max() < 1

    @pytest.mark.parametrize("recipe", [PairwiseGossip(), GoSGD()], ids=["pairwise", "gosgd"])
    def test_what_came_during_training_goes_with_it(self, recipe):
        """Weights are what training gave last, whatever was averaged since; mass stays."""
        rng = np.random.default_rng(5)
        conversation = talk(recipe, complete(4))
        peer = conversation.peers["0"]
        while not (peer.local.last_sound.has_mixed and "0" in conversation.jobs):
            conversation.train(str(rng.choice(list(conversation.jobs))))
            conversation.deliver_all()
        sound, mass = peer.local.last_sound.weights, getattr(peer, "mass", None)
        note, job = peer.completed(TrainingError("NaN", peer_id="0", round=1), 0.0)
        assert note.mixed
        assert job.weights is sound
        assert peer.weights is sound
        assert getattr(peer, "mass", None) == mass
        conversation.jobs["0"] = job
        conversation.train("0")
        assert np.isfinite(peer.weights).all()

    @pytest.mark.parametrize("recipe", [SynchronousGossip(), PairwiseGossip(), FedAvg()], ids=repr)
    def test_a_peer_that_was_restored_goes_back_alike(self, recipe):
        conversation = talk(recipe, complete(4))
        for _ in range(3):
            conversation.deliver_all()
            conversation.train_all()
        conversation.deliver_all()
        peer, twin = conversation.peers["0"], talk(recipe, complete(4)).peers["0"]
        twin.restore(peer.snapshot())
        error = TrainingError("NaN", peer_id="0", round=1)
        note, job = peer.completed(error, 0.0)
        twin_note, twin_job = twin.completed(error, 0.0)
        assert note == twin_note
        assert job.weights.tobytes() == twin_job.weights.tobytes()

    def test_a_client_goes_back_to_the_last_model_of_the_server_that_was_sound(self):
        conversation = talk(FedAvg(), ring(3))
        conversation.deliver_all()
        first = conversation.jobs["0"].weights
        conversation.train_all()
        conversation.peers[SERVER] = Liar(conversation.peers[SERVER], of(99.0))
        conversation.deliver_all()
        note, job = train_on(conversation, "0")
        assert note.mixed == (SERVER,)
        np.testing.assert_array_equal(job.weights, first)

    @pytest.mark.parametrize("recipe", [FedAvg(), FedAvg(client_fraction=0.5), FedNova()], ids=repr)
    def test_a_learning_rate_that_is_too_high_ends_a_client_before_its_server_refuses_all(self, recipe):
        trainer = NumpyTrainer(random_shards(ring(4)), learning_rate=1e4)
        with pytest.raises(TrainingError, match=r"beyond the magnitude_bound \(100\); lower the learning rate"):
            make_simulator(recipe, ring(4), trainer, num_rounds=5).run()

    def test_a_client_that_gets_a_giant_trains_on_what_it_has(self):
        conversation = talk(FedAvg(), ring(3))
        conversation.deliver_all()
        conversation.train_all()
        conversation.peers[SERVER] = Liar(conversation.peers[SERVER], of(1e9))
        conversation.deliver_all()
        assert np.abs(conversation.jobs["0"].weights).max() < 1

    def test_one_failing_peer_of_a_call_fails_alone_and_it_is_said(self, caplog):
        graph = ring(5)
        trainer = FragileTrainer(unequal_shards(graph))
        simulator = make_simulator(WithLiar(SynchronousGossip(), "1", of(99.0)), graph, trainer, num_rounds=4)
        with caplog.at_level(logging.WARNING):
            simulator.run()
        assert simulator.history.num_rollbacks > 0
        assert any("took out what it had mixed in of 1" in record.message for record in caplog.records)
        assert all(peer.local.num_jobs == 4 for peer in simulator.peers.values())
        assert {peer.peer_id for peer in simulator.peers.values()} == set(graph)
