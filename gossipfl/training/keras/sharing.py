"""The patterns of a scenario, on the variables of a Keras model: which are local, and which are frozen."""

from collections.abc import Iterator

import keras

from gossipfl.training.keras.state import SEED_GENERATOR_STATE
from gossipfl.training.sharing import SharingPatterns


def local_and_frozen(model: keras.Model, patterns: SharingPatterns) -> tuple[set[int], set[int]]:
    """The identities of the variables that are local, and of those that are frozen.

    Raises ConfigurationError for a pattern that fits none, or a variable that would be both.
    """
    names: dict[int, list[str]] = {}
    for variable, name in _named(model):
        names.setdefault(id(variable), []).append(name)  # a layer in two places has two names
    local, frozen = patterns.chosen(list(names.values()))
    return {key for key, yes in zip(names, local, strict=True) if yes}, {
        key for key, yes in zip(names, frozen, strict=True) if yes
    }


def freeze(model: keras.Model, patterns: SharingPatterns) -> None:
    """Take from training what is frozen. A layer that is frozen as a whole is as one with `trainable = False`: its
    BatchNorm normalizes with the statistics that it has, and leaves them as they are."""
    if not patterns.frozen:
        return
    _, frozen = local_and_frozen(model, patterns)
    for layer in model._flatten_layers():
        held = [variable for variable in layer.variables if variable.name != SEED_GENERATOR_STATE]
        if held and all(id(variable) in frozen for variable in held):
            layer.trainable = False
    for variable in model.trainable_variables:
        if id(variable) in frozen:
            variable.trainable = False


def _named(layer: keras.layers.Layer, within: str = "") -> Iterator[tuple[keras.Variable, str]]:
    for variable in (*layer._trainable_variables, *layer._non_trainable_variables):
        yield variable, f"{within}{variable.name}"
    for inner in layer._layers:
        yield from _named(inner, f"{within}{inner.name}/")
