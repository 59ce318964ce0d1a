"""The engine with real Keras agrees with plain loops of `fit`, and the algorithms agree where theory says so."""

from typing import Any

import numpy as np
import pytest
from reference import fedavg_with_fit

from gossipfl import Scenario
from gossipfl.deploy.agreement import run_facts
from gossipfl.experiments.experiment import Experiment
from gossipfl.weights import StoredModel

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.slow

ROUNDS = 3
TRAINING = {"batch_size": 16, "shuffle": False, "optimizer": {"name": "sgd", "learning_rate": 0.1}}


def scenario(algorithm: str | dict[str, Any], **changes: Any) -> Scenario:
    fields: dict[str, Any] = {
        "rounds": ROUNDS,
        "model": "softmax",
        "data": {"source": "digits", "partition": "contiguous", "max_train": 400, "max_test": 50},
        "training": TRAINING,
        "topology": {"generator": "complete_graph", "arguments": {"n": 4}},
        "network": {"preset": "IDEAL"},
        "algorithms": [algorithm],
    }
    return Scenario(**fields | changes)


def final_average(scenario: Scenario) -> np.ndarray:
    return np.array(final(scenario)[0])


TRAINERS: dict[str, Any] = {}


def experiment_for(scenario: Scenario, num_slots: int | None = None) -> Experiment:
    """An experiment with a trainer that scenarios of the same data and training share: tracing takes seconds."""
    experiment = Experiment(scenario, slots=num_slots)
    training = scenario.training.model_copy(update={"statistics": "average"})
    key = repr((scenario.model, scenario.data, training, len(experiment.shards), num_slots))
    experiment._trainers = TRAINERS.setdefault(key, experiment._trainers)
    return experiment


