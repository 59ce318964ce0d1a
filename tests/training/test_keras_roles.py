"""Every variable of a model has a role, and training, evaluation, files and peers treat each role on purpose."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from fit_oracle import job_of, model_of, toy_models, toy_trainer  # noqa: E402
from keras import layers  # noqa: E402
from toy_data import BATCH_SIZE, toy_batches, toy_dataset, toy_task  # noqa: E402
from toy_models import compiled, softmax_sgd  # noqa: E402

from gossipfl.errors import ConfigurationError, SchemaMismatchError, TrainingError  # noqa: E402
from gossipfl.training.keras.models import ModelRecipe  # noqa: E402
from gossipfl.training.settings import TrainingSettings  # noqa: E402
from gossipfl.weights import LARGEST_INTEGER, Constants, ModelVectors, StoredModel  # noqa: E402

pytestmark = pytest.mark.slow


class Meter(layers.Layer):
    """Counts the calls of training, marks some of them, and has numbers that nothing changes."""

    def __init__(self, first=0, by=1, counter_dtype="int32", **given):
        super().__init__(**given)
        self.first, self.by, self.counter_dtype = first, by, counter_dtype

    def build(self, input_shape):
        start = keras.initializers.Constant(self.first)
        given = {"shape": (), "trainable": False}
        self.calls = self.add_weight(name="calls", dtype=self.counter_dtype, initializer=start, **given)
        self.many = self.add_weight(name="many", dtype="bool", initializer="zeros", **given)
        self.scale = self.add_weight(name="scale", initializer="ones", **given)
        self.table = self.add_weight(name="table", shape=(3,), dtype="int64", initializer="ones", trainable=False)

    def call(self, inputs, training=False):
        if training:
            self.calls.assign_add(self.by)
            keras.ops.cond(self.calls > 5, lambda: _value(self.many.assign(True)), lambda: 0)
        return inputs * self.scale / (1 + keras.ops.cast(self.calls, "float32") / 100)


def _value(_):
    return 0


def everything():
    frozen_norm = layers.BatchNormalization(trainable=False, name="frozen_norm")
    inner = keras.Sequential([keras.Input((6,)), layers.Dropout(0.2), layers.Dense(6, trainable=False)], name="inner")
    return compiled(
        keras.optimizers.Adam(0.01),
        layers.Flatten(),
        layers.Dense(6, name="head"),
        layers.BatchNormalization(name="norm"),
        frozen_norm,
        inner,
        Meter(name="meter"),
        layers.SpectralNormalization(layers.Dense(10, "softmax", name="last"), name="spectral"),
    )


def recipe_of(build, seed=5):
    return ModelRecipe(build, toy_task(8, 8, 1), TrainingSettings(), seed)


def names(variables):
    return {"/".join(variable.path.split("/")[-2:]) for variable in variables}


def test_roles_are_what_training_makes_of_variables():
    layout = recipe_of(everything).models(1)[0].layout
    assert names(layout.weights) == {
        *(f"{layer}/{part}" for layer in ("head", "last") for part in ("kernel", "bias")),
        "norm/gamma",
        "norm/beta",
    }
    floats = {"norm/moving_mean", "norm/moving_variance", "spectral/vector_u"}
    assert names(layout.statistics) == {*floats, "meter/calls", "meter/many"}
    assert [variable.name for variable in layout.statistics[-2:]] == ["calls", "many"]  # after all floats
    frozen_norm = {f"frozen_norm/{part}" for part in ("gamma", "beta", "moving_mean", "moving_variance")}
    assert names(layout.constants) >= {*frozen_norm, "meter/scale", "meter/table"}
    assert sum(variable.path.endswith(("kernel", "bias")) for variable in layout.constants) == 2
    assert len(layout.seeds) == 1
    assert layout.optimizer[-1].name == "iteration"
    assert len(layout.optimizer) == 2 * len(layout.weights) + 1


@pytest.mark.parametrize("max_grouped_floats", [10**6, 0])
def test_a_models_integers_are_trained_averaged_evaluated_and_exported(max_grouped_floats, monkeypatch):
    monkeypatch.setattr("gossipfl.training.keras.slot.MAX_GROUPED_FLOATS", max_grouped_floats)
    trainer, models = toy_trainer(everything), toy_models(everything)
    first, second = trainer.train([job_of(trainer, "a", 3), job_of(trainer, "d", 8)])
    assert first.statistics[-2:].tolist() == [3, 0]
    assert second.statistics[-2:].tolist() == [8, 1]
    again = job_of(trainer, "a", 2, weights=first.weights, statistics=first.statistics, state=first.state)
    assert trainer.train([again])[0].statistics[-2] == 5
    mean = ModelVectors(first.weights, (first.statistics + second.statistics) / 2)
    assert mean.statistics[-2:].tolist() == [5.5, 0.5]
    model = models.filled(StoredModel(mean, trainer.constants))
    assert model.get_layer("meter").calls.numpy() == 6
    assert not model.get_layer("meter").many.numpy()
    dataset = toy_dataset()
    for vectors in (model_of(first), model_of(second), mean):
        (score,) = trainer.evaluate([vectors])
        model = models.filled(StoredModel(vectors, trainer.constants))
        exported = model.evaluate(dataset.test.x, dataset.test.y, batch_size=32, verbose=0)
        assert exported == pytest.approx([score.loss, score.metrics["accuracy"]], rel=1e-5)


def test_integers_that_float32_does_not_have_are_refused():
    def build(first, by):
        return compiled("sgd", layers.Flatten(), Meter(first, by, "int64"), layers.Dense(10, "softmax"))

    with pytest.raises(ConfigurationError, match="calls', which training changes, has integers beyond 16777216"):
        toy_trainer(lambda: build(LARGEST_INTEGER + 1, 1))
    trainer = toy_trainer(lambda: build(0, LARGEST_INTEGER))
    assert trainer.train([job_of(trainer, "a", 1)])[0].statistics[-2] == LARGEST_INTEGER
    with pytest.raises(TrainingError, match="an integer variable of the model has grown beyond 16777216"):
        trainer.train([job_of(trainer, "a", 2)])


def test_what_comes_from_others_never_leaves_the_range_of_an_integer():
    trainer = toy_trainer(everything)
    initial = trainer.initial()
    statistics = initial.statistics.copy()
    statistics[-2:] = 3e38, -3e38
    model = toy_models(everything).filled(StoredModel(ModelVectors(initial.weights, statistics), trainer.constants))
    assert model.get_layer("meter").calls.numpy() == LARGEST_INTEGER
    assert not model.get_layer("meter").many.numpy()
    assert np.isfinite(trainer.evaluate([ModelVectors(initial.weights, statistics)])[0].loss)


def frozen_backbone():
    return compiled(
        "sgd", layers.Flatten(), layers.Dense(16, "relu", trainable=False), Meter(), layers.Dense(10, "softmax")
    )


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_constants_come_from_a_file_and_go_into_every_slot_and_model(suffix, tmp_path):
    elsewhere, trainer = toy_trainer(frozen_backbone, seed=6), toy_trainer(frozen_backbone, slots=2)
    models = toy_models(frozen_backbone)
    path = tmp_path / f"model{suffix}"
    pretrained = toy_models(frozen_backbone, seed=6).filled(StoredModel(elsewhere.initial(), elsewhere.constants))
    if suffix == ".keras":
        keras.utils.get_custom_objects()["Meter"] = Meter
        try:
            pretrained.save(path)
            stored = models.read(path)
        finally:
            del keras.utils.get_custom_objects()["Meter"]
    else:
        pretrained.save_weights(path)
        stored = models.read(path)
    assert stored.constants.digest == elsewhere.constants.digest != trainer.constants.digest
    before = trainer.evaluate([stored.vectors])
    trainer.set_constants(stored.constants)
    assert trainer.constants.digest == elsewhere.constants.digest
    assert trainer.evaluate([stored.vectors] * 3) == elsewhere.evaluate([elsewhere.initial()] * 3) != before * 3
    jobs = [job_of(trainer, peer, 3, weights=stored.vectors.weights) for peer in "ad"]
    for mine, theirs in zip(trainer.train(jobs), elsewhere.train(jobs), strict=True):
        np.testing.assert_array_equal(mine.weights, theirs.weights)
    x = toy_dataset().test.x
    np.testing.assert_array_equal(models.filled(stored)(x), pretrained(x))
    with pytest.raises(SchemaMismatchError, match="there are 0 constants, the model has 4"):
        trainer.set_constants(Constants())
    turned = Constants(stored.constants.names, tuple(array.T for array in stored.constants.arrays))
    with pytest.raises(SchemaMismatchError, match=r"has shape \(16, 64\), the model has \(64, 16\)"):
        trainer.set_constants(turned)


def adam(t, memory, g, lr=0.02):
    m, v = memory or (0, 0)
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7), (m, v)


def nadam(t, memory, g, lr=0.02):
    m, v, product = memory or (0, 0, 1)
    u, u_next = (0.9 * (1 - 0.5 * 0.96**i) for i in (t, t + 1))
    product *= u
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    m_hat = u_next * m / (1 - product * u_next) + (1 - u) * g / (1 - product)
    return lr * m_hat / (np.sqrt(v / (1 - 0.999**t)) + 1e-7), (m, v, product)


@pytest.mark.parametrize("step", [adam, nadam])
@pytest.mark.parametrize("max_grouped_floats", [10**6, 0])
def test_a_reset_optimizer_is_a_hand_written_loop_that_begins_anew(step, max_grouped_floats, monkeypatch):
    monkeypatch.setattr("gossipfl.training.keras.slot.MAX_GROUPED_FLOATS", max_grouped_floats)
    optimizer = {"name": step.__name__, "learning_rate": 0.02}
    batches = toy_batches(shuffle=False)
    trainer = toy_trainer(softmax_sgd, optimizer=optimizer, batches=batches)
    dataset = toy_dataset()
    x, y = dataset.train.x.reshape(len(dataset.train.x), -1), np.eye(10)[dataset.train.y]
    weights = trainer.initial().weights
    expected = [part.astype(np.float64) for part in trainer.schema.unflatten(weights)]
    done = 0
    for num_steps in (3, 2, 4):
        (update,) = trainer.train([job_of(trainer, "d", num_steps, first_step=done, weights=weights)])
        weights = update.weights
        memories = [None, None]
        chosen, sizes = batches.indices("d", done, num_steps)
        for t, batch in enumerate(np.split(chosen, np.cumsum(sizes)[:-1]), 1):
            assert len(batch) <= BATCH_SIZE
            kernel, bias = expected
            logits = x[batch] @ kernel + bias
            p = np.exp(logits - logits.max(1, keepdims=True))
            error = (p / p.sum(1, keepdims=True) - y[batch]) / len(batch)
            for i, gradient in enumerate((x[batch].T @ error, error.sum(0))):
                change, memories[i] = step(t, memories[i], gradient)
                expected[i] = expected[i] - change
        done += num_steps
        assert update.state["optimizer"][-1] == num_steps
    flat = np.concatenate([part.ravel() for part in expected])
    np.testing.assert_allclose(weights, flat, rtol=0, atol=1e-3)  # tiny gradients, of which Adam takes the sign


def test_a_scaled_optimizer_with_a_schedule_follows_the_step_of_the_peer():
    def build(inner):
        return compiled(keras.optimizers.LossScaleOptimizer(inner), layers.Flatten(), layers.Dense(10, "softmax"))

    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([4], [0.1, 0.0])
    trainer = toy_trainer(lambda: build(keras.optimizers.SGD(schedule)))
    start = trainer.initial().weights
    moves = {
        first: np.abs(trainer.train([job_of(trainer, "d", 2, first_step=first)])[0].weights - start).max()
        for first in (0, 5)
    }
    assert moves[0] > 0
    assert moves[5] == 0


def half_precision(scale, optimizer=None):
    def build():
        policy = "mixed_float16"
        optimizer_ = keras.optimizers.SGD(0.1) if optimizer is None else optimizer()
        return compiled(
            keras.optimizers.LossScaleOptimizer(optimizer_, initial_scale=scale),
            layers.Flatten(dtype=policy),
            layers.Dense(16, "relu", dtype=policy),
            layers.Dense(10, dtype=policy),
            layers.Activation("softmax", dtype="float32"),
        )

    return build


SUM = frozenset({"gradient_sum"})


@pytest.mark.parametrize("max_grouped_floats", [10**6, 0])
def test_a_step_that_mixed_precision_skips_is_in_no_sum(max_grouped_floats, monkeypatch):
    monkeypatch.setattr("gossipfl.training.keras.slot.MAX_GROUPED_FLOATS", max_grouped_floats)
    trainer = toy_trainer(half_precision(2.0**22))
    (update,) = trainer.train([job_of(trainer, "d", 12, wants=SUM)])
    assert 0 < update.num_skipped < 12
    assert update.num_applied == 12 - update.num_skipped
    moved = trainer.initial().weights - update.weights
    np.testing.assert_allclose(0.1 * update.vectors["gradient_sum"], moved, rtol=0, atol=1e-4)
    plain = trainer.train([job_of(trainer, "d", 12)])[0]
    np.testing.assert_array_equal(plain.weights, update.weights)
    assert plain.num_skipped == update.num_skipped
    # The scale has come down; whoever resets the optimizer does not begin to skip again.
    state = {name: part for name, part in update.state.items() if name != "optimizer"}
    assert state["loss_scale"][0] == 2.0 ** (22 - update.num_skipped)
    rest = job_of(trainer, "d", 4, first_step=12, weights=update.weights, state=state)
    assert trainer.train([rest])[0].num_skipped == 0


def test_a_round_without_an_applied_step_leaves_the_weights_alone():
    trainer = toy_trainer(half_precision(2.0**60))
    (update,) = trainer.train([job_of(trainer, "d", 3, wants=SUM)])
    assert update.num_applied == 0
    assert not update.vectors["gradient_sum"].any()
    np.testing.assert_array_equal(update.weights, trainer.initial().weights)


def test_several_optimizers_in_one_each_keep_their_schedule():
    def build():
        decay = keras.optimizers.schedules.PiecewiseConstantDecay([4], [0.1, 0.0])
        others = keras.optimizers.OptimizerMap(keras.optimizers.SGD(decay), {".*/bias": keras.optimizers.Adam(0.01)})
        return compiled(keras.optimizers.MultiOptimizer(others), layers.Flatten(), layers.Dense(10, "softmax"))

    trainer = toy_trainer(build)
    (update,) = trainer.train([job_of(trainer, "d", 2, first_step=5)])
    kernel, bias = trainer.schema.unflatten(update.weights - trainer.initial().weights)
    assert not kernel.any()
    assert bias.any()


def test_names_of_variables_do_not_depend_on_the_models_before():
    def build():
        return compiled(keras.optimizers.SGD(0.1), layers.Flatten(), layers.Dense(6), layers.Dense(10, "softmax"))

    first, second = toy_trainer(build, slots=2), toy_trainer(build, seed=2)
    assert second.schema.names == first.schema.names


def test_a_step_whose_gradient_is_accumulated_for_later_is_not_a_skipped_one():
    trainer = toy_trainer(half_precision(1.0, lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)))
    (update,) = trainer.train([job_of(trainer, "d", 12, wants=SUM)])
    assert update.num_skipped == 0
    moved = trainer.initial().weights - update.weights
    np.testing.assert_allclose(0.05 * update.vectors["gradient_sum"], moved, rtol=0, atol=1e-4)
