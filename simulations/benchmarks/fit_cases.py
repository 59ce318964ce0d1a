"""The models and tasks on which a peer must do what `model.fit` does: 60 of them, small, and each with its own data.

A case is a function that builds and compiles a model as its author would, and the examples that `fit` would take. They
say nothing of gossipfl; `fit_matrix.py` lets both train.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import keras
import numpy as np
from keras import layers, losses, metrics, ops, optimizers

NUM_TRAIN, NUM_TEST = 60, 36
"""Of neither is the batch size a divisor: the last batch is a smaller one."""

CASES: dict[str, "Case"] = {}


@dataclass(frozen=True)
class Case:
    """A model and its examples: (x, y, weight) as `fit` takes them, those to train on before those that are held
    out."""

    build: Callable[[], keras.Model]
    x: Any
    y: Any
    weight: Any
    class_weight: Mapping[int, float] | None
    corrects: bool
    """False for a model whose own `train_step` applies the gradient, so that no algorithm can correct it."""


def case(x: Any, y: Any, weight: Any = None, class_weight: Mapping[int, float] | None = None, corrects: bool = True):
    """Lists the model that the function below builds."""

    def listed(build: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
        CASES[build.__name__] = Case(build, x, y, weight, class_weight, corrects)
        return build

    return listed


_random = np.random.default_rng(12)


def _normal(*shape: int) -> np.ndarray:
    return _random.normal(size=(NUM_TRAIN + NUM_TEST, *shape)).astype(np.float32)


def _integers(high: int, *shape: int, low: int = 0, dtype: Any = np.int32) -> np.ndarray:
    return _random.integers(low, high, size=(NUM_TRAIN + NUM_TEST, *shape)).astype(dtype)


TABLE = _normal(6)
CLASSES = (TABLE[:, :4] + _normal(4)).argmax(axis=1).astype(np.int32)
ONE_HOT = np.eye(4, dtype=np.float32)[CLASSES]
SOFT = (0.7 * ONE_HOT + 0.075).astype(np.float32)
YES = (TABLE[:, 0] + 0.5 * _normal() > 0).astype(np.int32)
TAGS = (TABLE[:, :5] > 0.3).astype(np.float32)
PRICE = (TABLE @ np.arange(1, 7, dtype=np.float32) / 5 + 0.3 * _normal()).astype(np.float32)
VECTOR = np.stack([PRICE, TABLE[:, 1], TABLE[:, 2] ** 2], axis=1)
COUNTS = _random.poisson(np.exp(0.3 * TABLE[:, 0])).astype(np.float32)
PHOTOS = _integers(256, 8, 8, 3, dtype=np.uint8)
GRAY = _integers(256, 8, 8, dtype=np.uint8)
SERIES = _normal(7, 3)
GAPS = np.where(np.arange(7)[None, :, None] < _integers(8, low=3)[:, None, None], SERIES, 0).astype(np.float32)
TOKENS = np.where(np.arange(9)[None] < _integers(10, low=4)[:, None], _integers(20, 9, low=1), 0).astype(np.int32)
NEXT = np.concatenate([TOKENS[:, 1:], np.zeros_like(TOKENS[:, :1])], axis=1)
WEIGHT = _random.uniform(0.2, 2, size=NUM_TRAIN + NUM_TEST).astype(np.float32)
PER_TOKEN = (TOKENS > 0).astype(np.float32)
LARGE_IDS = (_integers(50) + 2**24 + 1).astype(np.int64)
MIXED = {"table": TABLE, "id": LARGE_IDS}


def dense(*widths: int, last: layers.Layer, width: int = 6, dtype: Any = None) -> keras.Model:
    """A multi-layer perceptron on a table."""
    hidden = [layers.Dense(units, "relu", dtype=dtype) for units in widths]
    return keras.Sequential([keras.Input((width,)), *hidden, last])


def compiled(model: keras.Model, loss: Any, optimizer: Any = None, measured: Any = None, **given: Any) -> keras.Model:
    model.compile(optimizer or optimizers.SGD(0.05), loss, metrics=measured, **given)
    return model


def classifier(optimizer: Any = None, **given: Any) -> keras.Model:
    model = dense(8, last=layers.Dense(4, "softmax"))
    return compiled(model, "sparse_categorical_crossentropy", optimizer, ["accuracy"], **given)


def regressor(loss: Any = "mse", optimizer: Any = None, measured: Any = ("mae",), units: int = 1) -> keras.Model:
    return compiled(dense(8, last=layers.Dense(units)), loss, optimizer, list(measured))


# Classification


@case(TABLE, CLASSES)
def softmax() -> keras.Model:
    model = dense(last=layers.Dense(4, "softmax"))
    return compiled(model, "sparse_categorical_crossentropy", measured=["accuracy"])


@case(TABLE, CLASSES)
def logits_and_top_k() -> keras.Model:
    measured = [metrics.SparseTopKCategoricalAccuracy(2, name="top2"), metrics.SparseCategoricalAccuracy("right")]
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    return compiled(dense(8, last=layers.Dense(4)), loss, measured=measured)


@case(TABLE, ONE_HOT)
def one_hot() -> keras.Model:
    measured = [
        "accuracy",
        metrics.TopKCategoricalAccuracy(2, name="top2"),
        metrics.F1Score("macro", name="f1"),
        metrics.AUC(name="auc"),
    ]
    loss = losses.CategoricalCrossentropy(label_smoothing=0.1)
    return compiled(dense(8, last=layers.Dense(4, "softmax")), loss, optimizers.Adam(0.01), measured)


@case(TABLE, SOFT)
def soft_labels() -> keras.Model:
    return compiled(dense(8, last=layers.Dense(4, "softmax")), "kl_divergence", measured=["categorical_crossentropy"])


@case(TABLE, YES)
def binary() -> keras.Model:
    measured = ["accuracy", metrics.AUC(name="auc"), metrics.Precision(name="precision"), metrics.Recall(name="recall")]
    return compiled(dense(8, last=layers.Dense(1, "sigmoid")), "binary_crossentropy", measured=measured)


@case(TABLE, YES[:, None])
def binary_logits() -> keras.Model:
    measured = [metrics.BinaryAccuracy("right", threshold=0.0), metrics.AUC(from_logits=True, name="auc")]
    return compiled(dense(8, last=layers.Dense(1)), losses.BinaryCrossentropy(from_logits=True), measured=measured)


@case(TABLE, TAGS)
def several_labels() -> keras.Model:
    measured = [
        "binary_accuracy",
        metrics.AUC(multi_label=True, num_labels=5, name="auc"),
        metrics.F1Score(None, 0.5, "f1"),
    ]
    return compiled(dense(8, last=layers.Dense(5, "sigmoid")), "binary_crossentropy", measured=measured)


@case(TABLE, TAGS)
def focal() -> keras.Model:
    model = dense(8, last=layers.Dense(5, "sigmoid"))
    return compiled(
        model, losses.BinaryFocalCrossentropy(gamma=2.0), measured=[metrics.PrecisionAtRecall(0.5, name="precision")]
    )


@case(TABLE, (2 * YES - 1).astype(np.float32))
def hinge() -> keras.Model:
    measured = ["hinge", metrics.BinaryAccuracy("right", threshold=0.0)]
    return compiled(dense(8, last=layers.Dense(1, "tanh")), "hinge", measured=measured)


@case(TABLE, ONE_HOT)
def categorical_hinge() -> keras.Model:
    return compiled(dense(8, last=layers.Dense(4)), "categorical_hinge", measured=["categorical_accuracy"])


@case(PHOTOS, CLASSES)
def photos() -> keras.Model:
    stack = [layers.Conv2D(4, 3), layers.BatchNormalization(momentum=0.5), layers.ReLU(), layers.MaxPooling2D()]
    model = keras.Sequential([keras.Input((8, 8, 3)), *stack, layers.Flatten(), layers.Dense(4, "softmax")])
    return compiled(model, "sparse_categorical_crossentropy", measured=["accuracy"])


@case(GRAY, CLASSES)
def gray_photos_with_augmentation() -> keras.Model:
    stack = [layers.RandomFlip("horizontal"), layers.GaussianNoise(0.1), layers.Flatten(), layers.Dropout(0.3)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack, layers.Dense(4, "softmax")])
    return compiled(model, "sparse_categorical_crossentropy", measured=["accuracy"])


@case(PHOTOS, (GRAY // 86).astype(np.int32))
def segmentation() -> keras.Model:
    stack = [layers.Conv2D(4, 3, padding="same", activation="relu"), layers.Conv2D(3, 1, activation="softmax")]
    measured = ["accuracy", metrics.MeanIoU(3, "iou", sparse_y_pred=False)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *stack])
    return compiled(model, "sparse_categorical_crossentropy", measured=measured)


# Regression


@case(TABLE, PRICE)
def price() -> keras.Model:
    return regressor(measured=["mae", metrics.RootMeanSquaredError("rmse"), metrics.R2Score(name="r2")])


@case(TABLE, VECTOR)
def vector() -> keras.Model:
    return regressor("mae", measured=["mse", metrics.CosineSimilarity("cosine")], units=3)


@case(TABLE, PRICE)
def huber() -> keras.Model:
    return regressor(losses.Huber(0.5), measured=["mean_absolute_percentage_error"])


@case(TABLE, PRICE)
def log_cosh_of_rmsprop() -> keras.Model:
    return regressor("log_cosh", optimizers.RMSprop(0.01, momentum=0.5, centered=True, clipvalue=0.1))


@case(TABLE, COUNTS)
def poisson() -> keras.Model:
    return compiled(dense(8, last=layers.Dense(1, "exponential")), "poisson", measured=["poisson", "msle"])


@keras.saving.register_keras_serializable("fit-matrix")
def pinball(y_true: Any, y_pred: Any) -> Any:
    """The loss of the 0.8 quantile."""
    error = ops.reshape(y_true, ops.shape(y_pred)) - y_pred
    return ops.mean(ops.maximum(0.8 * error, -0.2 * error), axis=-1)


@case(TABLE, PRICE)
def own_loss_and_metric() -> keras.Model:
    return regressor(pinball, measured=[pinball, "mae"])


class Spread(metrics.Metric):
    """The largest error so far: no mean of anything."""

    def __init__(self, name: str = "spread", **given: Any) -> None:
        super().__init__(name=name, **given)
        self.largest = self.add_variable((), "zeros", name="largest")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        error = ops.max(ops.abs(ops.reshape(y_true, (-1,)) - ops.reshape(y_pred, (-1,))))
        self.largest.assign(ops.maximum(self.largest, error))

    def result(self) -> Any:
        return self.largest


@case(TABLE, PRICE)
def own_metric_that_is_no_mean() -> keras.Model:
    return regressor(measured=[Spread(), "mae"])


@case(TABLE, PRICE)
def sum_over_batch() -> keras.Model:
    return regressor(losses.MeanSquaredError(reduction="sum"), optimizers.SGD(0.002))


@case(TABLE, PRICE, WEIGHT)
def mean_with_sample_weight() -> keras.Model:
    return regressor(losses.MeanSquaredError(reduction="mean_with_sample_weight"))


@case(TABLE, PRICE)
def normalised_inputs() -> keras.Model:
    scale = layers.Normalization()
    scale.adapt(TABLE)
    model = keras.Sequential([keras.Input((6,)), scale, layers.Dense(8, "relu"), layers.Dense(1)])
    return compiled(model, "mse", measured=["mae"])


# Reconstruction, and losses of a model's own


@case(TABLE, TABLE)
def autoencoder() -> keras.Model:
    return compiled(dense(3, last=layers.Dense(6)), "mse", optimizers.Adam(0.01), ["mae"])


@case(GRAY, GRAY)
def autoencoder_of_bytes() -> keras.Model:
    stack = [layers.Conv2D(3, 3, padding="same"), layers.Conv2D(1, 3, padding="same", activation="sigmoid")]
    return compiled(keras.Sequential([keras.Input((8, 8, 1)), *stack]), "binary_crossentropy", measured=["mse"])


@keras.saving.register_keras_serializable("fit-matrix")
class Sampling(layers.Layer):
    """The latent of a variational autoencoder, with its divergence as a loss of the model's own."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.seeds = keras.random.SeedGenerator(4)

    def call(self, inputs: tuple[Any, Any]) -> Any:
        mean, log_variance = inputs
        divergence = ops.mean(ops.square(mean) + ops.exp(log_variance) - log_variance - 1)
        self.add_loss(0.05 * divergence)
        return mean + ops.exp(log_variance / 2) * keras.random.normal(ops.shape(mean), seed=self.seeds)


