"""Pairs of images, and a model with two inputs that says whether they show the same digit, for `same_digit.toml`."""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from gossipfl import Dataset, Examples

NUM_PAIRS = 6000, 1500
"""To train on, and held out; half of either show the same digit."""


def pairs() -> Dataset:
    """Pairs of scikit-learn's digits. The column `digit` has the left one's."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = (digits.images / 16).astype(np.float32)[..., None], digits.target
    random = np.random.default_rng(0)
    order = random.permutation(len(labels))
    cut = len(labels) * 4 // 5  # no image is in both parts
    parts = [
        _pairs(images, labels, order[part], num, random)
        for part, num in zip((slice(cut), slice(cut, None)), NUM_PAIRS, strict=True)
    ]
    return Dataset("pairs of digits", *parts, num_classes=2, class_names=("different", "same"))


def _pairs(
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    num: int,
    random: np.random.Generator,
) -> Examples:
    left = random.choice(rows, num)
    same = np.arange(num) % 2
    right = np.empty_like(left)
    for digit in range(10):
        for kind, others in ((1, rows[labels[rows] == digit]), (0, rows[labels[rows] != digit])):
            chosen = (labels[left] == digit) & (same == kind)
            right[chosen] = random.choice(others, chosen.sum())
    x = {"left": images[left], "right": images[right]}
    return Examples(x, same.astype(np.int32), columns={"digit": labels[left]})


def siamese() -> keras.Model:
    """One encoder sees both images; how much their codes differ decides."""
    inputs = {side: keras.Input((8, 8, 1), name=side) for side in ("left", "right")}
    stack = [layers.Conv2D(16, 3, activation="relu"), layers.Flatten(), layers.Dense(32)]
    encoder = keras.Sequential([keras.Input((8, 8, 1)), *stack], name="encoder")
    difference = keras.ops.abs(encoder(inputs["left"]) - encoder(inputs["right"]))
    model = keras.Model(inputs, layers.Dense(1, "sigmoid", name="head")(difference))
    model.compile(
        keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy", keras.metrics.AUC(name="auc")]
    )
    return model
