"""What a scenario leaves to each peer, or freezes, trains as the same variables do in a model without such patterns."""

from dataclasses import replace

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from fit_oracle import job_of, model_of, toy_trainer  # noqa: E402
from keras import layers  # noqa: E402
from toy_data import toy_dataset  # noqa: E402
from toy_models import compiled  # noqa: E402

from gossipfl.actions import Evaluate  # noqa: E402
from gossipfl.errors import ConfigurationError, SchemaMismatchError  # noqa: E402
from gossipfl.training.sharing import SharingPatterns  # noqa: E402
from gossipfl.weights import NOTHING, StoredModel  # noqa: E402

pytestmark = pytest.mark.slow

LOCAL = SharingPatterns(local=("norm", "head"))


def body_and_head(freeze=False):
    backbone = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(6, "relu", name="dense"), layers.BatchNormalization()],
        name="backbone",
    )
    backbone.trainable = not freeze
    return compiled(
        keras.optimizers.SGD(0.05, momentum=0.9),
        backbone,
        layers.Dense(5, "relu", name="middle"),
        layers.BatchNormalization(name="norm"),
        layers.Dense(10, "softmax", name="head"),
    )


def names(schema):
    return ["/".join(name.split("/")[-2:]) for name in schema.names]


@pytest.fixture(scope="module")
def shared():
    return toy_trainer(body_and_head)


@pytest.fixture(scope="module", params=[10**6, 0], ids=["in groups", "one a call"])
def trainer(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gossipfl.training.keras.slot.MAX_GROUPED_FLOATS", request.param)
        return toy_trainer(body_and_head, sharing=LOCAL)


def by_name(trainer, weights, statistics, local):
    vectors = ((trainer.schema, weights), (trainer.statistics_schema, statistics), (trainer.local_schema, local))
    return {
        name: array.tobytes()
        for schema, one in vectors
        for name, array in zip(names(schema), schema.unflatten(one), strict=True)
    }


def test_what_is_local_is_of_both_kinds(trainer):
    head = ["head/kernel", "head/bias"]
    assert names(trainer.local_schema) == ["norm/gamma", "norm/beta", *head, "norm/moving_mean", "norm/moving_variance"]
    assert not {*names(trainer.local_schema)} & {*names(trainer.schema), *names(trainer.statistics_schema)}
    assert trainer.initial().local.size == 5 * 4 + 60


def test_it_trains_to_the_bits_that_it_has_when_all_is_averaged(trainer, shared):
    updates, others = (one.train([job_of(one, "a", 5), job_of(one, "d", 3)]) for one in (trainer, shared))
    for update, other in zip(updates, others, strict=True):
        assert by_name(trainer, update.weights, update.statistics, update.state["local"]) == by_name(
            shared, other.weights, other.statistics, NOTHING
        )
        assert update.metrics == other.metrics
        (score,) = trainer.evaluate([model_of(update)])
        (expected,) = shared.evaluate([model_of(other)])
        assert score == expected
    again = trainer.train([replace(job_of(trainer, "a", 2, first_step=3), weights=update.weights, state=update.state)])
    assert (again[0].state["local"] != update.state["local"]).any()


def test_only_what_is_shared_is_corrected(trainer):
    c = np.full(trainer.schema.size, 0.25, np.float32)
    wants = frozenset({"gradient_sum"})
    (plain,) = trainer.train([job_of(trainer, "a", 1, wants=wants)])
    (corrected,) = trainer.train([job_of(trainer, "a", 1, vectors={"c": c}, wants=wants)])
    np.testing.assert_allclose(corrected.weights, plain.weights - 0.05 * c, atol=1e-6)
    assert corrected.state["local"].tobytes() == plain.state["local"].tobytes()
    assert corrected.vectors["gradient_sum"].size == trainer.schema.size
    assert corrected.vectors["gradient_sum"].tobytes() == plain.vectors["gradient_sum"].tobytes()
    np.testing.assert_allclose(
        plain.vectors["gradient_sum"] * -0.05, plain.weights - trainer.initial().weights, atol=1e-6
    )


def test_models_are_scored_with_it(trainer):
    initial = trainer.initial()
    other = replace(initial, local=initial.local + 1)
    job = Evaluate("b", 0, (initial, other), 0, 1)
    for first, second in (trainer.evaluate([initial, other]), trainer.score([job])[0].scores):
        assert first != second
    with pytest.raises(SchemaMismatchError, match=r"local part of model 0: shape \(0,\), the model has \(80,\)"):
        trainer.evaluate([replace(initial, local=NOTHING)])
    with pytest.raises(SchemaMismatchError, match="state 'local' of job 1 of peer 'a'"):
        trainer.train([job_of(trainer, "a", 1, state={"local": NOTHING})])


def test_what_is_frozen_is_as_if_the_layer_were():
    """A whole layer no longer moves its statistics either."""
    trainer = toy_trainer(body_and_head, sharing=SharingPatterns(frozen=("backbone",)))
    by_hand = toy_trainer(lambda: body_and_head(freeze=True))
    assert [*trainer.constants.names] == [*by_hand.constants.names]
    assert trainer.constants.digest == by_hand.constants.digest
    updates = [one.train([job_of(one, "a", 4)])[0] for one in (trainer, by_hand)]
    assert updates[0].weights.tobytes() == updates[1].weights.tobytes()
    assert updates[0].statistics.tobytes() == updates[1].statistics.tobytes()
    assert trainer.optimizer_size == by_hand.optimizer_size  # no momenta of what never moves


def test_single_variables_can_be_frozen():
    trainer = toy_trainer(body_and_head, sharing=SharingPatterns(frozen=("*/bias", "!head")))
    assert {name.split("/")[-2] for name in trainer.constants.names} == {"dense", "middle"}


def test_a_model_is_filled_with_all_of_it():
    from gossipfl.training.keras.models import ModelRecipe
    from gossipfl.training.settings import TrainingSettings

    recipe = ModelRecipe(body_and_head, toy_dataset().task, TrainingSettings(sharing=LOCAL), 5)
    stored = recipe.models(1)[0].stored
    model = recipe.filled(StoredModel(replace(stored.vectors, local=stored.vectors.local + 2)))
    assert (model.get_layer("norm").moving_mean.numpy() == 2).all()
    assert (model.get_layer("head").bias.numpy() == 2).all()
    assert (model.get_layer("middle").bias.numpy() == 0).all()


@pytest.mark.parametrize(
    ("sharing", "expected"),
    [
        (SharingPatterns(local=("heads",)), "'heads' fits no variable of the model. Did you mean 'head'"),
        (
            SharingPatterns(local=("dense",)),
            "fits no .* Did you mean 'backbone/dense'.* There are backbone/dense/kernel, .* and 2 more",
        ),
        (SharingPatterns(local=("*",)), "sharing.local names all trainable variables"),
        (SharingPatterns(frozen=("*",)), "has no trainable variables left by sharing.frozen"),
        (SharingPatterns(frozen=("norm/moving_mean",)), "which training changes without a gradient"),
    ],
)
def test_patterns_that_cannot_be_are_refused(sharing, expected):
    with pytest.raises(ConfigurationError, match=expected):
        toy_trainer(body_and_head, sharing=sharing)
