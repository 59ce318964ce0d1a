"""FedAvg: equal to the plain loop; sampling, stragglers, lost and late messages."""

from collections import Counter

import numpy as np
import pytest
import reference
from conversation import Conversation
from federation import complete, make_peers, make_simulator, random_shards, ring, unequal_shards
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_trainer import NumpyTrainer

from gossipfl.actions import Refused, Update
from gossipfl.algorithms import SERVER, FedAvg
from gossipfl.compression import dense, encoded
from gossipfl.engines.virtual.compute_model import ComputeModel
from gossipfl.engines.virtual.network_model import Link, NetworkModel
from gossipfl.engines.virtual.simulator import World
from gossipfl.errors import ConfigurationError, LocalProtocolError, RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.methods.server_optimizers import ServerAdagrad, ServerAdam, ServerSGD
from gossipfl.peers import Sharing


def of_examples(number: int) -> dict[str, float]:
    return {"num_examples": number, "step_weight": 1.0}


def talk(num_clients=4, *, num_rounds=3, sharing=None, trainer=None, **options) -> Conversation:
    graph = ring(num_clients)
    trainer = trainer or NumpyTrainer(random_shards(graph), momentum=0.5)
    algorithm = FedAvg(sharing=sharing or Sharing(optimizer_state="reset"), **options)
    peers = make_peers(algorithm, graph, trainer, num_rounds=num_rounds)
    return Conversation(peers, lambda job: trainer.train([job])[0])


def run_orderly(conversation: Conversation) -> None:
    conversation.start()
    while not all(peer.finished for peer in conversation.peers.values()):
        conversation.deliver_all()
        conversation.train_all()
    conversation.settle()


@pytest.mark.parametrize("weighting", ["examples", "uniform"])
@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_it_is_the_plain_loop(weighting, rate):
    graph = ring(5)
    trainer = NumpyTrainer(unequal_shards(graph), momentum=0.9, batch_size=2)
    algorithm = FedAvg(weighting=weighting, server_optimizer=ServerSGD(rate))
    simulator = make_simulator(algorithm, graph, trainer, num_rounds=7)
    simulator.run()
    expected = reference.fedavg(trainer, np.zeros(3), 7, by_examples=weighting == "examples", server_learning_rate=rate)
    np.testing.assert_allclose(simulator.history.average.weights, expected, rtol=0, atol=1e-13)
    for peer in simulator.peers.values():  # a client's weights are the last model it received
        assert peer.weights is simulator.peers[SERVER].weights


@pytest.mark.parametrize("optimizer", [ServerSGD(0.7, 0.9, nesterov=True), ServerAdam(), ServerAdagrad()], ids=repr)
def test_the_server_optimizer_steps_from_model_to_model(optimizer):
    trainer = NumpyTrainer(unequal_shards(ring(5)), batch_size=2)
    simulator = make_simulator(FedAvg(server_optimizer=optimizer), ring(5), trainer, num_rounds=7)
    simulator.run()
    x, memory = np.zeros(3), {}
    for _ in range(7):
        x, memory = optimizer.step(x, reference.fedavg(trainer, x, 1), memory)
    np.testing.assert_allclose(simulator.peers[SERVER].weights, x, rtol=0, atol=1e-13)


def test_full_batch_descent_is_centralized_descent():
    graph = complete(4)
    shards = unequal_shards(graph)
    simulator = make_simulator(FedAvg(), graph, NumpyTrainer(shards), num_rounds=9)
    simulator.run()
    x = np.zeros(3)
    for _ in range(9):
        x = x - 0.1 * (x - np.concatenate(list(shards.values())).mean(axis=0))
    np.testing.assert_allclose(simulator.history.average.weights, x, rtol=0, atol=1e-14)


@given(rounds=st.integers(1, 1000), num_clients=st.integers(1, 300), fraction=st.floats(0, 1, exclude_min=True))
def test_a_server_goes_on_until_its_clients_have_done_their_work(rounds, num_clients, fraction):
    recipe = FedAvg(client_fraction=fraction)
    num_sampled = max(1, round(fraction * num_clients))
    num_jobs = recipe.num_rounds(rounds, num_clients) * num_sampled
    assert rounds * num_clients <= num_jobs < rounds * num_clients + num_sampled
    assert FedAvg().num_rounds(rounds, num_clients) == rounds


