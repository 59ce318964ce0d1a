"""Metrics are those of `fit` and `evaluate`, in training and in evaluation, wherever it is cut."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from fit_oracle import SameBatches, fit_job, job_of, model_of, toy_trainer  # noqa: E402
from keras import layers  # noqa: E402
from toy_data import SIZES, toy_batches, toy_dataset  # noqa: E402

from gossipfl.actions import Evaluate  # noqa: E402
from gossipfl.errors import ConfigurationError  # noqa: E402
from gossipfl.scores import Metric  # noqa: E402
from gossipfl.training.keras.metrics import KerasMetrics, PlainAccuracy  # noqa: E402
from gossipfl.training.keras.run_metrics import Perplexity  # noqa: E402
from gossipfl.training.metrics import metric_spec, metric_specs  # noqa: E402

pytestmark = pytest.mark.slow


class Largest(keras.metrics.Metric):
    """The largest output of all examples: no sum of what the batches give."""

    def __init__(self, name="largest"):
        super().__init__(name=name)
        self.value = self.add_variable((), "zeros", name="value")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.value.assign(keras.ops.maximum(self.value, keras.ops.max(y_pred)))

    def result(self):
        return 1.0 * self.value


def agreement(y_true, y_pred):
    return keras.ops.take_along_axis(y_pred, keras.ops.cast(y_true, "int32")[:, None], axis=1)[:, 0]


def build(metrics=None, weighted=None):
    stack = [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(12, "relu"), layers.Dense(10, "softmax")]
    model = keras.Sequential(stack)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=metrics, weighted_metrics=weighted)
    return model


def many():
    return build(
        ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(3, name="top3"), agreement],
        [keras.metrics.SparseCategoricalCrossentropy(), Largest()],
    )


def filled(trainer, vectors, model):
    for variable, values in zip(model.trainable_variables, trainer.schema.unflatten(vectors.weights), strict=True):
        variable.assign(values)
    return model


def evaluated(model, x, y):
    return model.evaluate(x, y, batch_size=32, verbose=0, return_dict=True)


@pytest.mark.parametrize("max_grouped_floats", [10**6, 0], ids=["grouped", "single"])
def test_what_the_model_is_compiled_with_is_what_fit_and_evaluate_give(max_grouped_floats, monkeypatch):
    monkeypatch.setattr("gossipfl.training.keras.slot.MAX_GROUPED_FLOATS", max_grouped_floats)
    trainer = toy_trainer(many, slots=2, metrics=None)
    names = ["accuracy", "top3", "agreement", "sparse_categorical_crossentropy", "largest"]
    assert [metric.name for metric in trainer.metrics] == names
    assert [metric.higher_is_better for metric in trainer.metrics] == [True, True, None, False, None]
    jobs = [job_of(trainer, peer, -(-size // 16)) for peer, size in SIZES.items()]
    updates = trainer.train(jobs)
    model, x, y = many(), toy_dataset().test.x, toy_dataset().test.y
    for job, update in zip(jobs, updates, strict=True):
        _, _, history = fit_job(model, trainer, job)
        assert update.metrics == pytest.approx({name: values[0] for name, values in history.items()}, rel=1e-5)
    models = [*map(model_of, updates)]
    scores = trainer.evaluate(models)
    (own,) = trainer.score([Evaluate("d", 1, tuple(models), 0, 4)])
    batches = SameBatches(toy_dataset(), toy_batches(), jobs[-1]).batches
    d = np.concatenate(batches)
    for update, score, mine in zip(updates, scores, own.scores, strict=True):
        filled(trainer, update, model)
        for one, (inputs, labels) in ((score, (x, y)), (mine, (toy_dataset().train.x[d], toy_dataset().train.y[d]))):
            assert {"loss": one.loss, **one.metrics} == pytest.approx(evaluated(model, inputs, labels), rel=1e-5)
    assert scores == [trainer.evaluate([one])[0] for one in models]


ONE_HOT = [
    {"name": "auc", "num_thresholds": 50, "multi_label": True},
    {"name": "f1_score", "average": "macro"},
    {"name": "recall", "class_id": 3, "top_k": 1, "as": "recall_of_3"},
    "precision",
    "categorical_crossentropy",
]


def test_what_the_run_names_is_made_for_the_targets():
    named = ["accuracy", "crossentropy", "perplexity", "sparse_top_k_categorical_accuracy", *ONE_HOT]
    trainer = toy_trainer(build, slots=2, metrics=metric_specs(named))
    update = model_of(*trainer.train([job_of(trainer, "d", 30)]))
    scores = trainer.evaluate([trainer.initial(), update])
    model = keras.Model((made := build()).inputs, made.outputs)
    one_hot = [
        keras.metrics.AUC(50, multi_label=True, name="auc"),
        keras.metrics.F1Score("macro", name="f1_score"),
        keras.metrics.Recall(class_id=3, top_k=1, name="recall_of_3"),
        keras.metrics.Precision(name="precision"),
        "categorical_crossentropy",
    ]
    model.compile(loss="categorical_crossentropy", metrics=["accuracy", "top_k_categorical_accuracy", *one_hot])
    x, y = toy_dataset().test.x, np.eye(10, dtype=np.float32)[toy_dataset().test.y]
    for vectors, score in zip((trainer.initial(), update), scores, strict=True):
        expected = evaluated(filled(trainer, vectors, model), x, y)
        expected["sparse_top_k_categorical_accuracy"] = expected.pop("top_k_categorical_accuracy")
        expected["perplexity"] = np.exp(expected["loss"])
        expected["crossentropy"] = expected.pop("loss")
        assert score.metrics == pytest.approx(expected, rel=1e-4)
    assert {type(metric) for metric in trainer._format.counting.tracked} >= {Perplexity, keras.metrics.AUC}


def test_arrays_become_a_metric_for_each_of_their_numbers():
    trainer = toy_trainer(build, metrics=metric_specs(["f1_score", "accuracy"]))
    assert [metric.name for metric in trainer.metrics] == [*(f"f1_score_{label}" for label in range(10)), "accuracy"]
    (score,) = trainer.evaluate([trainer.initial()])
    assert list(score.metrics) == [metric.name for metric in trainer.metrics]


def test_a_metric_of_the_model_can_be_chosen_and_given_its_direction():
    specs = metric_specs([{"name": "agreement", "higher_is_better": True, "unit": "share"}, "mae"][:1])
    trainer = toy_trainer(many, metrics=specs)
    assert trainer.metrics == (Metric("agreement"),)
    everything = toy_trainer(many, metrics=None)
    (chosen,), (whole,) = (one.evaluate([one.initial()]) for one in (trainer, everything))
    assert chosen.metrics == {"agreement": whole.metrics["agreement"]}
    with pytest.raises(ConfigurationError, match=r"no metric 'agrement' in Keras, nor is .* Did you mean 'agreement'"):
        toy_trainer(many, metrics=metric_specs([{"name": "agrement", "higher_is_better": True}]))


def test_accuracy_alone_is_counted_in_short_and_is_the_same_number():
    short = toy_trainer(build, metrics=metric_specs(["accuracy"]))
    assert isinstance(short._format.counting, PlainAccuracy)
    assert isinstance(toy_trainer(lambda: build(["accuracy"]), metrics=None)._format.counting, PlainAccuracy)
    long = toy_trainer(lambda: build(["accuracy", agreement]), metrics=None)
    assert isinstance(long._format.counting, KerasMetrics)
    models = [short.initial(), *map(model_of, short.train([job_of(short, peer, 9) for peer in SIZES]))]
    for one, other in zip(short.evaluate(models), long.evaluate(models), strict=True):
        assert one.loss == other.loss
        assert np.float32(one.metrics["accuracy"]) == np.float32(other.metrics["accuracy"])
        assert other.metrics["accuracy"] == pytest.approx(one.metrics["accuracy"], abs=1e-9)  # of 100: as it is written


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (["mean_iou"], r"metric 'mean_iou': MeanIoU does not take"),
        ([{"name": "auc", "num_threshold": 3}], r"metric 'auc': AUC does not take .*num_threshold"),
        ([{"name": "mae", "output": "price"}], r"is of the output 'price', but the model has .output_0."),
        (["binary_io_u"], r"metric 'binary_io_u' does not take targets of shape \[N\] and outputs of shape \[N, 10\]"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused(named, message):
    with pytest.raises(ConfigurationError, match=message):
        toy_trainer(build, metrics=metric_specs(named))


def test_a_metric_that_takes_the_name_of_the_loss_is_refused():
    """`fit` would show it as the loss, and here it would not be seen at all."""
    with pytest.raises(ConfigurationError, match=r"a metric of model .* is called 'loss', .*: give it another name"):
        toy_trainer(lambda: build([keras.metrics.SparseCategoricalAccuracy(name="loss")]), metrics=None)


def test_every_metric_of_keras_that_compares_has_a_direction():
    classes = {name for name, one in vars(keras.metrics).items() if isinstance(one, type)}
    for name in classes - {"Metric", "Mean", "Sum", "MeanMetricWrapper", "Accuracy"}:
        assert metric_spec(name).keras_name == name
        assert metric_spec(name).metric.higher_is_better is not None


def test_a_metric_that_is_not_a_number_fails_nothing():
    trainer = toy_trainer(lambda: build([lambda y_true, y_pred: 0 * keras.ops.log(-y_pred[:, 0])]), metrics=None)
    (update,) = trainer.train([job_of(trainer, "a", 2)])
    (score,) = trainer.evaluate([model_of(update)])
    assert np.isfinite([update.metrics["loss"], score.loss]).all()
    assert all(map(np.isnan, score.metrics.values()))


class Noisy(keras.layers.Layer):
    """Noise whenever it is called, in an evaluation, too."""

    def __init__(self):
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(3)

    def call(self, inputs):
        return inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.seed_generator)


def test_a_model_that_draws_in_an_evaluation_draws_the_same_with_any_number_of_slots():
    def build():
        model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), Noisy(), keras.layers.Dense(10)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    one, two = (toy_trainer(build, slots=slots) for slots in (1, 2))
    models = [one.initial()] * 3
    assert two.evaluate(models) == one.evaluate(models)
