"""Small compiled models, between them every kind of variable that a peer has."""

import keras
from keras import layers


def compiled(optimizer, *stack) -> keras.Model:
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def dropout_momentum_clipnorm():
    return compiled(
        keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipnorm=0.5),
        layers.Flatten(),
        layers.Dense(24, "relu", kernel_regularizer="l2"),
        layers.Dropout(0.4),
        layers.Dense(16, "tanh"),
        layers.Dropout(0.2),
        layers.Dense(10, "softmax"),
    )


def dense_adam():
    return compiled(
        keras.optimizers.Adam(0.01), layers.Flatten(), layers.Dense(20, "relu"), layers.Dense(10, "softmax")
    )


def conv_adam():
    return compiled(
        keras.optimizers.Adam(0.005, clipnorm=1.0),
        layers.Conv2D(4, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(10, "softmax"),
    )


def batch_norm():
    return compiled(
        keras.optimizers.SGD(0.05),
        layers.Conv2D(4, 3),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dense(10, "softmax"),
    )


def softmax_sgd():
    return compiled(keras.optimizers.SGD(0.05), layers.Flatten(), layers.Dense(10, "softmax"))
