"""What slots cannot train is refused before anything runs, with the reason."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from fit_oracle import job_of, toy_trainer  # noqa: E402
from keras import layers  # noqa: E402
from toy_data import toy_batches, toy_dataset  # noqa: E402
from toy_models import softmax_sgd  # noqa: E402

from gossipfl.errors import ConfigurationError  # noqa: E402

pytestmark = pytest.mark.slow


def stack(*last, kind=keras.Sequential):
    return kind([keras.Input((8, 8, 1)), layers.Flatten(), *(last or [layers.Dense(10, "softmax")])])


def compiled(model, loss="sparse_categorical_crossentropy", optimizer="sgd", **given):
    model.compile(optimizer, loss, **given)
    return model


def two_inputs():
    inputs = [keras.Input((8, 8, 1)), keras.Input((3,))]
    flat = layers.Concatenate()([layers.Flatten()(inputs[0]), inputs[1]])
    return compiled(keras.Model(inputs, layers.Dense(10, "softmax")(flat)))


def two_outputs():
    image = keras.Input((8, 8, 1))
    flat = layers.Flatten()(image)
    model = keras.Model(image, [layers.Dense(10)(flat), layers.Dense(10)(flat)])
    model.compile("sgd")
    return model


class Noise(layers.Layer):
    def call(self, inputs):
        return inputs + keras.random.normal((64,))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (two_inputs, r"does not take the data's examples \(float32\[8,8,1\]\): .*expects 2 named input"),
        (two_outputs, r"targets \(int32\[\]\) do not suggest one: compile it with its loss"),
        (lambda: compiled(stack(layers.Dense(7, "softmax"))), r"outputs of shape \[N, 7\]: it wants 10 outputs"),
        (lambda: compiled(stack(layers.Dense(1, "sigmoid"))), r"outputs of shape \[N, 1\]: .* one output per class"),
        (lambda: compiled(stack(layers.Dense(1, "sigmoid")), "binary_crossentropy"), r"the classes are 0 to 9"),
        (lambda: compiled(stack(), "binary_crossentropy"), r"it wants a target for every output"),
        (
            lambda: compiled(keras.Sequential([keras.Input((5,)), layers.Dense(10)])),
            r"does not take the data's examples .*: invalid input shape: expected shape \(None, 5\), but input has",
        ),
        (
            lambda: compiled(keras.Sequential([keras.Input((8, 8, 3)), layers.Dense(10)])),
            r"does not take the data's examples \(float32\[8,8,1\]\): Input 0 .* layer .* to have value 3, but",
        ),
        (
            lambda: compiled(stack(), "categorical_crossentropy"),
            r"'categorical_crossentropy' does not fit targets of shape \[N\] and outputs of shape \[N, 10\]",
        ),
        (lambda: compiled(stack(), "mse"), "'mean_squared_error' does not fit"),
        (lambda: compiled(stack(), keras.losses.KLDivergence()), "'kl_divergence' does not fit"),
        (lambda: compiled(stack(), keras.losses.SparseCategoricalCrossentropy(reduction=None)), "expected a scalar"),
        (lambda: compiled(stack(), run_eagerly=True), "run_eagerly=True"),
        (lambda: stack(), "is not compiled and training.optimizer is not given"),
        (lambda: compiled(stack(), optimizer=keras.optimizers.SGD(0.1, use_ema=True)), "use_ema"),
        (lambda: None, "returned a NoneType, expected a keras.Model"),
        (lambda: compiled(stack(layers.Dense(10, "softmax", trainable=False))), "no trainable variables"),
        (lambda: compiled(stack(layers.Dense(10, "softmax", dtype="float64"))), "dtype float64"),
    ],
)
def test_refused_models(build, message):
    with pytest.raises(ConfigurationError, match=message):
        toy_trainer(build)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"optimizer": {"name": "addam"}},
            "training.optimizer is 'addam', .* Did you mean 'adam'",
        ),
        ({"optimizer": {"name": "sgd", "learning_rte": 0.1}}, "training.optimizer: SGD does not take .*learning_rte"),
        ({"optimizer": {"name": "adam", "clipnorm": "a"}}, "training.optimizer .*clipnorm.* cannot make a step"),
        ({"optimizer": {"name": "sgd", "global_clipnorm": [1]}}, "training.optimizer .* cannot make a step"),
        (
            {"optimizer": {"name": "sgd", "learning_rate": {"name": "cosine_decy"}}},
            "training.optimizer.learning_rate is 'cosine_decy', .*'cosine_decay'",
        ),
        (
            {"optimizer": "sgd", "loss": "sparse_crossentropy"},
            "training.loss is 'sparse_crossentropy', which Keras does not have. Did you mean",
        ),
        ({"optimizer": "sgd", "loss": {"name": "hinge", "margin": 1}}, "Hinge does not take"),
    ],
)
def test_refused_settings(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        toy_trainer(stack, **settings)


def test_an_unknown_last_layer_needs_an_explicit_loss():
    def build():
        return stack(layers.Dense(10), layers.LeakyReLU())

    with pytest.raises(ConfigurationError, match=r"cannot tell whether .* gives logits or probabilities"):
        toy_trainer(build, optimizer="sgd")
    loss = {"name": "sparse_categorical_crossentropy", "from_logits": True}
    trainer = toy_trainer(build, optimizer="sgd", loss=loss)
    assert trainer.train([job_of(trainer, "a", 1)])[0].num_examples == 16


def test_models_and_optimizers_must_be_new_at_each_call():
    model = softmax_sgd()
    with pytest.raises(ConfigurationError, match="at each call"):
        toy_trainer(lambda: model, slots=2)
    optimizer = keras.optimizers.SGD(0.1)
    with pytest.raises(ConfigurationError, match="at each call"):
        toy_trainer(lambda: compiled(stack(), optimizer=optimizer), slots=2)


def test_variables_that_all_peers_would_share_are_refused():
    trainer = toy_trainer(lambda: compiled(stack(Noise(), layers.Dense(10, "softmax"))))
    with pytest.raises(ConfigurationError, match=r"variables that are not its own: .*seed_generator_state"):
        trainer.train([job_of(trainer, "a", 1)])


@pytest.mark.parametrize("slots", [1, 2])
def test_layers_that_are_older_than_the_model_may_be_frozen_ones_only(slots):
    layer = layers.Dense(6, "relu", name="older")
    layer.build((None, 64))
    with pytest.raises(ConfigurationError, match=r"'older/kernel' was there before the model function was called"):
        toy_trainer(lambda: compiled(stack(layer, layers.Dense(10, "softmax"))), slots=slots)
    layer.trainable = False
    assert toy_trainer(lambda: compiled(stack(layer, layers.Dense(10, "softmax"))), slots=slots).schema.size == 70


def test_frozen_variables_stay_out_of_the_vectors_and_equal_in_all_slots():
    def build():
        return compiled(stack(layers.Dense(6, "relu", trainable=False), layers.Dense(10, "softmax")))

    trainer = toy_trainer(build, slots=2)
    assert trainer.schema.size == 6 * 10 + 10
    assert trainer.statistics_schema.size == 0
    jobs = [job_of(trainer, "a", 3), job_of(trainer, "a", 3)]
    first, second = trainer.train(jobs)  # one in each slot
    np.testing.assert_array_equal(first.weights, second.weights)
    random = np.random.default_rng()

    def unequal():
        model = build()
        model.layers[1].kernel.assign(random.normal(size=(64, 6)))
        return model

    with pytest.raises(ConfigurationError, match="different values to the frozen variable"):
        toy_trainer(unequal, slots=2)


def test_shards_of_another_data_set_are_refused():
    with pytest.raises(ConfigurationError, match=r"name example 249.*only 200 training examples"):
        toy_trainer(softmax_sgd, batches=type(toy_batches())({"a": np.arange(250)}, 10, False, 0))
    with pytest.raises(ConfigurationError, match="slots must be >= 1"):
        toy_trainer(softmax_sgd, dataset=toy_dataset(), slots=0)


def test_xla_is_left_out_whatever_the_model_asks():
    trainer = toy_trainer(lambda: compiled(stack(), jit_compile=True))
    plain = toy_trainer(lambda: compiled(stack()))
    left, right = (made.train([job_of(made, "a", 3)])[0] for made in (trainer, plain))
    np.testing.assert_array_equal(left.weights, right.weights)
