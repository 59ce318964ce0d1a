"""A defence that is broken on purpose is broken by the attacks of an audit, too: they would see a fault of ours."""

import numpy as np
import pytest
from softmax_trainer import SoftmaxTrainer

from gossipfl.attacks.dense_layer import label_counts, rebuilt_inputs
from gossipfl.audits.places import Attacker, observed, places_of
from gossipfl.audits.tap import Tap
from gossipfl.data.dataset import Dataset
from gossipfl.experiments.experiment import Experiment
from gossipfl.privacy.noise import noised
from gossipfl.randomness import SeededSecrets
from gossipfl.scenario import Scenario

CLIP, NOISE = 1.0, 0.5


@pytest.fixture
def experiment() -> Experiment:
    generator = np.random.default_rng(0)
    x, y = generator.random((24, 16), np.float32), np.arange(24) % 3
    scenario = Scenario(
        rounds=1,
        topology={"name": "ring", "arguments": {"n": 4}},
        data={"partition": "contiguous"},
        training={"batch_size": 1, "steps": 1},
        algorithms=["synchronous"],
        privacy={"differential_privacy": {"level": "peer", "clip": CLIP, "noise": NOISE}},
    )
    dataset = Dataset.from_arrays("some", (x[:20], y[:20]), (x[20:], y[20:]))
    return Experiment(scenario, dataset, make_trainer=lambda _, data, batches, *__: SoftmaxTrainer(data, batches))


def test_noise_of_which_the_secret_is_known_hides_nothing(experiment) -> None:
    """So it is with every run in virtual time, whose secrets come from the seed."""
    section = experiment.scenario.algorithms[0]
    simulator = experiment.simulator(section)
    tap = Tap.on(simulator)
    simulator.run()
    initial, schema = experiment.initial(section).weights, experiment.trainer.schema
    for target, place in places_of(tap, Attacker.NEIGHBOR, experiment.shards, None).items():
        (example,) = experiment.examples_of(target, 0, 1)
        original, label = experiment.dataset.train.x[example], experiment.dataset.train.y[example]
        observation = observed(tap, target, place, initial, 1, None)
        gradient = observation.before - observation.after.astype(np.float64)
        secret = SeededSecrets(experiment.seed).of("noise", target).random_bytes(32, "noise", 0)
        noise = noised(np.zeros(schema.size), NOISE * CLIP, secret)
        assert np.abs(rebuilt_inputs(*schema.unflatten(gradient), most=1) - original).max() > 0.1
        kernel, bias = schema.unflatten(gradient + noise)
        assert rebuilt_inputs(kernel, bias, most=1)[0] == pytest.approx(original, abs=1e-3)
        assert label_counts(bias, np.full(3, 1 / 3), 1, is_scaled=False).argmax() == label