@pytest.mark.parametrize(("fraction", "expected"), [(0.01, 1), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_each_round_a_fraction_of_the_clients_trains(fraction, expected):
    conversation = talk(8, num_rounds=30, client_fraction=fraction)
    run_orderly(conversation)
    models = [message for message in conversation.sent if message.kind is Kind.MODEL]
    by_round = Counter(message.round for message in models)
    assert set(by_round.values()) == {expected}
    assert len(by_round) == 30 * 8 / expected  # the budget is local work: 30 rounds for each client in the mean
    chosen = Counter(message.receiver for message in models)
    assert sum(chosen.values()) == 30 * 8
    assert SERVER not in chosen
    jobs = {peer_id: peer.local.num_jobs for peer_id, peer in conversation.peers.items() if peer_id != SERVER}
    assert jobs == {str(k): chosen[str(k)] for k in range(8)}
    assert all(peer.round == len(by_round) for peer in conversation.peers.values())


def test_client_sampling_comes_from_the_seed():
    def receivers(seed):
        trainer = NumpyTrainer(random_shards(ring(8)))
        peers = make_peers(FedAvg(client_fraction=0.5), ring(8), trainer, num_rounds=5, seed=seed)
        conversation = Conversation(peers, lambda job: trainer.train([job])[0])
        run_orderly(conversation)
        return [message.receiver for message in conversation.sent if message.kind is Kind.MODEL]

    assert receivers(1) == receivers(1) != receivers(2)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), duplicates=st.floats(0, 0.4), failures=st.floats(0, 0.3))
def test_order_repetition_and_failed_messages_do_not_change_a_bit(seed, duplicates, failures):
    sharing = Sharing(optimizer_state="average")
    orderly, unruly = talk(sharing=sharing), talk(sharing=sharing)
    run_orderly(orderly)
    unruly.start()
    unruly.play(np.random.default_rng(seed), duplicates=duplicates, failures=failures)
    unruly.settle()
    for peer_id, peer in orderly.peers.items():
        assert peer.weights.tobytes() == unruly.peers[peer_id].weights.tobytes()
    assert not unruly.peers[SERVER].snapshot()[1]["unacknowledged"]


def test_final_acknowledgements_are_not_looked_for_among_all_clients():
    class Name(str):
        comparisons = 0
        __hash__ = str.__hash__

        def __eq__(self, other):
            Name.comparisons += 1
            return str(self) == str(other)

    server = make_peers(FedAvg(), ring(200), NumpyTrainer(random_shards(ring(200))), num_rounds=1)[SERVER]
    server.start(0.0)
    for client in range(200):
        vectors = encoded(server.local.shared())
        server.receive(Message(str(client), SERVER, Kind.UPDATE, 0, vectors=vectors, numbers=of_examples(1)), 0.0)
    assert server.finished
    for client in reversed(range(200)):
        assert not server.is_drained
        server.receive(Message(Name(client), SERVER, Kind.ACKNOWLEDGE, 1), 0.0)
    assert server.is_drained
    assert Name.comparisons < 200 * 10  # 40,000 are those of a list


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.4))
def test_with_patience_no_loss_stops_anybody_and_all_get_the_final_model(seed, loss):
    graph = ring(5)
    world = World(NetworkModel(link=Link(latency=0.01, jitter=0.05, loss=loss)))
    simulator = make_simulator(FedAvg(patience=0.5), graph, NumpyTrainer(random_shards(graph)), world=world, seed=seed)
    simulator.run()
    assert all(peer.finished and peer.round == 5 for peer in simulator.peers.values())
    server = simulator.peers[SERVER].weights.tobytes()
    assert all(peer.weights.tobytes() == server for peer in simulator.peers.values())


def test_a_lost_final_model_without_patience_leaves_the_last_one():
    conversation = talk(3, num_rounds=1)
    conversation.start()
    conversation.deliver_all()
    conversation.train_all()
    while conversation.in_flight:
        message = conversation.in_flight[0]
        lost = message.kind is Kind.FINAL and message.receiver == "1"
        conversation.drop() if lost else conversation.deliver()
    assert [conversation.peers[str(k)].finished for k in range(3)] == [True, False, True]
    assert conversation.peers[SERVER].finished


def test_a_straggler_is_left_behind_and_its_late_update_ignored():
    conversation = talk(3, num_rounds=3, patience=1.0)
    conversation.start()
    conversation.deliver_all()
    conversation.train("0")
    conversation.train("1")
    conversation.deliver_all()
    server = conversation.peers[SERVER]
    assert server.round == 0
    conversation.tick()
    assert server.round == 1
    conversation.deliver_all()  # the straggler gets the model of round 1 while it trains round 0
    straggler_job = conversation.jobs["2"].job
    conversation.train("2")  # its update would be late: it trains on the newer model at once
    assert conversation.jobs["2"].job == straggler_job + 1
    assert conversation.jobs["2"].weights is server.weights
    assert not [m for m in conversation.in_flight if m.sender == "2"]
    late = Message("2", SERVER, Kind.UPDATE, 0, vectors=encoded(server.local.shared()), numbers=of_examples(4))
    assert server.receive(late, conversation.now) == []
    conversation.train_all()
    conversation.deliver_all()
    assert server.round == 2


