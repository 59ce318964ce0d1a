"""Statistics of an average model that are estimated anew, against a loop over the same batches by hand."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from gossipfl import Scenario, simulate
from gossipfl.engines.recalibration import Recalibration
from gossipfl.errors import ConfigurationError
from gossipfl.mixing import Pooling

pytestmark = pytest.mark.slow


def normalized(*, renorm: bool = False, dropout: bool = False) -> Any:
    import keras
    from keras import layers

    between = [layers.Dropout(0.5)] if dropout else []
    first = layers.BatchNormalization(renorm=renorm)
    stack = [layers.Flatten(), layers.Dense(24), first, layers.Activation("relu"), *between, layers.Dense(12)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack, layers.BatchNormalization(), layers.Dense(10, "softmax")])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return model


def scenario(model: Any = normalized, **evaluation: Any) -> Scenario:
    return Scenario(
        data={"source": "digits", "max_train": 300, "partition": {"name": "labels", "per_peer": 2}, "seed": 3},
        topology={"generator": "complete_graph", "arguments": {"n": 5}},
        model=model,
        rounds=4,
        training={"epochs": 2},
        algorithms=["synchronous"],
        evaluation={"peers": 3, "every": 4, **evaluation},
    )


def test_statistics_are_those_of_a_loop_by_hand():
    import keras

    from gossipfl.data.conversion import model_inputs
    from gossipfl.experiments.experiment import Experiment

    experiment = Experiment(scenario(recalibrate=4), slots=2)
    section = experiment.scenario.algorithms[0]
    plan = experiment.cast(section).plan
    model = experiment.initial(section)
    trainer = experiment.trainer
    assert isinstance(plan.recalibration, Recalibration)
    assert len(plan.peers) == 3
    found = plan.recalibration.applied(trainer, model, plan.peers)

    by_hand = normalized()
    by_hand.set_weights(experiment.models(section).filled(_stored(experiment, model)).get_weights())
    layers = [layer for layer in by_hand.layers if isinstance(layer, keras.layers.BatchNormalization)]
    totals, num_examples = [[0.0, 0.0] for _ in layers], 0
    for peer in plan.peers:
        indices, sizes = experiment._batches.indices(peer, 0, 4)
        for rows in np.split(indices, np.cumsum(sizes)[:-1]):
            x = model_inputs(experiment.dataset.train.x[rows])
            for total, layer in zip(totals, layers, strict=True):
                upto = keras.Sequential(by_hand.layers[: by_hand.layers.index(layer)])
                inputs = np.asarray(upto(x, training=True), np.float64)
                total[0] += inputs.sum(axis=0)
                total[1] += (inputs**2).sum(axis=0)
            num_examples += len(rows)
    expected = []
    for first, second in totals:
        mean = first / num_examples
        expected += [mean, second / num_examples - mean**2]
    np.testing.assert_allclose(found.statistics, np.concatenate(expected), rtol=1e-4, atol=1e-5)
    assert found.weights is model.weights
    assert (found.statistics != model.statistics).all()


def _stored(experiment: Any, model: Any) -> Any:
    from gossipfl.weights import StoredModel

    return StoredModel(model, experiment.trainer.constants)


def test_it_makes_the_average_model_of_peers_with_few_classes_better():
    plain, recalibrated = (simulate(scenario(**evaluation)) for evaluation in ({}, {"recalibrate": 5}))
    assert recalibrated.last.loss.average < 0.9 * plain.last.loss.average
    assert recalibrated.last.loss.peers == plain.last.loss.peers
    np.testing.assert_array_equal(recalibrated.average.weights, plain.average.weights)
    assert (recalibrated.average.statistics != plain.average.statistics).any()


@pytest.mark.parametrize(
    ("model", "reason"),
    [("softmax", "needs a layer with a moving_mean"), (partial(normalized, renorm=True), "BatchNormalization without")],
)
def test_models_without_such_statistics_are_refused(model, reason):
    with pytest.raises(ConfigurationError, match=f"evaluation.recalibrate .*{reason}"):
        simulate(scenario(model, recalibrate=2))


def test_pairs_alone_are_replaced_and_dropout_draws_the_same():
    from gossipfl.experiments.experiment import Experiment

    experiment = Experiment(scenario(partial(normalized, dropout=True), recalibrate=2))
    section = experiment.scenario.algorithms[0]
    peers = experiment.cast(section).plan.peers
    model, trainer = experiment.initial(section), experiment.trainer
    only = Recalibration(2, Pooling(((0, 24, 24),)))
    once, twice = (only.applied(trainer, model, peers).statistics for _ in range(2))
    np.testing.assert_array_equal(once, twice)
    np.testing.assert_array_equal(once[48:], model.statistics[48:])
    assert (once[:48] != model.statistics[:48]).all()


def test_loopback_has_the_bits_of_the_simulator():
    from gossipfl.deploy.loopback import loopback_federation
    from gossipfl.experiments.experiment import Experiment

    experiment = Experiment(scenario(recalibrate=2).model_copy(update={"rounds": 1}))
    section = experiment.scenario.algorithms[0]
    expected = experiment.simulator(section).run()
    federation = loopback_federation(experiment, section)
    assert [one.loss.average for one in federation] == [one.loss.average for one in expected.evaluations]
    federation.close()
    np.testing.assert_array_equal(federation.history.average.statistics, expected.average.statistics)