@case(TABLE, TABLE)
def variational_autoencoder() -> keras.Model:
    inputs = keras.Input((6,))
    hidden = layers.Dense(8, "relu")(inputs)
    latent = Sampling()((layers.Dense(2)(hidden), layers.Dense(2)(hidden)))
    model = keras.Model(inputs, layers.Dense(6)(layers.Dense(8, "relu")(latent)))
    return compiled(model, "mse", optimizers.Adam(0.01))


@keras.saving.register_keras_serializable("fit-matrix")
class Reconstruction(layers.Layer):
    """Adds the error of a reconstruction to the loss, so that there is no target."""

    def call(self, inputs: tuple[Any, Any]) -> Any:
        self.add_loss(ops.mean(ops.square(inputs[0] - inputs[1])))
        return inputs[1]


@case(TABLE, None)
def no_target() -> keras.Model:
    inputs = keras.Input((6,))
    model = keras.Model(inputs, Reconstruction()((inputs, layers.Dense(6)(layers.Dense(3, "relu")(inputs)))))
    return compiled(model, None)


@case(TABLE, CLASSES)
def regularised() -> keras.Model:
    hidden = layers.Dense(8, "relu", kernel_regularizer="l2", activity_regularizer="l1")
    model = keras.Sequential([keras.Input((6,)), hidden, layers.Dense(4, "softmax")])
    return compiled(model, "sparse_categorical_crossentropy", measured=["accuracy"])


