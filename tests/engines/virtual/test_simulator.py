"""Virtual time: what is counted and measured, and that nothing depends on how work was grouped."""

import gc
import json
import tracemalloc

import numpy as np
import pytest
from exam import CANDIDATES
from federation import (
    complete,
    final_weights,
    identical,
    make_peers,
    make_simulator,
    random_shards,
    ring,
    unequal_shards,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import SERVER, FedAvg, LocalOnly, PairwiseGossip, SynchronousGossip
from gossipfl.codec.messages import encode
from gossipfl.codec.sizes import MESSAGE_OVERHEAD
from gossipfl.engines.evaluation import EvaluationPlan
from gossipfl.engines.virtual.compute_model import ComputeModel, drawn_speeds
from gossipfl.engines.virtual.network_model import LAN, WAN, Link, NetworkModel, Rates
from gossipfl.engines.virtual.simulator import Simulator, World
from gossipfl.errors import ConfigurationError
from gossipfl.peers import Sharing

ROUGH = World(
    NetworkModel(Rates(40_000, 60_000), Link(latency=0.02, jitter=0.05, loss=0.1), offline={"2": ((0.1, 0.4),)}),
    ComputeModel(0.02, {"1": 0.5}),
)
PATIENT = {
    "pairwise": PairwiseGossip(timeout=0.3, max_backoff=1.0),
    "synchronous": SynchronousGossip(patience=0.5),
    "fedavg": FedAvg(patience=0.5, client_fraction=0.7),
    "local": LocalOnly(),
}
# Determinism


def run(name, trainer, *, seed=0, world=ROUGH):
    simulator = make_simulator(PATIENT[name], ring(5), trainer, world=world, seed=seed)
    simulator.run()
    return simulator


class OneByOne(NumpyTrainer):
    """Trains every job in a call of its own."""

    def train(self, jobs):
        return [update for job in jobs for update in super(OneByOne, self).train([job])]


@pytest.mark.parametrize("name", PATIENT)
def test_a_seed_gives_the_same_bits(name):
    first, again = (run(name, NumpyTrainer(unequal_shards(ring(5)), momentum=0.9)) for _ in range(2))
    assert identical(final_weights(first), final_weights(again))
    assert list(first.history.rows()) == list(again.history.rows())
    assert first.history.peer_bytes == again.history.peer_bytes
    if name != "local":
        other = run(name, NumpyTrainer(unequal_shards(ring(5)), momentum=0.9), seed=1)
        assert list(first.history.rows()) != list(other.history.rows())


@pytest.mark.parametrize("name", PATIENT)
def test_grouping_does_not_change_a_bit(name):
    def trainer(kind):
        return kind(unequal_shards(ring(5)), momentum=0.9, batch_size=2)

    grouped = run(name, trainer(NumpyTrainer))
    one_by_one = run(name, trainer(OneByOne))
    eager = make_simulator(PATIENT[name], ring(5), trainer(NumpyTrainer), world=ROUGH)
    collect = eager._collect

    def collect_and_train(job):
        collect(job)
        jobs = eager._jobs
        jobs._outcomes[job.peer_id] = eager._trainer.train([jobs._jobs.pop(job.peer_id)])[0]

    eager._collect = collect_and_train
    eager.run()
    for other in (one_by_one, eager):
        assert identical(final_weights(grouped), final_weights(other))
        assert list(grouped.history.rows()) == list(other.history.rows())


def test_jobs_are_collected_until_the_first_is_due():
    graph = ring(6)
    trainer = NumpyTrainer(random_shards(graph))
    make_simulator(SynchronousGossip(), graph, trainer, num_rounds=4).run()
    assert trainer.group_sizes == [6, 6, 6, 6]
    speeds = {peer_id: 1 + 0.1 * k for k, peer_id in enumerate(graph)}
    trainer = NumpyTrainer(random_shards(graph))
    make_simulator(PairwiseGossip(), graph, trainer, world=World(LAN, ComputeModel(1.0, speeds)), num_rounds=20).run()
    assert sum(trainer.group_sizes) == 6 * 20
    assert np.mean(trainer.group_sizes) > 2


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.3))
def test_pairwise_gossip_keeps_the_sum_in_virtual_time(seed, loss):
    graph = ring(5)
    shards = {peer_id: np.full((2, 3), float(k)) for k, peer_id in enumerate(graph)}
    world = World(NetworkModel(link=Link(0.01, jitter=0.05, loss=loss)), ComputeModel(0.01))
    trainer = NumpyTrainer(shards)
    moved = np.zeros(3)
    train = trainer.train

    def note(jobs):
        updates = train(jobs)
        for job, update in zip(jobs, updates, strict=True):
            moved[:] += update.weights - job.weights
        return updates

    trainer.train = note
    algorithm = PairwiseGossip(timeout=0.2, max_backoff=1.0)
    simulator = make_simulator(algorithm, graph, trainer, world=world, num_rounds=8, seed=seed)
    simulator.run()
    total = np.sum([peer.weights for peer in simulator.peers.values()], axis=0)
    np.testing.assert_allclose(total, moved, rtol=0, atol=1e-12)


