"""Optimizer steps that protect single examples: DP-SGD (Abadi et al., 2016).

Each example's gradient is clipped as a whole, and added up. In a chain of dense layers its norm is known without it; in
other models it is computed by itself (TensorFlow's `vectorized_map` makes one pass of all of them). To the sum comes
noise, and it is divided by the size of a batch that is expected, not by that of the one that was drawn: that size would
tell who was drawn. A batch without examples is noise alone.

The bits of the noise are those of Philox-4x32-10, by a secret seed of 128 bits that is used once; it is no generator of
cryptography. Floating-point noise is not made for adversaries who see all digits of it (Mironov, 2012).
"""

from collections.abc import Sequence
from functools import partial
from math import isinf, pi
from typing import Any

import keras
import tensorflow as tf

from gossipfl.errors import ConfigurationError
from gossipfl.training.keras.batch import Batch
from gossipfl.training.keras.custom import OwnStep
from gossipfl.training.keras.data_tensors import Data, num_rows
from gossipfl.training.keras.losses import loss_of
from gossipfl.training.keras.metrics import ModelMetrics
from gossipfl.training.keras.model import forward
from gossipfl.training.keras.models import BuiltModel
from gossipfl.training.keras.state import size_of, split
from gossipfl.training.settings import ExamplePrivacy


