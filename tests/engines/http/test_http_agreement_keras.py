"""Real Keras models over HTTP have the bits of the simulator."""

from typing import Any

import pytest
from loopback import bits

from gossipfl import Scenario
from gossipfl.deploy.loopback import loopback_federation
from gossipfl.experiments.experiment import Experiment

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.slow


def batch_norm_model() -> Any:
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(16),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


@pytest.mark.parametrize("model", ["softmax", batch_norm_model], ids=["softmax", "batch norm"])
def test_http_gives_the_bits_of_the_simulator(model):
    """With the policies of optimizer state and statistics that move the most."""
    scenario = Scenario(
        rounds=3,
        model=model,
        data={"source": "digits", "partition": {"name": "labels", "per_peer": 3}, "max_train": 400, "max_test": 50},
        training={"batch_size": 16, "optimizer": {"name": "adam", "learning_rate": 0.01}},
        topology={"generator": "complete_graph", "arguments": {"n": 4}},
        algorithms=[
            {"name": "synchronous", "optimizer_state": "average", "label": "averaged"},
            {"name": "synchronous", "optimizer_state": "keep", "label": "kept"},
            {"name": "fedavg", "client_fraction": 0.5},
        ],
    )
    experiment = Experiment(scenario)
    for section in scenario.algorithms:
        simulator = experiment.simulator(section)
        simulator.run()
        federation = loopback_federation(experiment, section)
        history = federation.run()
        assert bits(federation.peers) == bits(simulator.peers), section
        assert history.last.average_accuracy == simulator.history.last.average_accuracy
        assert not history.contacts
        assert history.num_refused == 0