# Counting


@pytest.mark.parametrize("name", PATIENT)
def test_virtual_bytes_are_real_bytes(name):
    trainer = NumpyTrainer(random_shards(ring(5)), momentum=0.9, has_statistics=True)
    simulator = make_simulator(PATIENT[name], ring(5), trainer, world=World(WAN), num_rounds=3)
    sizes = {}
    send = simulator._send

    def send_and_encode(message):
        pair = (message.sender, message.receiver)
        messages, num_bytes = sizes.get(pair, (0, 0))
        sizes[pair] = (messages + 1, num_bytes + len(encode(message)) + MESSAGE_OVERHEAD)
        send(message)

    simulator._send = send_and_encode
    history = simulator.run()
    assert history.link_traffic == sizes
    assert history.last.num_messages == sum(messages for messages, _ in sizes.values())
    assert history.last.num_bytes == sum(num_bytes for _, num_bytes in sizes.values())
    totals = {
        peer_id: sum(num_bytes for pair, (_, num_bytes) in sizes.items() if peer_id in pair)
        for peer_id in simulator.peers
    }
    assert history.last.busiest_peer_bytes == max(totals.values())
    assert {peer_id: sum(both) for peer_id, both in history.peer_bytes.items()} == totals


# Measuring


@pytest.mark.parametrize("name", PATIENT)
@pytest.mark.parametrize(("every", "expected"), [(1, [0, 1, 2, 3, 4, 5, 6, 7]), (3, [0, 3, 6, 7]), (100, [0, 7])])
def test_rows_are_made_at_equivalent_rounds(name, every, expected):
    trainer = NumpyTrainer(random_shards(ring(5)))
    simulator = make_simulator(
        PATIENT[name], ring(5), trainer, world=World(WAN), plan=EvaluationPlan(every=every), num_rounds=7
    )
    history = simulator.run()
    assert [evaluation.round for evaluation in history] == expected
    times = [evaluation.time for evaluation in history]
    assert times == sorted(times)
    assert history.evaluations[0].training_loss is None
    assert all(evaluation.training_loss > 0 for evaluation in history.evaluations[1:])
    assert simulator.next() is None
    json.dumps(list(history.rows()), allow_nan=False)


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 1.0])
def test_a_server_that_samples_is_measured_in_rounds_of_local_work(fraction):
    graph = ring(10)
    trainer = NumpyTrainer(unequal_shards(graph), batch_size=2)
    simulator = make_simulator(FedAvg(client_fraction=fraction), graph, trainer, num_rounds=6)
    history = simulator.run()
    clients = [peer.local for peer_id, peer in simulator.peers.items() if peer_id != SERVER]
    num_jobs = [client.num_jobs for client in clients]
    assert 60 <= sum(num_jobs) < 60 + 10 * fraction
    assert [evaluation.round for evaluation in history] == [0, 1, 2, 3, 4, 5, 6]
    assert history.last.epochs == pytest.approx(np.mean(num_jobs))  # a job is an epoch
    assert history.last.num_examples == pytest.approx(
        np.mean([jobs * client.work.num_examples for jobs, client in zip(num_jobs, clients, strict=True)])
    )
    assert all(evaluation.deployed_accuracy == evaluation.average_accuracy for evaluation in history)


