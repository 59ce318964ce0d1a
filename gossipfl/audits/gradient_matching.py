"""Examples are looked for whose gradient is the one that was observed: attacks on models of any layers.

The model is run in inference mode, so nothing is drawn, and statistics of batches are those that it has.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from gossipfl.audits.model import ModelUnderAttack
from gossipfl.errors import ConfigurationError
from gossipfl.weights import Vector

TOTAL_VARIATION = 1e-2
"""Weight of total variation: the mean difference of neighboring pixels. Higher: smoother images, further from the
gradient. Geiping et al. (2020) have 1e-1 and less, by model; on four digits and LeNet-5 this gave the highest mean PSNR
(13.2 dB after 1,200 iterations; 12.1 with 1e-1, 12.9 with 1e-3 and with none)."""

_STEP = 0.1
"""Step of signed Adam at first, as in the paper; it falls to a tenth after 3/8, 5/8 and 7/8 of the iterations."""


def inverted_gradients(
    model: ModelUnderAttack, before: Vector, gradient: NDArray[np.float64], labels: NDArray[np.int64], iterations: int
) -> NDArray[np.float32]:
    """Images [k, ...] of these k `labels`: Adam on the signs of the derivatives of 1 - cos(g', g) + total variation,
    kept within the range of inputs (Geiping et al., 2020, "Inverting Gradients").

    A common factor of the gradient falls out. Raises ConfigurationError for a model without class probabilities.
    """
    import tensorflow as tf

    slopes = _slopes_of(model, before)
    wanted = tf.constant(gradient / max(float(np.linalg.norm(gradient)), 1e-30), tf.float32)
    targets = tf.one_hot(labels, model.facts.task.num_classes)
    low, high = model.facts.value_range

    @tf.function  # type: ignore[untyped-decorator]
    def direction(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = slopes(x, targets)
            cosine = tf.reduce_sum(found * wanted) / (tf.norm(found) + 1e-12)
            cost = 1 - cosine + TOTAL_VARIATION * _variation(x) / (high - low)
        return tf.sign(tape.gradient(cost, x))

    x = model.guesses(len(labels))
    first, second = np.zeros_like(x), np.zeros_like(x)
    for number in range(1, iterations + 1):
        slope = direction(tf.constant(x)).numpy()
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope * slope
        step = _STEP * (high - low) * 0.1 ** sum(number > part * iterations / 8 for part in (3, 5, 7))
        move = (first / (1 - 0.9**number)) / (np.sqrt(second / (1 - 0.999**number)) + 1e-8)
        x = np.clip(x - step * move, low, high).astype(np.float32)
    return x


def deep_leakage(
    model: ModelUnderAttack, before: Vector, gradient: NDArray[np.float64], num_examples: int, iterations: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images [k, ...] and labels [k]: L-BFGS on ||g' - g||^2 over inputs and soft labels together (Zhu et al., 2019,
    "Deep Leakage from Gradients").

    Needs the scale of the gradient, and a model whose gradient is smooth: sigmoid units rather than ReLU. Raises
    ConfigurationError for a model without class probabilities.
    """
    import tensorflow as tf

    slopes = _slopes_of(model, before)
    scale = max(float(np.linalg.norm(gradient)), 1e-30)
    wanted = tf.constant(gradient / scale, tf.float32)
    x = model.guesses(num_examples)
    num_classes = model.facts.task.num_classes
    assert num_classes is not None

    @tf.function  # type: ignore[untyped-decorator]
    def cost_of(flat: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(flat)
            inputs, logits = tf.split(flat, [x.size, num_examples * num_classes])
            targets = tf.nn.softmax(tf.reshape(logits, [num_examples, num_classes]))
            found = slopes(tf.reshape(inputs, x.shape), targets) / scale
            cost = tf.reduce_sum(tf.square(found - wanted))
        return cost, tape.gradient(cost, flat)

    def cost_and_slope(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        cost, slope = cost_of(tf.constant(flat, tf.float32))
        return float(cost), np.nan_to_num(slope.numpy().astype(np.float64))

    begin = np.concatenate([x.ravel(), np.zeros(num_examples * num_classes)])
    options = {"maxiter": iterations, "maxfun": 2 * iterations, "ftol": 0.0, "gtol": 0.0}
    found = minimize(cost_and_slope, begin, jac=True, method="L-BFGS-B", options=options).x
    images, logits = np.split(found, [x.size])
    return images.reshape(x.shape).astype(np.float32), logits.reshape(num_examples, -1).argmax(axis=1)


def _slopes_of(model: ModelUnderAttack, before: Vector) -> Callable[[Any, Any], Any]:
    """The gradient of the mean cross-entropy at these weights, flat, of inputs and soft labels."""
    import tensorflow as tf

    model.probabilities(before, model.guesses(1))  # refuses what has no output for each class
    built, is_probability = model.fill(before), model.gives_probabilities
    variables = [variable.value for variable in built.layout.of("weights")]

    def slopes(x: Any, targets: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            outputs = built.model(x, training=False)
            logs = tf.math.log(tf.maximum(outputs, 1e-7)) if is_probability else tf.nn.log_softmax(outputs)
            loss = -tf.reduce_mean(tf.reduce_sum(targets * logs, axis=1))
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        return tf.concat([tf.reshape(part, [-1]) for part in gradients], axis=0)

    if model.facts.task.kind != "classes" or model.facts.task.input_shape is None:
        raise ConfigurationError("gradient matching is for one input and for classes; these data have other tasks")
    return slopes


def _variation(x: Any) -> Any:
    """The mean absolute difference of neighbors in height and width; 0 for what is no image."""
    import tensorflow as tf

    if len(x.shape) < 3:
        return 0.0
    return sum(tf.reduce_mean(tf.abs(part)) for part in (x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]))