# Several inputs and outputs


@case((TABLE, VECTOR), CLASSES)
def two_inputs() -> keras.Model:
    inputs = (keras.Input((6,)), keras.Input((3,)))
    model = keras.Model(inputs, layers.Dense(4, "softmax")(layers.Concatenate()(inputs)))
    return compiled(model, "sparse_categorical_crossentropy", measured=["accuracy"])


@case(MIXED, YES)
def named_inputs_with_large_ids() -> keras.Model:
    inputs = {"table": keras.Input((6,), name="table"), "id": keras.Input((), dtype="int64", name="id")}
    place = layers.Embedding(50, 4)(inputs["id"] - (2**24 + 1))
    joined = layers.Concatenate()([layers.Dense(4, "relu")(inputs["table"]), place])
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(joined))
    return compiled(model, "binary_crossentropy", optimizers.Adam(0.01), ["accuracy", metrics.AUC(name="auc")])


@case(TABLE, (CLASSES, PRICE))
def two_outputs() -> keras.Model:
    inputs = keras.Input((6,))
    hidden = layers.Dense(8, "relu")(inputs)
    model = keras.Model(inputs, (layers.Dense(4, "softmax", name="a")(hidden), layers.Dense(1, name="b")(hidden)))
    return compiled(model, ["sparse_categorical_crossentropy", "mse"], measured=[["accuracy"], ["mae"]])