def test_rounds_that_a_patient_peer_skipped_are_not_done():
    graph = ring(16)
    speeds = drawn_speeds(list(graph), 1.0, np.random.default_rng(0))
    for patience, is_whole in ((None, True), (0.001, False)):
        simulator = make_simulator(
            SynchronousGossip(patience=patience),
            graph,
            NumpyTrainer(random_shards(graph)),
            num_rounds=50,
            world=World(compute=ComputeModel(1e-3, speeds)),
        )
        history = simulator.run()
        num_jobs = [peer.local.num_jobs for peer in simulator.peers.values()]
        assert [peer.rounds_done for peer in simulator.peers.values()] == num_jobs
        assert history.last.round == sum(num_jobs) // 16
        assert history.last.epochs == pytest.approx(np.mean(num_jobs))
        assert (history.last.round == 50) == is_whole
        assert all(peer.finished and peer.round == 50 for peer in simulator.peers.values())


@pytest.mark.parametrize("weighting", ["uniform", "examples"])
def test_local_statistics_of_the_average_model_are_the_peers_mean_with_and_without_a_server(weighting):
    """FedAvg is synchronous gossip on the complete graph, whose peers share one model after every round."""
    graph = complete(5)
    sharing = Sharing(optimizer_state="reset", statistics="local")
    plan = EvaluationPlan(weighting=weighting, statistics="local")
    averages = []
    for recipe in (SynchronousGossip(sharing=sharing), FedAvg(sharing=sharing, weighting=weighting)):
        trainer = NumpyTrainer(unequal_shards(graph), has_statistics=True)
        simulator = make_simulator(recipe, graph, trainer, plan=plan, num_rounds=6)
        history = simulator.run()
        peers = [peer for peer_id, peer in simulator.peers.items() if peer_id != SERVER]
        shares = [peer.local.work.num_examples if weighting == "examples" else 1 for peer in peers]
        mean = np.average([peer.local.statistics for peer in peers], axis=0, weights=shares)
        np.testing.assert_allclose(history.average.statistics, mean, rtol=1e-14)
        averages.append(history.average)
    np.testing.assert_array_equal(averages[0].statistics, averages[1].statistics)
    if weighting == "uniform":
        np.testing.assert_allclose(averages[0].weights, averages[1].weights, atol=1e-14)


def test_asynchronous_rounds_are_counted_over_all_peers():
    graph = ring(4)
    world = World(LAN, ComputeModel(1.0, {"0": 4.0}))
    simulator = make_simulator(LocalOnly(), graph, NumpyTrainer(random_shards(graph, num_rows=1)), world=world)
    # Peer 0 ends a round each quarter of a second, the others each second; by 1.25 s that makes 5 + 3 = 2 * 4 rounds.
    assert [evaluation.time for evaluation in simulator.run()] == [0.0, 1.0, 1.25, 3.0, 4.0, 5.0]


def test_a_subset_of_peers_is_scored_and_all_are_averaged():
    graph = ring(5)
    trainer = NumpyTrainer(random_shards(graph))
    plan = EvaluationPlan(peers=("1", "3"))
    simulator = make_simulator(LocalOnly(), graph, trainer, plan=plan)
    last = simulator.run().last
    assert list(last.peer_loss) == list(last.peer_accuracy) == ["1", "3"]
    weights = np.stack(list(final_weights(simulator).values()))
    np.testing.assert_allclose(simulator.average().weights, weights.mean(axis=0), atol=1e-15)
    distance = np.sqrt(np.mean(np.sum((weights - weights.mean(axis=0)) ** 2, axis=1)))
    assert last.consensus_distance == pytest.approx(distance, rel=1e-12)
    assert last.average_loss == trainer.evaluate([simulator.average()])[0].loss


