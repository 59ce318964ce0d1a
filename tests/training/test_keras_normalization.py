"""Normalization layers: which inputs go through them, and that their constants are what is calculated with."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from fit_oracle import toy_trainer  # noqa: E402
from keras import layers  # noqa: E402
from toy_data import toy_dataset, toy_task  # noqa: E402

from gossipfl.data.conversion import model_inputs  # noqa: E402
from gossipfl.data.examples import Examples  # noqa: E402
from gossipfl.data.task import Task  # noqa: E402
from gossipfl.errors import ConfigurationError  # noqa: E402
from gossipfl.training.keras.models import ModelRecipe  # noqa: E402
from gossipfl.training.keras.normalization import normalized_inputs  # noqa: E402
from gossipfl.training.models import resolve  # noqa: E402
from gossipfl.training.normalization import NormalizedInput  # noqa: E402
from gossipfl.training.settings import TrainingSettings  # noqa: E402
from gossipfl.weights import StoredModel  # noqa: E402

pytestmark = pytest.mark.slow

TWO_INPUTS = Task({"age": "int64[]", "image": "float32[8,8,1]"}, "int32[]", None, 10, "classes")


IMAGES = toy_task(8, 8, 1)


def inputs_of(build, task=IMAGES):
    return normalized_inputs(ModelRecipe(build, task, TrainingSettings("sgd"), 5), task)


def stack(*parts, loss="sparse_categorical_crossentropy"):
    model = keras.Sequential([keras.Input((8, 8, 1)), *parts, layers.Flatten(), layers.Dense(10, "softmax")])
    model.compile("sgd", loss)
    return model


def two_inputs():
    age, image = keras.Input((1,), name="age"), keras.Input((8, 8, 1), name="image")
    body = keras.Sequential([layers.Normalization((1, 2), name="pixels"), layers.Flatten()], name="body")
    joined = layers.Concatenate()([layers.Normalization(name="years")(age), body(image)])
    model = keras.Model({"age": age, "image": image}, layers.Dense(10, "softmax")(joined))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.flat, self.last = layers.Normalization(), layers.Flatten(), layers.Dense(10, "softmax")
        self.first.build((None, 8, 8, 1))  # which Keras cannot do by itself within another model's first call

    def call(self, x):
        return self.last(self.flat(self.first(x)))


def subclassed():
    model = Subclassed()
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("name", ["softmax", "mlp", "cnn"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8)])
def test_built_in_models_have_one_by_channels(name, shape):
    task = toy_task(*shape)
    (found,) = inputs_of(resolve(name, task, normalizes=True), task)
    num_features = 8 if shape == (8, 8) and name != "cnn" else 1
    assert (found.place, found.shape, found.num_features) == ("x", shape, num_features)


def test_inputs_of_every_kind_of_model():
    years, pixels = sorted(inputs_of(two_inputs, TWO_INPUTS), key=lambda one: one.layer != "years")
    assert (years.place, years.num_features, pixels.place, pixels.num_features) == ("x['age']", 1, "x['image']", 64)
    (found,) = inputs_of(subclassed)
    assert (found.place, found.num_features) == ("x", 1)
    (behind_dropout,) = inputs_of(lambda: stack(layers.Dropout(0.5), layers.Normalization(None)))
    assert behind_dropout.num_features == 1


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: stack(), "none with variables of its own"),
        (lambda: stack(layers.Normalization(mean=0.5, variance=2.0)), "none with variables of its own"),
        (lambda: stack(layers.Rescaling(0.5), layers.Normalization()), "does not take an input of the data as it is"),
        (lambda: stack(layers.Normalization(), layers.Normalization()), "does not take an input of the data as it is"),
    ],
)
def test_models_without_a_place_for_the_statistics_are_refused(build, reason):
    with pytest.raises(ConfigurationError, match=reason):
        inputs_of(build)


def test_the_statistics_are_those_that_keras_finds():
    random = np.random.default_rng(3)
    x = {"age": random.integers(90, size=40), "image": random.random((40, 8, 8, 1), np.float32)}
    adapted, models = two_inputs(), ModelRecipe(two_inputs, TWO_INPUTS, TrainingSettings(), 5)
    (built,) = models.models(1)
    constants = built.constants
    for one in normalized_inputs(models, TWO_INPUTS):
        ((features, counts),) = one.features(Examples(x))
        assert counts is None
        constants = one.with_statistics(constants, features.mean(axis=0), features.var(axis=0))
    adapted.get_layer("years").adapt(x["age"][:, None])
    adapted.get_layer("body").get_layer("pixels").adapt(x["image"])
    built.set_constants(constants)
    for mine, theirs in zip(built.layout.constants, adapted.non_trainable_variables, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-5)
    for mine, theirs in zip(built.model.trainable_variables, adapted.trainable_variables, strict=True):
        mine.assign(theirs)
    np.testing.assert_allclose(built.model(x), adapted(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num_channels", [1, 3])
def test_images_of_bytes_are_counted_by_value_and_channel(num_channels):
    pixels = np.random.default_rng(4).integers(200, size=(9, 8, 8, num_channels)).astype(np.uint8)
    one = NormalizedInput("normalization", "x", (8, 8, num_channels), (3,), 0, 1)
    parts, in_floats = list(one.features(Examples(pixels))), list(one.features(Examples(model_inputs(pixels))))
    assert len(parts) == len(in_floats) == num_channels
    for (values, counts), (every, _) in zip(parts, in_floats, strict=True):
        assert values.shape == (256, 1)
        np.testing.assert_array_equal(np.sort(every[:, 0]), np.repeat(values[:, 0], counts))
    np.testing.assert_array_equal(in_floats[-1][0][:, 0], model_inputs(pixels)[..., -1].ravel())


def test_constants_are_calculated_with_in_graphs_that_were_there_before():
    def build():
        return stack(layers.Normalization())

    trainer, models = toy_trainer(build, slots=2), ModelRecipe(build, IMAGES, TrainingSettings(), 5)
    initial, test = trainer.initial(), toy_dataset().test
    before = trainer.evaluate([initial])
    (one,) = normalized_inputs(models, IMAGES)
    constants = one.with_statistics(trainer.constants, np.array([0.9]), np.array([0.25]))
    trainer.set_constants(constants)
    model = models.filled(StoredModel(initial, constants))
    assert trainer.evaluate([initial]) != before
    assert trainer.evaluate([initial])[0].loss == pytest.approx(model.evaluate(test.x, test.y, verbose=0), rel=1e-5)
