"""A dense layer tells its inputs, to the last digits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.attacks.dense_layer import inputs_told, labels_told


def gradients(x: np.ndarray, y: np.ndarray, num_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Those of softmax regression with cross-entropy, in the mean over a batch."""
    kernel = np.random.default_rng(seed).normal(size=(x.shape[1], num_classes))
    scores = np.exp(x @ kernel)
    errors = (scores / scores.sum(axis=1, keepdims=True) - np.eye(num_classes)[y]) / len(x)
    return x.T @ errors, errors.sum(axis=0)


@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_a_single_example_is_told_exactly_with_its_label(seed, num_classes) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.random((1, 9)), rng.integers(num_classes, size=1)
    kernel, bias = gradients(x, y, num_classes, seed)
    for told in inputs_told(kernel, bias, most=num_classes):
        assert told == pytest.approx(x[0], abs=1e-12)
    assert labels_told(bias).tolist() == y.tolist()


@pytest.mark.parametrize("factor", [1e-6, -3.0])
def test_a_learning_rate_cancels(factor) -> None:
    x, y = np.random.default_rng(0).random((1, 9)), np.array([2])
    kernel, bias = gradients(x, y, 4, 0)
    assert inputs_told(factor * kernel, factor * bias) == pytest.approx(inputs_told(kernel, bias), abs=1e-12)


def test_of_several_examples_a_mean_of_them_is_told() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.random((8, 9)), np.arange(8) % 4
    kernel, bias = gradients(x, y, 4, 1)
    assert np.abs(inputs_told(kernel, bias) - x[0]).max() > 0.01


def test_a_bias_without_a_gradient_tells_nothing() -> None:
    assert inputs_told(np.ones((3, 2)), np.zeros(2)).shape == (0, 3)
    assert inputs_told(np.ones((3, 2)), np.array([0.0, 2.0])).tolist() == [[0.5, 0.5, 0.5]]