def test_training_metrics_are_means_over_examples():
    graph = ring(3)
    trainer = NumpyTrainer(unequal_shards(graph))
    simulator = make_simulator(LocalOnly(), graph, trainer, num_rounds=1)
    last = simulator.run().last
    rows = np.concatenate(list(trainer.shards.values()))
    assert last.training_loss == pytest.approx(0.5 * np.mean(np.sum(rows**2, axis=1)), rel=1e-12)


def test_a_run_can_be_stepped_and_interrupted():
    graph = ring(4)
    simulator = make_simulator(PairwiseGossip(), graph, NumpyTrainer(random_shards(graph)), num_rounds=50)
    rows = iter(simulator)
    for expected in range(4):
        assert next(rows).round == expected
    assert simulator.history.final == {}
    simulator.close()
    assert len(simulator.history) == 4
    assert set(simulator.history.final) == set(graph)
    assert simulator.history.average.weights.tobytes() == simulator.average().weights.tobytes()
    assert sum(sent for sent, _ in simulator.history.peer_bytes.values()) >= simulator.history.last.num_bytes > 0


def test_lost_messages_without_patience_are_an_error_that_helps():
    graph = ring(4)
    world = World(NetworkModel(link=Link(loss=0.5)))
    simulator = make_simulator(SynchronousGossip(), graph, NumpyTrainer(random_shards(graph)), world=world)
    with pytest.raises(ConfigurationError, match=r"stalled at .* 4 of 4 peers .* wait for messages.*patience"):
        simulator.run()


def test_open_exchanges_are_drained_no_longer_than_the_linger():
    graph = ring(3)
    network = NetworkModel(link=Link(0.01), links={("0", "1"): Link(loss=0.999999), ("2", "1"): Link(loss=0.999999)})
    world = World(network, ComputeModel(0.1), linger=50.0)
    simulator = make_simulator(PairwiseGossip(timeout=1.0), graph, NumpyTrainer(random_shards(graph)), world=world)
    history = simulator.run()
    assert all(peer.finished for peer in simulator.peers.values())
    assert simulator._heap[0][0] > simulator._end  # what was not resolved by then stays open
    sent, _ = history.link_traffic["0", "1"]
    assert 5 < sent < 25
    assert history.last.time < 10.0  # repeated requests that change no model do not count


def test_an_unknown_peer_to_evaluate_is_refused():
    graph = ring(3)
    trainer = NumpyTrainer(random_shards(graph))
    for name in ("nobody", SERVER):
        with pytest.raises(ConfigurationError, match=f"evaluation of peer '{name}'"):
            Simulator(make_peers(FedAvg(), graph, trainer), trainer, plan=EvaluationPlan(peers=("0", name)), hub=SERVER)


class _Nothing(list):
    def append(self, item):
        pass


@pytest.mark.parametrize("name", CANDIDATES)
def test_memory_does_not_grow_with_rounds(name):
    """Forgetting to forget 100 bytes per peer and round would show as 40 %, a vector per round as 2,000 %."""
    graph = CANDIDATES[name].graph(8)
    trainer = NumpyTrainer(random_shards(graph, num_rows=1, size=500))
    trainer.group_sizes = _Nothing()
    speeds = {peer_id: 1 + 0.1 * k for k, peer_id in enumerate(graph)}  # else peers fall out of step little by little
    simulator = make_simulator(
        CANDIDATES[name].recipe,
        graph,
        trainer,
        world=World(LAN, ComputeModel(1.0, speeds)),
        plan=EvaluationPlan(every=10**6),
        num_rounds=1000,
    )
    simulator.next()

    def mean_memory(first_round, last_round):
        held = []
        while simulator._rounds.reached <= last_round:
            simulator.step()
            if simulator._rounds.reached >= first_round:
                if len(held) % 10 == 0:
                    gc.collect()  # Python keeps up to 2,000 dead tuples of each length
                held.append(tracemalloc.get_traced_memory()[0])
        return np.mean(held)

    gc.freeze()  # so that a collection looks at what is new
    tracemalloc.start()
    try:
        early, late = mean_memory(5, 35), mean_memory(70, 100)
    finally:
        tracemalloc.stop()
        gc.unfreeze()
    assert late <= early * 1.03 + 1_000
