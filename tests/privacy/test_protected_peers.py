"""A peer keeps what it sends, and nothing leaves it without the noise."""

from collections import defaultdict

import numpy as np
import pytest
from softmax_trainer import SoftmaxTrainer

from gossipfl.accounting.accountant import epsilon
from gossipfl.actions import Train, Update
from gossipfl.algorithms import ALGORITHMS
from gossipfl.audits.tap import Tap
from gossipfl.compression import decompress, encoded
from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples
from gossipfl.errors import ConfigurationError, TrainingError
from gossipfl.experiments.experiment import Experiment
from gossipfl.messages import Kind, Message
from gossipfl.privacy.spending import Mechanism
from gossipfl.randomness import SeededSecrets
from gossipfl.scenario import Scenario
from gossipfl.weights import frozen

REFUSED = {"scaffold": "sums of gradients", "gradient_tracking": "sums of gradients"}
TALKING = [name for name, recipe in ALGORITHMS.items() if recipe.agrees and name not in REFUSED]


def dataset(seed=0):
    generator = np.random.default_rng(seed)
    x, y = generator.random((60, 6), np.float32), np.arange(60) % 3
    return Dataset(
        "some", Examples(x[:48], y[:48].astype(np.int32)), Examples(x[48:], y[48:].astype(np.int32)), num_classes=3
    )


def experiment(algorithm, data=None, rounds=3, bound=100.0, **privacy):
    scenario = Scenario(
        rounds=rounds,
        topology={"generator": "path_graph" if algorithm == "relay_sum" else "complete_graph", "arguments": {"n": 4}},
        data={"partition": "contiguous"},
        training={
            "batch_size": 4,
            "shuffle": False,
            "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9 * (algorithm == "dfedavgm")},
        },
        algorithms=[{"name": algorithm, "magnitude_bound": bound}],
        privacy={"differential_privacy": {"level": "peer", "clip": 0.5, "noise": 1.0, **privacy}},
    )
    return experiment_on(data or dataset(), scenario)


def experiment_on(data, scenario):
    return Experiment(scenario, data, make_trainer=lambda _, dataset, batches, *__: SoftmaxTrainer(dataset, batches))


def run(one):
    """The vectors that each peer has sent, by sender in order, and its simulator at the end."""
    simulator = one.simulator(one.scenario.algorithms[0])
    tap = Tap.on(simulator)
    simulator.run()
    sent = defaultdict(list)
    for messages in tap.wire.values():
        for message in messages:
            if message.kind is not Kind.ACKNOWLEDGE:
                sent[message.sender] += [(message.kind, decompress(vector)) for vector in message.vectors.values()]
    return sent, simulator


@pytest.mark.parametrize("name", TALKING)
def test_all_that_leaves_after_training_has_the_noise_in_it(name):
    """With noise far above what the data can do, every vector that is sent is far from what it would be without."""
    with np.errstate(all="ignore"):  # of models that are noise
        loud, _ = run(experiment(name, bound=False, noise=1e4))
    quiet, _ = run(experiment(name, bound=False, noise=1e-9))
    assert loud.keys() == quiet.keys()
    for sender, vectors in loud.items():
        assert max(np.abs(vector).max() for _, vector in quiet[sender]) < 10
        for _, vector in vectors:
            size = np.abs(vector).max()
            assert size > 100 or size == 0, "neither of the first model nor with noise of deviation 5,000 in it"


@pytest.mark.parametrize("name", TALKING)
def test_other_data_at_one_peer_change_its_first_update_by_twice_the_clip_at_most(name):
    """The sensitivity: with the same noise, what it sends after its first round differs by at most 2 C."""
    data, other = dataset(), dataset()
    other.train.x.setflags(write=True)
    other.train.x[:12] = 1 - other.train.x[:12]
    vectors = []
    for one in (data, other):
        simulator = (found := experiment(name, one, rounds=1)).simulator(found.scenario.algorithms[0])
        simulator.run()
        peer = simulator.peers["0"]
        vectors.append(peer.value)
    assert np.linalg.norm(vectors[0].astype(float) - vectors[1]) <= 2 * 0.5 + 1e-3


@pytest.mark.parametrize("name", TALKING)
def test_the_ledger_counts_every_training_and_survives_a_snapshot(name):
    one = experiment(name)
    _, simulator = run(one)
    for peer_id in one.shards:
        peer = simulator.peers[peer_id]
        spending = peer.standing.spending
        assert spending == {Mechanism(1.0): peer.local.num_jobs}
        again = one.cast(one.scenario.algorithms[0]).make_peer(peer_id, SeededSecrets(0))
        again.restore(peer.snapshot())
        assert again.standing.spending == spending


@pytest.mark.parametrize(("name", "level"), [("synchronous", "peer"), ("fedavg", "server")])
def test_the_history_has_what_is_spent_and_without_privacy_no_word_of_it(name, level):
    one = experiment(name, level=level)
    _, simulator = run(one)
    spent = [row["epsilon"] for row in simulator.history.rows()]
    assert spent == [epsilon({Mechanism(1.0): round}, 1e-5) for round in range(4)]
    assert spent[-1] == one.privacy.epsilon
    plain = experiment_on(dataset(), one.scenario.with_changes(privacy={}))
    assert all("epsilon" not in row for row in run(plain)[1].history.rows())


def rounds_that_run_away(client, server_sends, num_rounds):
    """Has a client of federated averaging train on models on which training runs away."""
    for number in range(num_rounds):
        model = Message("server", client.peer_id, Kind.MODEL, number, vectors=encoded({"weights": server_sends}))
        actions = client.receive(model, 0.0)
        while jobs := [action for action in actions if isinstance(action, Train)]:
            (job,) = jobs
            weights = frozen(1.5 * job.weights)
            update = Update(job.peer_id, job.job, weights, job.statistics, job.state, 4, job.num_steps, metrics={})
            actions = client.completed(update, 0.0)


def test_a_server_cannot_make_a_client_spend_more_than_its_budget():
    """It sends models just within the magnitude bound, on which training runs away and is made again."""
    one = experiment("fedavg", rounds=3, bound=2.0, noise=0.1, epsilon=240.0)
    client = one.cast(one.scenario.algorithms[0]).make_peer("0", SeededSecrets(0))
    large = frozen(np.full(client.value.size, 1.99, np.float32))
    with pytest.raises(TrainingError, match=r"budget of peer '0' is spent: it allows 3 uses of noise"):
        rounds_that_run_away(client, large, num_rounds=3)
    assert client.standing.spending == {Mechanism(0.1): 3}
    assert one.privacy.spent(client.standing.spending) <= 240


def test_the_same_scenario_gives_the_same_bits_and_another_seed_other_noise():
    first, second = (run(experiment("synchronous"))[1] for _ in range(2))
    assert all((first.peers[name].value == second.peers[name].value).all() for name in first.peers)


@pytest.mark.parametrize(("name", "why"), REFUSED.items())
def test_what_would_leave_without_noise_is_refused(name, why):
    with pytest.raises(ConfigurationError, match=why):
        experiment(name)


@pytest.mark.parametrize("name", ["local", "centralized"])
def test_who_tells_nobody_anything_needs_no_noise(name):
    one = experiment(name)
    assert one.privacy is None
    _, simulator = run(one)
    assert all(peer.standing.spending is None for peer in simulator.peers.values())
