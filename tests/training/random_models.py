"""Models with every kind of variable, put together from a list of parts."""

from typing import Any

import keras
from keras import layers

PARTS: list[tuple[str, bool]] = []
"""What `build` builds: kinds of `PART_KINDS`, and whether each is trainable."""


@keras.saving.register_keras_serializable("gossipfl-tests")
class Meter(layers.Layer):
    """Counts the steps of training, and shows them in its output."""

    def build(self, input_shape):
        self.steps = self.add_weight(name="steps", shape=(), dtype="int32", initializer="zeros", trainable=False)
        self.unchanged = self.add_weight(name="unchanged", shape=(), initializer="ones", trainable=False)

    def call(self, inputs, training=False):
        if training:
            self.steps.assign_add(1)
        return inputs * self.unchanged / (1 + keras.ops.cast(self.steps, "float32") / 10)


def shared_dense(trainable: bool) -> Any:
    dense = layers.Dense(6, "tanh", trainable=trainable)
    return lambda x: dense(dense(x))


def nested(trainable: bool) -> Any:
    inner = [layers.Dense(6, trainable=trainable), layers.BatchNormalization(momentum=0.5), Meter()]
    return keras.Sequential([keras.Input((6,)), *inner])


PART_KINDS = {
    "dense": lambda trainable: layers.Dense(6, "relu", trainable=trainable),
    "norm": lambda trainable: layers.BatchNormalization(momentum=0.5, trainable=trainable),
    "dropout": lambda _: layers.Dropout(0.3),
    "meter": lambda _: Meter(),
    "shared": shared_dense,
    "nested": nested,
}


def build() -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    x = layers.Dense(6)(layers.Flatten()(inputs))
    for kind, trainable in PARTS:
        x = PART_KINDS[kind](trainable)(x)
    return keras.Model(inputs, layers.Dense(10, "softmax")(x))
