"""Whatever `fit` trains, slots train, with the same loss and the same metrics: outputs, targets, weights and masks."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from fit_oracle import fit_job, job_of, model_of, toy_trainer  # noqa: E402
from keras import layers, losses  # noqa: E402

from gossipfl.data.conversion import model_inputs  # noqa: E402
from gossipfl.data.dataset import Dataset  # noqa: E402
from gossipfl.errors import ConfigurationError  # noqa: E402
from gossipfl.training.metrics import metric_specs  # noqa: E402
from gossipfl.training.models import resolve  # noqa: E402

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(300, 6)).astype(np.float32)
CLASSES = RANDOM.integers(3, size=300)
ONE_HOT = np.eye(3, dtype=np.float32)[CLASSES]
YES_OR_NO = (X[:, 0] > 0).astype(np.int32)
LABELS = (X[:, :4] + RANDOM.normal(size=(300, 4)) > 0).astype(np.uint8)
QUANTITIES = (X @ RANDOM.normal(size=(6, 2))).astype(np.float32)
WEIGHTS = RANDOM.uniform(0, 2, size=300).astype(np.float32)
TOKENS = RANDOM.integers(1, 9, size=(300, 7)) * (np.arange(7) < RANDOM.integers(1, 8, size=(300, 1)))


def data(x: Any, y: Any, weight: Any = None) -> Dataset:
    def part(first: int, end: int) -> tuple[Any, ...]:
        trees = (x, y) if weight is None else (x, y, weight)
        return tuple(
            None if tree is None else keras.tree.map_structure(lambda rows: rows[first:end], tree) for tree in trees
        )

    return Dataset.from_arrays("toy", part(0, 200), part(200, 300))


def sequential(*stack, loss, shape=(6,), **compiled):
    def build():
        model = keras.Sequential([keras.Input(shape), *(type(one).from_config(one.get_config()) for one in stack)])
        model.compile(keras.optimizers.SGD(0.1), loss, **compiled)
        return model

    return build


def dense(size, activation=None, **given):
    return layers.Dense(size, activation, **given)


def masked():
    model = keras.Sequential(
        [
            keras.Input((7,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True),
            layers.LSTM(5, return_sequences=True),
        ]
    )
    model.add(layers.Dense(9))
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"], weighted_metrics=["accuracy"])
    return model


def several():
    inputs = {"age": keras.Input((6,), name="age"), "item": keras.Input((), dtype="int64", name="item")}
    both = layers.Concatenate()([inputs["age"], layers.Embedding(3, 2)(inputs["item"])])
    hidden = layers.Dense(8, "relu")(both)
    outputs = {"price": layers.Dense(2, name="price")(hidden), "buys": layers.Dense(1, "sigmoid", name="buys")(hidden)}
    model = keras.Model(inputs, outputs)
    model.compile(
        "sgd",
        {"price": "mse", "buys": "binary_crossentropy"},
        loss_weights={"price": 0.3, "buys": 2.0},
        metrics={"price": ["mae"], "buys": ["accuracy", keras.metrics.AUC(20, name="auc")]},
        weighted_metrics={"buys": [keras.metrics.Recall(name="recall")]},
    )
    return model


class Variational(keras.Model):
    """A loss of its own, a metric of its own, and no target."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = layers.Dense(3), layers.Dense(6)
        self.penalty = keras.metrics.Mean(name="penalty")

    def call(self, inputs, training=False):
        code = self.encoder(inputs)
        penalty = 0.01 * keras.ops.mean(keras.ops.square(code))
        self.add_loss(keras.ops.mean(keras.ops.square(self.decoder(code) - inputs)) + penalty)
        self.penalty.update_state(penalty)
        return self.decoder(code)


def variational():
    model = Variational()
    model(keras.ops.zeros((1, 6)))
    model.compile("sgd")
    return model


@dataclass(frozen=True)
class Case:
    build: Any
    data: Dataset
    given: dict[str, Any] = field(default_factory=dict)