def _named_outputs(**given: Any) -> keras.Model:
    inputs = keras.Input((6,))
    hidden = layers.Dense(8, "relu")(inputs)
    outputs = {"kind": layers.Dense(4, "softmax", name="kind")(hidden), "price": layers.Dense(1, name="price")(hidden)}
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizers.Adam(0.01),
        loss={"kind": "sparse_categorical_crossentropy", "price": "mse"},
        metrics={"kind": ["accuracy"], "price": ["mae"]},
        **given,
    )
    return model


@case(TABLE, {"kind": CLASSES, "price": PRICE})
def named_outputs_with_loss_weights() -> keras.Model:
    return _named_outputs(loss_weights={"kind": 1.0, "price": 0.3})


@case(TABLE, {"kind": CLASSES, "price": PRICE}, {"kind": WEIGHT, "price": WEIGHT[::-1].copy()})
def sample_weights_of_each_output() -> keras.Model:
    return _named_outputs(weighted_metrics={"kind": ["accuracy"], "price": ["mse"]})


# Sequences


@case(SERIES, PRICE)
def lstm() -> keras.Model:
    model = keras.Sequential([keras.Input((7, 3)), layers.LSTM(5), layers.Dense(1)])
    return compiled(model, "mse", optimizers.Adam(0.01), ["mae"])


