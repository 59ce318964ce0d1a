"""A small GPT, and the text of `small_gpt.toml`: the language reference that comes with every Python."""

import random
import re
from functools import cache

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from gossipfl import Dataset, Examples

NUM_TOKENS = 96
"""Printable ASCII and the line end; anything else is a space."""
WINDOW, WIDTH, HEADS, BLOCKS, RANK = 64, 64, 4, 2, 4
PRETRAINING_STEPS = 600


def topics() -> Dataset:
    """Windows of the chapters of the reference, each with the next characters as target; the column `topic` says which
    chapter. The last tenth of each chapter is held out."""
    from pydoc_data.topics import topics as chapters

    parts: dict[str, list[tuple[NDArray[np.int32], str]]] = {"train": [], "test": []}
    for topic, text in sorted(chapters.items()):
        tokens = tokenized(text)
        end = len(tokens) * 9 // 10
        for part, some in (("train", tokens[:end]), ("test", tokens[end:])):
            parts[part] += [(window, topic) for window in windows(some)]
    examples = {}
    for part, found in parts.items():
        both = np.stack([window for window, _ in found])
        columns = {"topic": np.array([topic for _, topic in found])}
        examples[part] = Examples(both[:, :-1], both[:, 1:], columns=columns)
    return Dataset("topics of Python's reference", examples["train"], examples["test"])


def tokenized(text: str) -> NDArray[np.int32]:
    """A token for each character."""
    codes = np.frombuffer(re.sub(r"[^\n -~]", " ", text).encode("ascii"), np.uint8).astype(np.int32)
    return np.where(codes == ord("\n"), NUM_TOKENS - 1, codes - ord(" ")).astype(np.int32)


def windows(tokens: NDArray[np.int32]) -> NDArray[np.int32]:
    """One after the other, each with the first token of the next: [N, WINDOW + 1]."""
    starts = WINDOW * np.arange(max(0, len(tokens) - 1) // WINDOW)
    return tokens[starts[:, None] + np.arange(WINDOW + 1)]


def gpt() -> keras.Model:
    """A decoder of `BLOCKS` blocks, before anything was learned."""
    inputs = keras.Input((WINDOW,), dtype="int32")
    x = layers.Embedding(NUM_TOKENS, WIDTH)(inputs) + layers.Embedding(WINDOW, WIDTH)(ops.arange(WINDOW))
    for _ in range(BLOCKS):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y, use_causal_mask=True)
        y = layers.Dense(4 * WIDTH, "gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(WIDTH)(y)
    return keras.Model(inputs, layers.Dense(NUM_TOKENS)(layers.LayerNormalization()(x)))


@cache
def pretrained() -> list[NDArray[np.float32]]:
    """The weights after `PRETRAINING_STEPS` steps on other text: the documentation in the modules that keras is made
    of, and the same in every process."""
    text = "\n\n".join(
        value.__doc__
        for module in (keras.layers, keras.ops, keras.losses, keras.metrics, keras.optimizers)
        for _, value in sorted(vars(module).items())
        if isinstance(getattr(value, "__doc__", None), str)
    )
    both = windows(tokenized(text))
    state = random.getstate()  # which Keras draws first weights from: those of the run's own model shall not change
    random.seed(1)
    model = gpt()
    random.setstate(state)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    rows = np.random.default_rng(1).integers(len(both), size=(PRETRAINING_STEPS, 32))
    for chosen in rows:
        model.train_on_batch(both[chosen, :-1], both[chosen, 1:])
    return model.get_weights()


def whole() -> keras.Model:
    """The pretrained model, of which everything is trained and sent."""
    weights = pretrained()
    model = gpt()
    model.set_weights(weights)
    return compiled(model)


def adapters() -> keras.Model:
    """The pretrained model, of which only adapters of rank `RANK` (LoRA) are trained and sent."""
    weights = pretrained()
    model = gpt()
    model.set_weights(weights)
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, layers.EinsumDense | layers.Dense):
            layer.enable_lora(RANK)
        elif not isinstance(layer, layers.MultiHeadAttention):
            layer.trainable = False
    return compiled(model)


def compiled(model: keras.Model) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    return model