def final(scenario: Scenario, num_slots: int | None = None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Weights of the average model and of every peer after the run."""
    history = experiment_for(scenario, num_slots).simulator(scenario.algorithms[0]).run()
    assert history.average is not None
    return history.average.weights, {peer_id: model.weights for peer_id, model in history.final.items()}


@pytest.mark.parametrize("partition", ["contiguous", {"name": "quantity", "alpha": 1.0}], ids=["equal", "unequal"])
@pytest.mark.parametrize("weighting", ["uniform", "examples"])
def test_fedavg_is_the_loop_of_fit(partition: Any, weighting: str) -> None:
    given = scenario("fedavg", data={"source": "digits", "partition": partition, "max_train": 400}, weighting=weighting)
    experiment = experiment_for(given)
    data = experiment.dataset

    def make_model() -> Any:
        model = experiment.models().filled(StoredModel(experiment.initial(), experiment.trainer.constants))
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy")
        return model

    expected = fedavg_with_fit(
        make_model,
        [(data.train.x[shard], data.train.y[shard]) for shard in experiment.shards.values()],
        num_rounds=ROUNDS,
        batch_size=16,
        by_examples=weighting == "examples",
    )
    weights = np.concatenate([array.ravel() for array in expected])
    np.testing.assert_allclose(final_average(given), weights, atol=1e-6)


def test_synchronous_gossip_on_a_complete_graph_is_fedavg() -> None:
    np.testing.assert_allclose(final_average(scenario("synchronous")), final_average(scenario("fedavg")), atol=1e-6)


def test_identity_mixing_is_training_alone() -> None:
    _, gossip = final(scenario({"name": "synchronous", "schedule": {"name": "static", "mixing": np.eye(4).tolist()}}))
    _, alone = final(scenario("local"))
    for peer_id, weights in alone.items():
        np.testing.assert_array_equal(gossip[peer_id], weights)


@pytest.mark.parametrize("algorithm", ["pairwise", "synchronous", "fedavg"])
def test_results_do_not_depend_on_slots_or_repetition(algorithm: str) -> None:
    training = {"batch_size": 16, "optimizer": {"name": "adam", "learning_rate": 0.01}}
    given = scenario(
        algorithm, training=training, model="mlp", network={"preset": "WAN"}, compute={"speed_spread": 0.5}
    )
    _, one = final(given, num_slots=1)
    _, two = final(given, num_slots=2)
    _, again = final(given, num_slots=2)
    for peer_id in one:
        np.testing.assert_array_equal(one[peer_id], two[peer_id])
        np.testing.assert_array_equal(two[peer_id], again[peer_id])


def batch_norm_model() -> Any:
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(16),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.ReLU(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


@pytest.mark.parametrize("algorithm", ["pairwise", "synchronous", "fedavg"])
@pytest.mark.parametrize("statistics", ["average", "local"])
def test_statistics_follow_their_policy(algorithm: str, statistics: str) -> None:
    given = scenario(
        algorithm,
        model=batch_norm_model,
        training=TRAINING | {"statistics": statistics},
        data={"source": "digits", "partition": {"name": "labels", "per_peer": 3}, "max_train": 400, "max_test": 50},
    )
    simulator = experiment_for(given).simulator(given.algorithms[0])
    simulator.run()
    peers = [peer.local.statistics for peer_id, peer in simulator.peers.items() if peer_id != "server"]
    variances = np.stack(peers)[:, 16:]
    assert (variances > 0).all()
    spread = np.std(np.stack(peers), axis=0).mean()
    if statistics == "local":
        assert spread > 0.1
    elif algorithm != "pairwise":  # everybody has the mean
        assert spread < 1e-6


@pytest.mark.parametrize("policy", ["keep", "average", "reset"])
@pytest.mark.parametrize("algorithm", ["pairwise", "synchronous", "fedavg"])
def test_optimizer_state_follows_its_policy(algorithm: str, policy: str) -> None:
    training = {"batch_size": 16, "optimizer": {"name": "adam", "learning_rate": 0.01}}
    given = scenario({"name": algorithm, "optimizer_state": policy}, training=training)
    simulator = experiment_for(given).simulator(given.algorithms[0])
    history = simulator.run()
    states = [peer.local.state for peer_id, peer in simulator.peers.items() if peer_id != "server"]
    if policy == "reset":
        assert not any(states)
    else:  # the counter goes with the momenta
        assert {state["optimizer"][-1] for state in states} == {7 * ROUNDS}
    if algorithm == "synchronous" and policy != "reset":
        spread = np.std(np.stack([state["optimizer"] for state in states]), axis=0).mean()
        assert (spread < 1e-9) == (policy == "average")
    assert history.last.average_accuracy > 0.5


def test_a_schedule_gives_fedavg_the_learning_rates_of_gossip() -> None:
    decay = {"name": "exponential_decay", "initial_learning_rate": 0.2, "decay_steps": 4, "decay_rate": 0.5}
    training = TRAINING | {"optimizer": {"name": "sgd", "learning_rate": decay}}
    fedavg, gossip = (final_average(scenario(name, training=training)) for name in ("fedavg", "synchronous"))
    np.testing.assert_allclose(fedavg, gossip, atol=1e-6)


def test_a_client_that_has_not_trained_takes_averaged_momenta_with_their_counter() -> None:
    training = TRAINING | {"optimizer": {"name": "adam", "learning_rate": 0.01}}
    section = {"name": "fedavg", "client_fraction": 0.5, "optimizer_state": "average"}
    given = scenario(section, training=training, rounds=6)
    simulator = experiment_for(given).simulator(given.algorithms[0])
    assert simulator.run().failure is None
    states = {peer_id: peer.local.state["optimizer"][-1] for peer_id, peer in simulator.peers.items()}
    trained = {peer_id: simulator.peers[peer_id].local._num_steps for peer_id in states}
    assert len(set(trained.values())) > 2  # the server has made none
    assert set(states.values()) == {states["server"]}  # the final model came with the counter of its momenta
    assert states["server"] % 7 == 0


def frozen_model(kernel_seed: int) -> Any:
    def build() -> Any:
        backbone = keras.layers.Dense(
            8, trainable=False, kernel_initializer=keras.initializers.GlorotUniform(kernel_seed)
        )
        head = keras.layers.Dense(10, "softmax", kernel_initializer="zeros")
        return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), backbone, head])

    build.__qualname__ = "build"
    return build


def test_peers_with_other_frozen_variables_are_of_another_run() -> None:
    facts = []
    for kernel_seed in (1, 2, 1):
        given = scenario("synchronous", model=frozen_model(kernel_seed))
        facts.append(run_facts(Experiment(given, slots=1).cast(given.algorithms[0])))
    assert facts[0].run_id == facts[2].run_id != facts[1].run_id


def half_precision_model() -> Any:
    layers, policy = keras.layers, keras.DTypePolicy("mixed_float16")
    stack = [
        layers.Flatten(dtype=policy),
        layers.Dense(10, dtype=policy),
        layers.Activation("softmax", dtype="float32"),
    ]
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=2.0**22)
    model.compile(optimizer, loss="sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("algorithm", ["scaffold", "gradient_tracking"])
def test_steps_that_mixed_precision_skips_poison_nobody(algorithm: str) -> None:
    given = scenario(algorithm, model=half_precision_model, training={"batch_size": 16, "shuffle": False}, rounds=6)
    simulator = experiment_for(given).simulator(given.algorithms[0])
    history = simulator.run()
    assert history.failure is None
    for peer in simulator.peers.values():
        assert all(np.isfinite(vector).all() for vector in peer._memory.values())
    assert history.last.average_accuracy > 0.5