@case(GAPS, CLASSES)
def gru_with_masking() -> keras.Model:
    stack = [layers.Masking(), layers.Bidirectional(layers.GRU(4, dropout=0.2)), layers.Dense(4, "softmax")]
    model = keras.Sequential([keras.Input((7, 3)), *stack])
    return compiled(model, "sparse_categorical_crossentropy", measured=["accuracy"])


@case(TOKENS, CLASSES)
def tokens_with_mask() -> keras.Model:
    stack = [layers.Embedding(20, 6, mask_zero=True), layers.LSTM(5), layers.Dense(4, "softmax")]
    model = keras.Sequential([keras.Input((9,), dtype="int32"), *stack])
    return compiled(model, "sparse_categorical_crossentropy", optimizers.Adam(0.01), ["accuracy"])


@case(TOKENS, NEXT)
def next_token_with_mask() -> keras.Model:
    stack = [layers.Embedding(20, 6, mask_zero=True), layers.GRU(5, return_sequences=True), layers.Dense(20)]
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model = keras.Sequential([keras.Input((9,), dtype="int32"), *stack])
    return compiled(model, loss, optimizers.Adam(0.01), ["sparse_categorical_accuracy"])


@case(TOKENS, NEXT, PER_TOKEN)
def next_token_with_a_weight_for_each() -> keras.Model:
    stack = [layers.Embedding(20, 6), layers.Conv1D(8, 3, padding="causal"), layers.Dense(20)]
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model = keras.Sequential([keras.Input((9,), dtype="int32"), *stack])
    return compiled(model, loss, measured=["accuracy"], weighted_metrics=["sparse_categorical_crossentropy"])


@case(TOKENS, NEXT)
def attention() -> keras.Model:
    inputs = keras.Input((9,), dtype="int32")
    x = layers.Embedding(20, 8)(inputs) + layers.Embedding(9, 8)(ops.arange(9))
    y = layers.LayerNormalization()(x)
    x = x + layers.MultiHeadAttention(2, 4, dropout=0.1)(y, y, use_causal_mask=True)
    x = layers.Dropout(0.1)(x + layers.Dense(8, "gelu")(layers.LayerNormalization()(x)))
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model = keras.Model(inputs, layers.Dense(20)(x))
    # A bias of keys has no gradient but rounding, which Adam would make steps of whole size of.
    optimizer = optimizers.AdamW(0.01, weight_decay=0.01, epsilon=1e-3)
    return compiled(model, loss, optimizer, ["accuracy"])


