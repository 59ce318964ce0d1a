"""A first dense layer gives its inputs away: exactly where one example moved a unit alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.attacks.dense_layer import input_without_bias, label_counts, rebuilt_inputs

CLASSES = 10


def softmax_gradient(
    kernel: np.ndarray, bias: np.ndarray, x: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dL/dW and dL/db of multinomial logistic regression, and the mean probabilities."""
    logits = x @ kernel + bias
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    delta = (p - np.eye(CLASSES)[labels]) / len(x)
    return x.T @ delta, delta.sum(0), p.mean(0)


@given(st.integers(0, 2**32 - 1), st.floats(1e-4, 100.0))
@settings(max_examples=30)
def test_one_example_is_rebuilt_exactly_from_any_weights_and_any_multiple_of_the_gradient(
    seed: int, factor: float
) -> None:
    rng = np.random.default_rng(seed)
    x, label = rng.random((1, 64)), rng.integers(CLASSES, size=1)
    d_kernel, d_bias, p = softmax_gradient(rng.normal(size=(64, CLASSES)) * 0.1, np.zeros(CLASSES), x, label)
    (rebuilt,) = rebuilt_inputs(factor * d_kernel, factor * d_bias, most=5)
    assert np.abs(rebuilt - x[0]).max() < 1e-12
    assert label_counts(factor * d_bias, p, 1, is_scaled=False).argmax() == label[0]


def test_a_batch_of_different_classes_is_rebuilt_exactly_at_the_first_step_from_zero_weights() -> None:
    rng = np.random.default_rng(1)
    x, labels = rng.random((6, 64)), np.array([3, 1, 4, 5, 9, 2])
    d_kernel, d_bias, p = softmax_gradient(np.zeros((64, CLASSES)), np.zeros(CLASSES), x, labels)
    rebuilt = rebuilt_inputs(d_kernel, d_bias, most=20)
    assert all(min(np.abs(rebuilt - one).max(1)) < 1e-12 for one in x)
    assert label_counts(d_bias, p, 6, is_scaled=True).tolist() == np.bincount(labels, minlength=CLASSES).tolist()


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40))
@settings(max_examples=30)
def test_labels_are_counted_as_long_as_a_class_is_absent_or_the_scale_is_known(labels: list[int]) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((len(labels), 16))
    _, d_bias, p = softmax_gradient(np.zeros((16, CLASSES)), np.zeros(CLASSES), x, np.array(labels))
    counts = np.bincount(labels, minlength=CLASSES).tolist()
    assert label_counts(d_bias, p, len(labels), is_scaled=True).tolist() == counts
    assert label_counts(7.0 * d_bias, p, len(labels), is_scaled=False).tolist() == counts


def test_without_a_bias_one_example_is_known_up_to_its_scale() -> None:
    rng = np.random.default_rng(2)
    x = rng.random((1, 64))
    d_kernel, _, _ = softmax_gradient(rng.normal(size=(64, CLASSES)), np.zeros(CLASSES), x, np.array([3]))
    assert input_without_bias(d_kernel) == pytest.approx(x[0] / x.max(), abs=1e-12)


def test_noise_hides_it_the_more_the_larger_it_is() -> None:
    rng = np.random.default_rng(4)
    x = rng.random((1, 64))
    d_kernel, d_bias, _ = softmax_gradient(np.zeros((64, CLASSES)), np.zeros(CLASSES), x, np.array([3]))
    errors = []
    for z in (1e-4, 1e-2, 1.0):
        rebuilt = rebuilt_inputs(
            d_kernel + z * rng.normal(size=d_kernel.shape), d_bias + z * rng.normal(size=d_bias.shape), most=5
        )
        errors.append(min(np.square(one - x[0]).mean() for one in rebuilt))
    assert errors[0] < 1e-5 < errors[1] < 0.1 < errors[2]


def test_nothing_is_rebuilt_from_no_gradient() -> None:
    assert rebuilt_inputs(np.zeros((4, 3)), np.zeros(3), most=5).shape == (0, 4)
    assert label_counts(np.full(3, np.nan), np.full(3, 1 / 3), 5, is_scaled=True).tolist() == [0, 0, 0]