CASES = {
    "one-hot, weighted": Case(
        sequential(
            dense(3, "softmax"), loss="categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["acc"]
        ),
        data(X, ONE_HOT, WEIGHTS),
    ),
    "weights of classes": Case(
        sequential(
            dense(3, "softmax"), loss="sparse_categorical_crossentropy", metrics=["acc"], weighted_metrics=["acc"]
        ),
        data(X, CLASSES),
        {"class_weight": {0: 5.0, 2: 0.5}},
    ),
    "binary logits": Case(
        sequential(dense(1), loss=losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy", "AUC"]),
        data(X, YES_OR_NO),
    ),
    "hinge, summed": Case(
        sequential(dense(1, "tanh"), loss=losses.Hinge(reduction="sum"), metrics=["accuracy", "hinge"]),
        data(X, YES_OR_NO),
    ),
    "several labels": Case(
        sequential(dense(4, "sigmoid"), loss="binary_focal_crossentropy", metrics=["binary_accuracy", "Precision"]),
        data(X, LABELS),
    ),
    "quantities": Case(
        sequential(
            dense(8, "relu", kernel_regularizer="l2"),
            dense(2),
            loss="huber",
            metrics=["mae", keras.metrics.R2Score(), keras.metrics.RootMeanSquaredError(name="rmse")],
        ),
        data(X, QUANTITIES),
    ),
    "a quantity, weighted": Case(
        sequential(dense(1), loss=losses.MeanSquaredError("mean_with_sample_weight"), weighted_metrics=["mae"]),
        data(X, QUANTITIES[:, 0], WEIGHTS),
    ),
    "masked tokens": Case(masked, data(TOKENS, np.roll(TOKENS, -1, axis=1))),
    "masked tokens, each weighted": Case(masked, data(TOKENS, TOKENS, RANDOM.uniform(size=(300, 7)))),
    "several inputs and outputs": Case(
        several, data({"age": X, "item": CLASSES}, {"price": QUANTITIES, "buys": YES_OR_NO[:, None].astype(np.float32)})
    ),
    "several outputs, each weighted": Case(
        several,
        data(
            {"age": X, "item": CLASSES},
            {"price": QUANTITIES, "buys": YES_OR_NO},
            {"price": WEIGHTS, "buys": WEIGHTS[::-1].copy()},
        ),
    ),
    "no target": Case(variational, data(X, None)),
    "images of bytes": Case(
        sequential(
            layers.Conv2D(2, 3),
            layers.Flatten(),
            dense(3),
            loss=losses.SparseCategoricalCrossentropy(True),
            shape=(5, 5, 1),
        ),
        data(RANDOM.integers(256, size=(300, 5, 5, 1)).astype(np.uint8), CLASSES),
        {"metrics": metric_specs([])},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_job_is_fit_and_an_evaluation_evaluate(name):
    case = CASES[name]
    trainer = toy_trainer(case.build, dataset=case.data, **{"metrics": None, **case.given})
    job = job_of(trainer, "d", 6)
    (update,) = trainer.train([job])
    model = case.build()
    class_weight = {"class_weight": case.given["class_weight"]} if "class_weight" in case.given else {}
    weights, _, history = fit_job(model, trainer, job, case.data, **class_weight)
    np.testing.assert_allclose(update.weights, weights, rtol=2e-5, atol=2e-6)
    assert update.metrics == pytest.approx({shown(key): values[0] for key, values in history.items()}, rel=2e-5)
    test = case.data.test
    expected = model.evaluate(model_inputs(test.x), test.y, 32, sample_weight=test.weight, verbose=0, return_dict=True)
    (score,) = trainer.evaluate([model_of(update)])
    assert {"loss": score.loss, **score.metrics} == pytest.approx(
        {shown(key): value for key, value in expected.items()}, rel=2e-4
    )
    assert [metric.name for metric in trainer.metrics] == list(score.metrics)


def shown(name: str) -> str:
    return name.replace(" ", "_")


@pytest.mark.parametrize(
    ("dataset", "weights", "message"),
    [
        (data(X, QUANTITIES), {0: 2}, "class_weight is for one target that is a class"),
        (data(X, CLASSES, WEIGHTS), {0: 2}, "toy has sample weights: multiply"),
        (data(X, CLASSES), {3: 2}, "has the class 3, expected 0 to 2"),
    ],
)
def test_weights_of_classes_that_cannot_be_are_refused(dataset, weights, message):
    with pytest.raises(ConfigurationError, match=message):
        toy_trainer(CASES["weights of classes"].build, dataset=dataset, class_weight=weights)


def test_targets_beyond_those_of_the_loss_are_refused():
    build = CASES["binary logits"].build
    with pytest.raises(ConfigurationError, match=r"targets from 0 to 1, and those of the train part of toy go from -"):
        toy_trainer(build, dataset=data(X, QUANTITIES[:, 0]))


def test_built_in_models_and_losses_follow_the_task():
    for dataset, loss, names in (
        (data(X, QUANTITIES), losses.MeanSquaredError, []),
        (data(X, LABELS), losses.BinaryCrossentropy, []),
        (data(X, ONE_HOT), losses.CategoricalCrossentropy, ["accuracy"]),
        (data(X, CLASSES), losses.SparseCategoricalCrossentropy, ["accuracy"]),
    ):
        trainer = toy_trainer(resolve("mlp", dataset.task), optimizer="sgd", dataset=dataset, metrics=None)
        assert type(trainer._pool.slots[0].built.model.loss) is loss
        assert [metric.name for metric in trainer.metrics] == names
    with pytest.raises(ConfigurationError, match=r"is for one input and for classes, labels or quantities"):
        resolve("mlp", CASES["several inputs and outputs"].data.task)


def test_accuracy_of_a_logit_is_above_zero_unless_the_model_brings_its_own():
    a_quarter = keras.initializers.Constant(0.25)
    logit = dense(1, kernel_initializer="zeros", bias_initializer=a_quarter)
    loss = losses.BinaryCrossentropy(from_logits=True)
    all_of_one = data(X, np.arange(300) % 300 != 7)  # the other class is in the training part only

    def accuracy(named, **compiled):
        trainer = toy_trainer(sequential(logit, loss=loss, **compiled), dataset=all_of_one, metrics=named)
        return trainer.evaluate([trainer.initial()])[0].metrics["accuracy"]

    assert accuracy(None) == 1.0
    assert accuracy(metric_specs(["accuracy"])) == 1.0
    assert accuracy(None, metrics=["accuracy"]) == 0.0  # Keras: above 0.5


def test_named_metrics_are_of_one_output_and_weighted_if_it_is_said():
    trainer = toy_trainer(
        several,
        dataset=CASES["several outputs, each weighted"].data,
        metrics=metric_specs(
            [
                {"name": "mae", "output": "price"},
                {"name": "accuracy", "output": "buys"},
                {"name": "recall", "output": "buys", "weighted": True},
            ]
        ),
    )
    everything = toy_trainer(several, dataset=CASES["several outputs, each weighted"].data, metrics=None)
    (named,), (compiled,) = (one.evaluate([one.initial()]) for one in (trainer, everything))
    assert list(named.metrics) == ["price_mae", "buys_accuracy", "buys_recall"]
    assert named.metrics.items() <= compiled.metrics.items()
    assert compiled.metrics["price_loss"] > 0
    with pytest.raises(ConfigurationError, match=r"must say of which output it is, .* one of 'price', 'buys'"):
        toy_trainer(several, dataset=CASES["several outputs, each weighted"].data, metrics=metric_specs(["mae"]))


@pytest.mark.parametrize("name", ["masked tokens", "masked tokens, each weighted"])
def test_perplexity_is_of_the_tokens_that_are_not_masked(name):
    weighted = "weighted" in name
    specs = metric_specs([{"name": "perplexity", "weighted": weighted}, "accuracy"])
    trainer = toy_trainer(masked, dataset=CASES[name].data, metrics=specs)
    (score,) = trainer.evaluate([trainer.initial()])
    test, model = CASES[name].data.test, trainer._pool.slots[0].built.model
    logits = model.predict(test.x, verbose=0)
    log_p = np.take_along_axis(logits - np.log(np.exp(logits).sum(-1, keepdims=True)), np.asarray(test.y)[..., None], 2)
    weights = (np.asarray(test.x) > 0) * (test.weight if weighted else 1.0)
    expected = np.exp(-(log_p[..., 0] * weights).sum() / weights.sum())
    assert score.metrics["perplexity"] == pytest.approx(expected, rel=1e-4)