def test_a_round_in_which_nobody_answers_keeps_the_model():
    conversation = talk(3, num_rounds=2, patience=1.0)
    server = conversation.peers[SERVER]
    before = server.weights
    conversation.start()
    conversation.in_flight.clear()
    conversation.tick()
    assert server.round == 1
    assert server.weights is before


def test_a_dead_client_does_not_make_failed_messages_pile_up():
    conversation = talk(2, num_rounds=1, patience=0.5)
    conversation.start()
    server = conversation.peers[SERVER]
    for _ in range(200):
        while conversation.in_flight:
            alive = conversation.in_flight[0].receiver != "1"
            conversation.deliver() if alive else conversation.fail()
        conversation.train_all()
        conversation.tick()
    assert server.finished
    assert len(server.snapshot()[1]["retries"]["messages"]) <= 1
    finals = [message for message in conversation.sent if message.receiver == "1" and message.kind is Kind.FINAL]
    assert len(finals) <= 2 * 200


def test_a_restored_server_asks_only_those_that_have_not_answered():
    conversation = talk(3, num_rounds=2)
    conversation.start()
    conversation.deliver_all()
    conversation.train("0")
    conversation.deliver_all()
    twin = talk(3, num_rounds=2).peers[SERVER]
    twin.restore(conversation.peers[SERVER].snapshot())
    conversation.peers[SERVER] = twin
    conversation.carry_out(SERVER, twin.start(conversation.now))
    assert [message.receiver for message in conversation.in_flight] == ["1", "2"]
    conversation.settle()
    assert all(peer.finished for peer in conversation.peers.values())


def test_a_restored_client_goes_on_with_its_job_and_its_failed_messages():
    conversation = talk(2, num_rounds=1)
    conversation.start()
    conversation.deliver_all()
    twin = talk(2, num_rounds=1).peers["0"]
    twin.restore(conversation.peers["0"].snapshot())
    assert twin.start(0.0) == [twin.local.outstanding]
    conversation.train("0")
    conversation.fail()
    twin.restore(conversation.peers["0"].snapshot())
    conversation.peers["0"] = twin
    del conversation.wishes["0"]
    conversation.carry_out("0", twin.start(conversation.now))
    conversation.settle()
    assert all(peer.finished for peer in conversation.peers.values())


def test_statistics_are_averaged_or_stay_at_the_client():
    graph = ring(3)
    shards = random_shards(graph)
    for policy in ("average", "local"):
        trainer = NumpyTrainer(shards, has_statistics=True)
        algorithm = FedAvg(sharing=Sharing(optimizer_state="reset", statistics=policy))
        simulator = make_simulator(algorithm, graph, trainer, num_rounds=2)
        simulator.run()
        own = {peer_id: 0.81 + 0.19 * rows.var(axis=0) for peer_id, rows in shards.items()}
        server = simulator.peers[SERVER].local.statistics
        if policy == "average":
            np.testing.assert_allclose(server, np.mean(list(own.values()), axis=0), atol=1e-14)
        else:
            np.testing.assert_array_equal(server, np.ones(3))
            for peer_id, statistics in own.items():
                np.testing.assert_allclose(simulator.peers[peer_id].local.statistics, statistics, atol=1e-14)


def test_optimizer_state_is_reset_kept_or_averaged():
    graph = ring(3)
    velocities = {}
    for policy in ("reset", "keep", "average"):
        trainer = NumpyTrainer(random_shards(graph), momentum=0.9)
        simulator = make_simulator(FedAvg(sharing=Sharing(optimizer_state=policy)), graph, trainer, num_rounds=1)
        jobs = []
        train = trainer.train
        trainer.train = lambda batch, train=train, jobs=jobs: [jobs.extend(batch), *train(batch)][1:]
        simulator.run()
        velocities[policy] = simulator.peers[SERVER].local.state.get("optimizer")
        assert all(dict(job.state) == {} for job in jobs)
    assert velocities["reset"] is velocities["keep"] is None
    trainer = NumpyTrainer(random_shards(graph), momentum=0.9)
    own = [reference.local_epoch(trainer, peer_id, np.zeros(3), np.zeros(3))[1] for peer_id in graph]
    np.testing.assert_allclose(velocities["average"], np.mean(own, axis=0), atol=1e-15)


