"""Examples come back from one step of training: exactly by the closed form, nearly by matching gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gossipfl.attacks.likeness import psnr
from gossipfl.audits.membership import membership
from gossipfl.audits.model import ModelUnderAttack
from gossipfl.audits.observation import Facts, Observation
from gossipfl.audits.reconstruction import Attack, reconstruct
from gossipfl.data.examples import Examples
from gossipfl.data.task import Task
from gossipfl.errors import ConfigurationError
from gossipfl.training.models import softmax
from gossipfl.training.settings import TrainingSettings

SHAPE, CLASSES, RATE = (8, 8, 1), 4, 0.1
RNG = np.random.default_rng(5)
X = (np.indices((8, 8)).sum(0) / 14.0 * RNG.uniform(0.3, 1.0, (40, 1, 1)))[..., None].astype(np.float32)
X[:, 2:5, 3:6] = RNG.random((40, 1, 1, 1))
Y = RNG.integers(CLASSES, size=40).astype(np.int32)


def smooth() -> Any:
    """A convolution with sigmoid, for which there is no closed form, and gradients are smooth."""
    from keras import Input, Sequential, layers

    return Sequential(
        [Input(SHAPE), layers.Conv2D(6, 3, activation="sigmoid"), layers.Flatten(), layers.Dense(CLASSES, "softmax")]
    )


def under_attack(build: Callable[[], Any], **changes: Any) -> ModelUnderAttack:
    from gossipfl.training.keras.models import ModelRecipe
    from gossipfl.training.keras.state import schema_of

    task = Task("float32[8,8,1]", "int32[]", None, CLASSES, "classes")
    settings = TrainingSettings(optimizer={"name": "sgd", "learning_rate": RATE})
    models = ModelRecipe(build, task, settings, 0)
    (built,) = models.models(1)
    given = {"models": models, "schema": schema_of(built.layout.weights), "initial": built.stored.vectors}
    given |= {"constants": built.constants, "task": task, "value_range": (0.0, 1.0)}
    return ModelUnderAttack(Facts(**{**given, "batch_size": 1, "learning_rate": RATE, "seed": 0, **changes}))


def trained(model: ModelUnderAttack, examples: slice) -> Observation:
    """One step of SGD, as Keras makes it, from the first weights."""
    import keras

    before = model.facts.initial.weights
    built = model.fill(before)
    optimizer = keras.optimizers.SGD(RATE)
    optimizer.build(built.model.trainable_variables)
    built.model.compile(optimizer, built.model.loss)
    built.model.train_on_batch(X[examples], Y[examples])
    after = built.stored.vectors.weights
    return Observation("a", "b", before, after, 1)


@pytest.fixture(scope="module")
def convolution() -> ModelUnderAttack:
    return under_attack(smooth)


def test_a_softmax_gives_its_one_example_back_exactly() -> None:
    model = under_attack(lambda: softmax(SHAPE, CLASSES))
    found = reconstruct(trained(model, slice(3, 4)), model)
    assert found.attack == Attack.CLOSED_FORM
    assert np.square(found.images - X[3]).mean() < 1e-12
    assert found.labels.tolist() == [Y[3]]


def test_a_softmax_gives_a_batch_of_different_classes_back_too() -> None:
    one_of_each = [int(np.flatnonzero(label == Y)[0]) for label in range(CLASSES - 1)]
    model = under_attack(lambda: softmax(SHAPE, CLASSES), batch_size=CLASSES - 1)
    found = reconstruct(trained(model, one_of_each), model)  # type: ignore[arg-type]
    assert all(np.square(found.images - X[number]).mean(axis=(1, 2, 3)).min() < 1e-10 for number in one_of_each)
    assert found.labels.tolist() == [0, 1, 2]


def test_matching_the_direction_of_a_gradient_comes_near(convolution: ModelUnderAttack) -> None:
    observation = trained(convolution, slice(7, 8))
    found = reconstruct(observation, convolution, iterations=150)
    assert found.attack == Attack.INVERTED_GRADIENTS
    assert found.labels.tolist() == [Y[7]]
    blind = psnr(X[7], convolution.guesses(1)[0], 1.0)
    assert psnr(X[7], found.images[0], 1.0) > blind + 8


def test_deep_leakage_finds_inputs_and_labels_together(convolution: ModelUnderAttack) -> None:
    found = reconstruct(trained(convolution, slice(7, 8)), convolution, 200, Attack.DEEP_LEAKAGE)
    assert found.labels.tolist() == [Y[7]]
    assert psnr(X[7], found.images[0], 1.0) > 25


def test_a_convolution_has_no_closed_form(convolution: ModelUnderAttack) -> None:
    with pytest.raises(ConfigurationError, match="no dense one with a bias"):
        reconstruct(trained(convolution, slice(7, 8)), convolution, attack=Attack.CLOSED_FORM)


def test_a_model_that_did_not_move_or_was_destroyed_gives_nothing() -> None:
    model = under_attack(lambda: softmax(SHAPE, CLASSES))
    before = model.facts.initial.weights
    for after in (before, np.full_like(before, np.nan)):
        assert len(reconstruct(Observation("a", "b", before, after, 1), model).images) == 0


def test_members_are_told_by_a_model_that_knows_them_better_than_those_of_others() -> None:
    model = under_attack(lambda: softmax(SHAPE, CLASSES))
    own, other = (trained(model, part).after for part in (slice(0, 20), slice(20, 40)))
    examples = Examples(X, Y)
    plain = membership(own, examples, model)
    beside = membership(own, examples, model, [other])
    assert plain.shape == beside.shape == (40,)
    assert beside == pytest.approx(plain - membership(other, examples, model))
    assert beside[:20].mean() > beside[20:].mean()
