"""A model's own `train_step` and `test_step` run as `fit` and `evaluate` run them, or are refused with the reason."""

from dataclasses import replace

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from fit_oracle import fit_job, flat, job_of, model_of, toy_trainer  # noqa: E402
from keras import layers  # noqa: E402
from toy_data import toy_batches, toy_dataset  # noqa: E402

from gossipfl.errors import ConfigurationError  # noqa: E402
from gossipfl.scores import Metric  # noqa: E402
from gossipfl.training.keras.models import ModelRecipe  # noqa: E402
from gossipfl.training.metrics import MetricSpec  # noqa: E402
from gossipfl.training.settings import TrainingSettings  # noqa: E402
from gossipfl.training.sharing import SharingPatterns  # noqa: E402

pytestmark = pytest.mark.slow

CROSSENTROPY = "sparse_categorical_crossentropy"


def functional(kind, optimizer=None, **compiled):
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Dropout(0.3)(layers.Dense(6, "relu")(layers.Flatten()(inputs)))
    model = kind(inputs, layers.Dense(10, "softmax", name="head")(layers.BatchNormalization()(hidden)))
    model.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), CROSSENTROPY, **compiled)
    return model


def gradients(model, data):
    x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
    with tf.GradientTape() as tape:
        output = model(x, training=True)
        loss = model.compute_loss(x=x, y=y, y_pred=output, sample_weight=weight)
    return loss, output, tape.gradient(loss, model.trainable_weights)


class WithMetrics(keras.Model):
    """Says how good it is by its metrics, as Keras recommends."""

    def train_step(self, data):
        loss, output, found = gradients(self, data)
        self.optimizer.apply_gradients(zip([2 * one for one in found], self.trainable_weights, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=tf.shape(data[1])[0])
            else:
                metric.update_state(data[1], output)
        return {metric.name: metric.result() for metric in self.metrics}


class WithNumbers(WithMetrics):
    """Says how good it is by the numbers of a batch, and tests itself in its own way, too."""

    def train_step(self, data):
        loss, _, found = gradients(self, data)
        self.optimizer.apply(found)
        return {"loss": loss, "norms": {"of_bias": tf.norm(found[-1])}}

    def test_step(self, data):
        output = self(data[0], training=False)
        return {"loss": tf.reduce_mean(output), "number": tf.cast(tf.reduce_sum(data[1]), tf.float32)}


class Gan(keras.Model):
    """Two networks, two optimizers, random numbers and a counter of its own; `call` is left out, as is usual."""

    def __init__(self):
        super().__init__()
        self.judge = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1)], name="judge")
        self.forger = keras.Sequential(
            [keras.Input((3,)), layers.Dense(64), layers.Reshape((8, 8, 1)), layers.BatchNormalization()], name="forger"
        )
        self.seeds = keras.random.SeedGenerator(3)
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")
        self.judge_loss = keras.metrics.Mean(name="judge_loss")
        self.built = True

    def compile(self, *optimizers):
        super().compile()
        self.judge_optimizer, self.others = optimizers[0], [*optimizers[1:]]

    def train_step(self, data):
        noise = keras.random.normal((tf.shape(data[0])[0], 3), seed=self.seeds)
        self.calls.assign_add(1.0)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.judge(self.forger(noise)) - self.judge(data[0]))
        self.judge_optimizer.apply(tape.gradient(loss, self.judge.trainable_weights), self.judge.trainable_weights)
        with tf.GradientTape() as tape:
            forger_loss = -tf.reduce_mean(self.judge(self.forger(noise, training=True)))
        found = tape.gradient(forger_loss, self.forger.trainable_weights)
        self.others[0].apply(found, self.forger.trainable_weights)
        self.judge_loss.update_state(loss)
        return {"judge_loss": self.judge_loss.result(), "forger_loss": forger_loss}

    def test_step(self, data):
        self.judge_loss.update_state(self.judge(data[0]))
        return {"loss": self.judge_loss.result(), "last": tf.reduce_mean(self.judge(data[0]))}


def gan():
    model = Gan()
    model.compile(keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.01, momentum=0.5))
    return model


def with_metrics():
    return functional(WithMetrics, metrics=["accuracy"])


def with_schedule():
    return functional(WithMetrics, keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)))


def with_numbers():
    return functional(WithNumbers)