class PrivateGradients:
    """The private steps of a compiled model; its methods build parts of graphs."""

    def __init__(self, model: keras.Model, privacy: ExamplePrivacy) -> None:
        self._model = model
        self._privacy = privacy
        self._chain = dense_chain(model)

    def step(
        self, metrics: ModelMetrics, batch: Data, sums: dict[str, Any], seed: tf.Tensor, expected_size: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, Any]]:
        """One optimizer step: its loss before it, and the sums with it."""
        variables = self._model.trainable_variables
        nothing = tf.zeros([]), [tf.zeros(variable.shape) for variable in variables], sums["metrics"]
        loss, clipped, counted = tf.cond(
            num_rows(batch) > 0, partial(self._of_batch, metrics, batch, sums["metrics"]), lambda: nothing
        )
        privacy = self._privacy
        if privacy.noise:
            noise = privacy.noise * privacy.clip * gaussian(size_of(variables), seed)
            clipped = [total + part for total, part in zip(clipped, split(noise, variables), strict=True)]
        self._model.optimizer.apply([total / expected_size for total in clipped], variables)
        return loss, {"metrics": counted}

    def _of_batch(
        self, metrics: ModelMetrics, batch: Data, carried: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
        """The mean loss of some examples, the sum of their clipped gradients, and the metrics with them."""
        if self._chain is not None:
            return self._of_chain(self._chain, metrics, batch, carried)
        losses, output, gradients = tf.vectorized_map(self._of_example, batch)
        num_examples = tf.shape(losses)[0]
        squares = [tf.reduce_sum(tf.reshape(one * one, [num_examples, -1]), 1) for one in gradients]
        factors = self._factors(tf.add_n(squares))
        clipped = [tf.tensordot(factors, one, 1) for one in gradients]
        return tf.reduce_mean(losses), clipped, metrics.add(carried, Batch(*parts_of(batch), output))

    def _of_chain(
        self, chain: Sequence[keras.layers.Layer], metrics: ModelMetrics, batch: Data, carried: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
        """The same for a chain of dense layers, from one pass: the gradient of a kernel by example i is the product of
        its input a_i and of d_i, the derivative by its output before the activation, so its norm is that of a_i times
        that of d_i, and the sum of all is one matrix product (Goodfellow, 2015)."""
        x, y, weight = parts_of(batch)
        inputs, outputs = [], []
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            flowing = x
            for layer in chain:
                if not isinstance(layer, keras.layers.Dense):
                    flowing = layer(flowing)
                    continue
                inputs.append(flowing)
                flowing = tf.matmul(flowing, layer.kernel.value)
                flowing = flowing if layer.bias is None else tf.nn.bias_add(flowing, layer.bias.value)
                tape.watch(flowing)
                outputs.append(flowing)
                flowing = layer.activation(flowing)
            mean_loss = loss_of(self._model, Batch(x, y, weight, flowing), training=True)
            loss = mean_loss * tf.cast(num_rows(batch), tf.float32)
        derivatives = tape.gradient(loss, outputs)
        dense = [layer for layer in chain if isinstance(layer, keras.layers.Dense)]
        parts = list(zip(dense, inputs, derivatives, strict=True))
        squares = [
            tf.reduce_sum(d * d, 1) * (tf.reduce_sum(a * a, 1) + (0.0 if layer.bias is None else 1.0))
            for layer, a, d in parts
        ]
        factors = self._factors(tf.add_n(squares))[:, tf.newaxis]
        by_variable = {}
        for layer, a, d in parts:
            by_variable[id(layer.kernel)] = tf.matmul(a, factors * d, transpose_a=True)
            by_variable[id(layer.bias)] = tf.reduce_sum(factors * d, 0)
        clipped = [by_variable[id(variable)] for variable in self._model.trainable_variables]
        return mean_loss, clipped, metrics.add(carried, Batch(x, y, weight, flowing))

    def _factors(self, squares: tf.Tensor) -> tf.Tensor:
        """min(1, C / ||g_i||) of each example's squared norm."""
        if isinf(self._privacy.clip):
            return tf.ones_like(squares)
        norms = tf.sqrt(squares)
        return tf.where(norms > self._privacy.clip, tf.math.divide_no_nan(self._privacy.clip, norms), 1.0)

    def _of_example(self, example: Data) -> tuple[tf.Tensor, Any, Sequence[tf.Tensor]]:
        """The loss of one example, its output and its gradients: in a batch of its own, so that nothing of others is in
        them, whatever the model does."""
        alone = tf.nest.map_structure(lambda rows: rows[tf.newaxis], example)
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            scored, loss = forward(self._model, *parts_of(alone), training=True)
        gradients = tape.gradient(
            loss, [one.value for one in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        output = tf.nest.map_structure(lambda rows: rows[0], scored.output)
        return tf.cast(loss, tf.float32), output, [tf.convert_to_tensor(one) for one in gradients]


def gaussian(size: int, seed: tf.Tensor) -> tf.Tensor:
    """`size` independent standard Gaussians in float32, by Box and Muller's transform: 64 bits for each radius, so that
    it is up to 9.4, and 32 for each angle. TensorFlow's own end at 5.7, which the noise of a large model reaches, and
    would tell there what it was added to."""
    half = -(-size // 2)
    longs = tf.random.stateless_uniform([-(-3 * half // 2)], seed, minval=None, maxval=None, dtype=tf.uint64)
    words = tf.cast(tf.reshape(tf.bitcast(longs, tf.uint32), [-1])[: 3 * half], tf.float32)
    high, low, angle = tf.split(words, 3)
    radius = tf.sqrt(-2.0 * tf.math.log((high + (low + 0.5) * 2.0**-32) * 2.0**-32))
    angle *= 2.0**-31 * pi
    return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], 0)[:size]


def dense_chain(model: keras.Model) -> Sequence[keras.layers.Layer] | None:
    """The layers of a model that is a chain of dense layers, all trained, and of others without variables to train;
    None: it is none, a layer stands in it twice, or an activation or the loss might mix examples."""
    if type(model) is not keras.Sequential or model.losses or len({*map(id, model.layers)}) < len(model.layers):
        return None
    between = (*_WITHOUT_VARIABLES, keras.layers.Normalization)
    for layer in model.layers:
        is_dense = type(layer) is keras.layers.Dense and layer.trainable and len(layer.input.shape) == 2
        is_plain = is_dense and layer.compute_dtype == layer.variable_dtype == "float32" and not layer.lora_enabled
        if not (is_plain or type(layer) in between) or not _is_of_each(getattr(layer, "activation", None)):
            return None
    losses = keras.tree.flatten(getattr(model._compile_loss, "_user_loss", None))
    return model.layers if losses and all(map(_is_mean, losses)) else None


def _is_of_each(activation: Any) -> bool:
    """True for no activation, and for the functions of Keras, which look at each example by itself."""
    return activation is None or str(getattr(activation, "__module__", "")) == "keras.src.activations.activations"


def _is_mean(loss: Any) -> bool:
    """True for a loss of Keras that is the mean over examples of what each gives; circle, dice and tversky are not."""
    found = keras.losses.get(loss) if isinstance(loss, str) else loss
    is_whole = isinstance(found, keras.losses.Loss) and found.reduction != "sum_over_batch_size"
    name = getattr(getattr(found, "fn", found), "__name__", "")
    return not is_whole and name in _MEANS


_MEANS = (
    *("sparse_categorical_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy"),
    *("binary_crossentropy", "binary_focal_crossentropy", "kl_divergence", "poisson"),
    *("mean_squared_error", "mean_absolute_error", "huber", "log_cosh"),
)
_WITHOUT_VARIABLES = (keras.layers.Flatten, keras.layers.Reshape, keras.layers.Activation, keras.layers.ReLU)


def parts_of(batch: Data) -> tuple[Any, Any, Any]:
    """The inputs, targets and sample weights of a batch, None where there are none."""
    return batch["x"], batch.get("y"), batch.get("weight")


def refuse_private(built: BuiltModel) -> None:
    """Raise ConfigurationError for a model whose examples cannot be protected one by one, with the reason."""
    model, layout = built.model, built.layout
    reason = None
    if isinstance(built.training, OwnStep):
        reason = "has a train_step of its own, which computes its gradients itself"
    elif layout.statistics:
        reason = "has statistics (BatchNormalization, or counters), in which examples are mixed without noise"
    elif layout.seeds:
        reason = "draws random numbers in training (Dropout, or noise), which it would not draw for each example"
    elif isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        reason = "is trained in mixed precision, whose scaled gradients may overflow, and are skipped then"
    if reason is not None:
        raise ConfigurationError(
            f'privacy.differential_privacy: level = "example" clips the gradient of each example, and model '
            f'{model.name!r} {reason}; take a model without, or level = "peer"'
        )