def test_the_slowest_client_sets_the_pace():
    graph = ring(3)
    world = World(compute=ComputeModel(1.0, {"1": 0.25}))
    simulator = make_simulator(FedAvg(), graph, NumpyTrainer(random_shards(graph, num_rows=2)), world=world)
    assert simulator.run().last.time == 5 * 2 / 0.25


def test_a_server_does_not_train():
    server = talk().peers[SERVER]
    update = Update(SERVER, 0, server.weights, server.local.statistics, {}, 1, 1, {})
    with pytest.raises(LocalProtocolError, match="does not train"):
        server.completed(update, 0.0)


def test_updates_that_cannot_be_averaged_are_refused():
    conversation = talk(3, sharing=Sharing(optimizer_state="average"))
    conversation.start()
    conversation.deliver_all()
    conversation.train("0")
    conversation.deliver_all()
    server = conversation.peers[SERVER]
    short = {**encoded(server.local.shared()), "optimizer": dense(np.zeros(2))}
    with pytest.raises(RemoteProtocolError, match="optimizer from peer 1 has 2 elements, that of peer 0 3"):
        server.receive(Message("1", SERVER, Kind.UPDATE, 0, vectors=short, numbers=of_examples(4)), 0.0)
    vectors = encoded(server.local.shared())
    with pytest.raises(RemoteProtocolError, match="is of no examples"):
        server.receive(Message("1", SERVER, Kind.UPDATE, 0, None, vectors, of_examples(0)), 0.0)
    conversation.settle()
    assert server.finished


@pytest.mark.parametrize(
    "options",
    [
        {"client_fraction": 0.0},
        {"client_fraction": 1.1},
        {"client_fraction": float("nan")},
        {"patience": 0.0},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        FedAvg(**options)


class TestNumbersOfExamples:
    """What clients say of their number of examples is believed once, and up to a bound."""

    def run(self, claims, *, rounds=2, order=None, **options):
        """A server whose clients answer with their position as the model, and claim what `claims` says by round."""
        conversation = talk(len(claims), num_rounds=rounds, **options)
        server, noted = conversation.peers[SERVER], []
        server.start(0.0)
        for round in range(rounds):
            for k in order or range(len(claims)):
                vectors = encoded({"weights": np.full(3, float(k))})
                update = Message(str(k), SERVER, Kind.UPDATE, round, None, vectors, of_examples(claims[k][round]))
                actions = server.receive(update, 0.0)
                noted += [(action.sender, action.why) for action in actions if isinstance(action, Refused)]
        return server, noted

    @pytest.mark.parametrize("order", [None, (3, 0, 2, 1)])
    def test_no_client_counts_more_than_ten_medians(self, order):
        server, noted = self.run([(20, 20), (30, 30), (40, 40), (10**9, 10**9)], rounds=1, order=order)
        expected = (1 * 30 + 2 * 40 + 3 * 350) / (20 + 30 + 40 + 350)  # the median is 35
        np.testing.assert_allclose(server.weights, expected, atol=1e-15)
        assert [sender for sender, _ in noted] == ["3"]

    def test_the_first_number_is_the_one_that_counts(self):
        server, noted = self.run([(20, 10**9), (20, 20), (20, 1)])
        np.testing.assert_allclose(server.weights, 1.0, atol=1e-15)
        assert [sender for sender, _ in noted] == ["0", "2"]

    def test_without_a_bound_every_first_number_is_believed(self):
        server, noted = self.run([(1, 1), (999, 999)], examples_bound=False)
        np.testing.assert_allclose(server.weights, 0.999, atol=1e-15)
        assert not noted

    def test_what_does_not_count_is_no_matter(self):
        server, noted = self.run([(1, 7), (10**9, 2)], weighting="uniform")
        np.testing.assert_allclose(server.weights, 0.5, atol=1e-15)
        assert not noted

    def test_numbers_are_remembered_by_a_server_that_goes_on(self):
        server, _ = self.run([(20, 20), (20, 20)], rounds=1)
        twin = talk(2, num_rounds=1).peers[SERVER]
        twin.restore(server.snapshot())
        assert twin.snapshot()[1]["examples"] == {"first": {"0": 20, "1": 20}}

    @pytest.mark.parametrize("bound", [0, 0.5, -1, float("nan"), float("inf")])
    def test_an_impossible_bound_is_refused(self, bound):
        with pytest.raises(ConfigurationError, match="examples_bound must be at least 1"):
            FedAvg(examples_bound=bound)