# Weights of examples and classes


@case(TABLE, CLASSES, WEIGHT)
def sample_weights() -> keras.Model:
    return classifier(weighted_metrics=["accuracy", metrics.SparseCategoricalCrossentropy(name="ce")])


@case(TABLE, CLASSES, class_weight={0: 1.0, 1: 2.5, 2: 0.5, 3: 1.5})
def class_weights() -> keras.Model:
    return classifier(weighted_metrics=["accuracy"])


@case(TABLE, YES, WEIGHT)
def weighted_auc() -> keras.Model:
    model = dense(8, last=layers.Dense(1, "sigmoid"))
    return compiled(
        model, "binary_crossentropy", weighted_metrics=[metrics.AUC(name="auc"), metrics.Recall(name="recall")]
    )


# Optimizers, schedules, precision


@case(TABLE, CLASSES)
def momentum() -> keras.Model:
    return classifier(optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipnorm=0.5))


@case(TABLE, CLASSES)
def global_norm() -> keras.Model:
    return classifier(optimizers.Adam(0.01, global_clipnorm=0.3, amsgrad=True))


@case(TABLE, CLASSES)
def schedule() -> keras.Model:
    return classifier(optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 3, 0.5, staircase=True), momentum=0.5))


@case(TABLE, CLASSES)
def cosine_schedule() -> keras.Model:
    return classifier(optimizers.Adam(optimizers.schedules.CosineDecay(0.001, 6, warmup_target=0.02, warmup_steps=3)))


@case(TABLE, CLASSES)
def gradient_accumulation() -> keras.Model:
    return classifier(optimizers.SGD(0.05, momentum=0.9, gradient_accumulation_steps=3))


@case(TABLE, CLASSES)
def weight_decay() -> keras.Model:
    return classifier(optimizers.Adamax(0.01, weight_decay=0.01))


@case(TABLE, CLASSES)
def lion() -> keras.Model:
    return classifier(optimizers.Lion(0.003, weight_decay=0.1))


@case(TABLE, CLASSES)
def nadam() -> keras.Model:
    return classifier(optimizers.Nadam(0.01))


@case(TABLE, CLASSES)
def adafactor() -> keras.Model:
    return classifier(optimizers.Adafactor(0.05))


@case(TABLE, CLASSES)
def bfloat16() -> keras.Model:
    model = dense(8, last=layers.Dense(4, "softmax", dtype="float32"), dtype="mixed_bfloat16")
    return compiled(model, "sparse_categorical_crossentropy", measured=["accuracy"])


@case(TABLE, CLASSES)
def float16_with_loss_scale() -> keras.Model:
    model = dense(8, last=layers.Dense(4, "softmax", dtype="float32"), dtype="mixed_float16")
    optimizer = optimizers.LossScaleOptimizer(optimizers.Adam(0.01), initial_scale=2.0**20, dynamic_growth_steps=3)
    return compiled(model, "sparse_categorical_crossentropy", optimizer, ["accuracy"])


# Variables of all kinds


@case(TABLE, CLASSES)
def norms_and_dropout() -> keras.Model:
    stack = [layers.Dense(8), layers.BatchNormalization(momentum=0.5), layers.ReLU(), layers.Dropout(0.3)]
    more = [layers.Dense(8, "tanh"), layers.GroupNormalization(2), layers.SpectralNormalization(layers.Dense(4))]
    model = keras.Sequential([keras.Input((6,)), *stack, *more, layers.Softmax()])
    return compiled(model, "sparse_categorical_crossentropy", measured=["accuracy"])


@case(TABLE, CLASSES)
def lora() -> keras.Model:
    hidden = layers.Dense(8, "relu")
    model = keras.Sequential([keras.Input((6,)), hidden, layers.Dense(4, "softmax")])
    hidden.enable_lora(2)
    return compiled(model, "sparse_categorical_crossentropy", optimizers.Adam(0.01), ["accuracy"])