@pytest.fixture(scope="module", params=[10**6, 0], ids=["in groups", "one a call"])
def gan_trainer(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gossipfl.training.keras.slot.MAX_GROUPED_FLOATS", request.param)
        return toy_trainer(gan)


def seeds_of(trainer):
    return np.array([7, 0] * (trainer.train([job_of(trainer, "c", 1)])[0].state["seeds"].size // 2))


@pytest.mark.parametrize("build", [with_metrics, with_schedule])
def test_a_train_step_is_that_of_fit(build):
    trainer = toy_trainer(build)
    job = job_of(trainer, "d", 5, state={"seeds": seeds_of(trainer)})
    (update,) = trainer.train([job])
    weights, statistics, history = fit_job(build(), trainer, job)
    np.testing.assert_allclose(update.weights, weights, atol=1e-6)  # BatchNorm: to rounding
    np.testing.assert_allclose(update.statistics, statistics, atol=1e-6)
    assert update.metrics.keys() == history.keys()
    assert update.metrics == pytest.approx({name: values[0] for name, values in history.items()}, rel=1e-6)
    (score,) = trainer.evaluate([model_of(update)])  # by its loss and metrics, as any model
    assert "accuracy" in score.metrics


def test_numbers_of_batches_count_with_their_examples():
    trainer = toy_trainer(with_numbers)
    first, *others = (
        trainer.train([job_of(trainer, "a", steps, state={"seeds": seeds_of(trainer)})])[0] for steps in (1, 2, 3)
    )
    sizes, num_examples = (
        toy_batches().indices("a", 0, 3)[1],
        [first.num_examples, *(one.num_examples for one in others)],
    )
    assert list(np.cumsum(sizes)) == num_examples
    losses = [one.metrics["loss"] * one.num_examples for one in (first, *others)]
    single = trainer.train([replace(job_of(trainer, "a", 1, first_step=2), **vectors_of(others[0]))])[0]
    assert losses[2] - losses[1] == pytest.approx(single.metrics["loss"] * sizes[2], rel=1e-4)
    assert set(first.metrics) == {"loss", "of_bias"}


def vectors_of(update):
    return {"weights": update.weights, "statistics": update.statistics, "state": update.state}


def test_a_test_step_is_that_of_evaluate():
    trainer, dataset = toy_trainer(with_numbers), toy_dataset()
    assert trainer.metrics == (Metric("number", None, "number"),)
    model = with_numbers()
    for variable, array in zip(
        model.trainable_variables, trainer.schema.unflatten(trainer.initial().weights), strict=True
    ):
        variable.assign(array)
    scores = trainer.evaluate([trainer.initial()] * 2)
    assert scores[0] == scores[1]
    sizes = [32, 32, 32, 4]
    sums = [dataset.test.y[start : start + 32].sum() for start in range(0, 100, 32)]
    assert scores[0].metrics["number"] == pytest.approx(np.dot(sizes, sums) / 100, rel=1e-6)
    expected = model.evaluate(dataset.test.x[:32], dataset.test.y[:32], batch_size=32, verbose=0, return_dict=True)
    assert expected["loss"] == pytest.approx(0.1) == scores[0].loss


def test_two_networks_and_their_optimizers_train_as_in_fit(gan_trainer):
    job = job_of(gan_trainer, "d", 4, state={"seeds": np.array([7, 0])})
    # The optimizer that `compile` makes, and nobody uses, has no part in it.
    assert gan_trainer.optimizer_size == (1 + 2 * 65) + (1 + 4 * 64 + 2)
    whole, _ = gan_trainer.train([job, job_of(gan_trainer, "a", 2)])
    weights, statistics, history = fit_job(gan(), gan_trainer, job)
    np.testing.assert_allclose(whole.weights, weights, atol=1e-6)
    np.testing.assert_allclose(whole.statistics, statistics, atol=1e-6)
    assert 4.0 in whole.statistics  # its counter
    assert whole.metrics["judge_loss"] == pytest.approx(history["judge_loss"][0], rel=1e-5)
    assert set(whole.metrics) == {"judge_loss", "forger_loss"}
    (first,) = gan_trainer.train([replace(job, num_steps=3)])
    (last,) = gan_trainer.train([replace(job, first_step=3, num_steps=1, **vectors_of(first))])
    assert last.weights.tobytes() == whole.weights.tobytes()
    assert last.state["optimizer"].tobytes() == whole.state["optimizer"].tobytes()


def test_results_of_metrics_run_on_to_the_end_of_an_evaluation(gan_trainer):
    models = [gan_trainer.initial(), model_of(gan_trainer.train([job_of(gan_trainer, "d", 3)])[0])]
    scores = gan_trainer.evaluate(models)
    assert scores == [gan_trainer.evaluate([model])[0] for model in models]
    assert scores[1].loss == pytest.approx(scores[1].metrics["last"], rel=1e-4) != scores[0].loss


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_files_are_read_whatever_their_optimizers_have(tmp_path):
    recipe = ModelRecipe(gan, toy_dataset().task, TrainingSettings(), 5)
    model = gan()  # whose optimizers have not built anything yet
    model.save_weights(tmp_path / "new.weights.h5")
    stored = recipe.read(tmp_path / "new.weights.h5")
    assert stored.vectors.weights.tobytes() == flat(model.trainable_variables).tobytes()


def test_what_is_local_of_two_networks_stays():
    trainer = toy_trainer(gan, sharing=SharingPatterns(local=("judge",)))
    (update,) = trainer.train([job_of(trainer, "a", 2)])
    assert update.state["local"].size == 65
    assert (update.state["local"] != trainer.initial().local).any()


@pytest.mark.parametrize(
    "given", [{"vectors": "c"}, {"vectors": "anchor", "proximal_mu": 0.1}, {"wants": "gradient_sum"}]
)
def test_algorithms_that_correct_gradients_are_refused(gan_trainer, given):
    asked = {**given}
    if "vectors" in given:
        asked["vectors"] = {given["vectors"]: gan_trainer.initial().weights}
    else:
        asked["wants"] = frozenset({given["wants"]})
    with pytest.raises(ConfigurationError, match=r"corrects or sums the gradients of peers .* train_step of its own"):
        gan_trainer.train([job_of(gan_trainer, "a", 1, **asked)])


def variant(name, step, base=WithMetrics, optimizer=None):
    return lambda: functional(type("Variant", (base,), {name: step}), optimizer() if optimizer else None)


def twice(self, data):
    for _ in range(2):
        _, _, found = gradients(self, data)
        self.optimizer.apply(found)
    return {"loss": 0.0}


def scheduled():
    return keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5))


def uncompiled_for_one():
    class Own(WithMetrics):
        def compile(self, optimizer, loss=None):
            super().compile(optimizer, loss)

    return functional(Own)


OUTSIDE = keras.optimizers.SGD(0.1, momentum=0.5, name="outside")


def made_outside():
    model = Gan()
    model.compile(keras.optimizers.Adam(), OUTSIDE)
    return model


@pytest.mark.parametrize(
    ("build", "given", "expected"),
    [
        (
            variant("train_step", lambda self, data: {"loss": tf.random.normal([])}),
            {},
            "draws random .*RandomStandardNormal",
        ),
        (variant("train_step", lambda self, data: [1.0]), {}, "the train_step .* returns a list, expected a dict"),
        (
            variant("train_step", lambda self, data: {"all": data[1]}),
            {},
            r"returns 'all' of shape \(2,\), expected a number",
        ),
        (variant("train_step", lambda self, data: {"loss": data[2]}), {}, "fails on a batch of the data: IndexError"),
        (
            variant("test_step", lambda self, data: {"accuracy": 1.0}),
            {},
            "test_step .* returns accuracy, and no 'loss'",
        ),
        (variant("train_step", twice, optimizer=scheduled), {}, "does not apply 'sgd.*' once and no more"),
        (
            variant("train_step", lambda self, data: {"loss": self.optimizer.learning_rate.assign(0.1) + 0}),
            {},
            "sets the learning rate of",
        ),
        (variant("train_step", tf.function(lambda self, data: {"loss": 0.0})), {}, "is decorated with tf.function"),
        (variant("make_train_function", lambda self, force=False: None), {}, "overrides make_train_function, which"),
        (uncompiled_for_one, {"optimizer": "adam"}, "has a compile of its own, so training.optimizer"),
        (made_outside, {}, "'outside/iteration' was there before"),
        (
            gan,
            {"metrics": (MetricSpec(Metric("accuracy"), "accuracy"),)},
            "'accuracy' is none of those .* returns, last",
        ),
    ],
)
def test_what_would_go_wrong_is_refused(build, given, expected):
    with pytest.raises(ConfigurationError, match=expected):
        toy_trainer(build, **given)