@case(TABLE, CLASSES)
def frozen_layers() -> keras.Model:
    stack = [layers.Dense(8, "relu", trainable=False), layers.BatchNormalization(trainable=False)]
    model = keras.Sequential([keras.Input((6,)), *stack, layers.Dense(4, "softmax")])
    return compiled(model, "sparse_categorical_crossentropy", measured=["accuracy"])


@keras.saving.register_keras_serializable("fit-matrix")
class Residual(keras.Model):
    """A model written as a class."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.first = layers.Dense(6, "relu")
        self.drop = layers.Dropout(0.2)
        self.last = layers.Dense(4, "softmax")

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.last(inputs + self.drop(self.first(inputs), training=training))


@case(TABLE, CLASSES)
def subclassed() -> keras.Model:
    model = Residual()
    model(keras.Input((6,)))
    return compiled(model, "sparse_categorical_crossentropy", measured=["accuracy"])


# Steps of a model's own


class TwiceTheGradient(keras.Model):
    """Its own `train_step`: the sum of the gradients at the weights and beside them (as sharpness-aware training)."""

    def train_step(self, data: Any) -> dict[str, Any]:
        import tensorflow as tf

        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        total: list[Any] = []
        for noise in (0.0, 0.01):
            for variable in self.trainable_variables:
                variable.assign_add(noise * ops.ones_like(variable))
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(x, y, y_pred, weight)
            gradients = tape.gradient(loss, [variable.value for variable in self.trainable_variables])
            total = gradients if not total else [a + b for a, b in zip(total, gradients, strict=True)]
            for variable in self.trainable_variables:
                variable.assign_sub(noise * ops.ones_like(variable))
        self.optimizer.apply(total, self.trainable_variables)
        self._loss_tracker.update_state(loss, sample_weight=ops.shape(x)[0])
        return self.compute_metrics(x, y, y_pred, weight)


@case(TABLE, CLASSES, corrects=False)
def own_train_step() -> keras.Model:
    inputs = keras.Input((6,))
    model = TwiceTheGradient(inputs, layers.Dense(4, "softmax")(layers.Dense(8, "tanh")(inputs)))
    return compiled(model, "sparse_categorical_crossentropy", measured=["accuracy"])


class MeanOfTwoViews(keras.Model):
    """Its own `test_step`: an example is judged by the mean of two views of it."""

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = (self(x, training=False) + self(x + 0.1, training=False)) / 2
        loss = self.compute_loss(x, y, y_pred, weight, training=False)
        self._loss_tracker.update_state(loss, sample_weight=ops.shape(x)[0])
        return self.compute_metrics(x, y, y_pred, weight)


@case(TABLE, CLASSES)
def own_test_step() -> keras.Model:
    inputs = keras.Input((6,))
    model = MeanOfTwoViews(inputs, layers.Dense(4, "softmax")(layers.Dense(8, "tanh")(inputs)))
    return compiled(model, "sparse_categorical_crossentropy", measured=["accuracy"])


# Backbones of KerasHub


if find_spec("keras_hub") is not None:

    @case({"token_ids": TOKENS, "padding_mask": (TOKENS > 0).astype(np.int32)}, NEXT, PER_TOKEN)
    def keras_hub_gpt2_with_lora() -> keras.Model:
        import keras_hub

        backbone = keras_hub.models.GPT2Backbone(
            vocabulary_size=20,
            num_layers=1,
            num_heads=2,
            hidden_dim=8,
            intermediate_dim=16,
            max_sequence_length=9,
        )
        backbone.enable_lora(2)
        model = keras.Model(backbone.input, backbone.token_embedding(backbone.output, reverse=True))
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
        measured = keras_hub.metrics.Perplexity(from_logits=True, name="perplexity")
        return compiled(model, loss, optimizers.Adam(0.01, epsilon=1e-3), weighted_metrics=[measured])
