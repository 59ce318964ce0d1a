"""Means and variances of batches alone: BatchNorm layers that forget what they held before.

A layer keeps moving statistics, m <- momentum m + (1 - momentum) m(batch). Without momentum it holds those of the last
batch, which can be averaged over any batches (precise BatchNorm: Wu and Johnson, 2021, "Rethinking 'Batch' in
BatchNorm"; fvcore's `update_bn_stats` sets the momentum in the same way).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import keras

from gossipfl.errors import ConfigurationError
from gossipfl.training.keras.custom import OwnStep

if TYPE_CHECKING:
    from gossipfl.training.keras.models import BuiltModel


@contextmanager
def without_memory(model: keras.Model) -> Iterator[None]:
    """A graph that is built within this leaves in BatchNorm layers the statistics of the last batch."""
    layers = _batch_normalizations(model)
    momenta = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def refuse_recalibration(built: "BuiltModel") -> None:
    """Raise ConfigurationError when moving means or variances of a model are not those of batches, with the reason."""
    model = built.model
    if isinstance(built.training, OwnStep):
        raise ConfigurationError(
            f"evaluation.recalibrate makes forward passes of its own, and model {model.name!r} has a train_step of its "
            "own, which may call it in another way; leave evaluation.recalibrate out"
        )
    known = [layer for layer in _batch_normalizations(model) if not getattr(layer, "renorm", False)]
    theirs = {id(variable) for layer in known for variable in (layer.moving_mean, layer.moving_variance)}
    for variable in built.layout.statistics:
        if variable.name in ("moving_mean", "moving_variance") and id(variable) not in theirs:
            raise ConfigurationError(
                f"evaluation.recalibrate knows the statistics of keras.layers.BatchNormalization without renorm, and "
                f"{variable.path!r} is of another layer; leave evaluation.recalibrate out"
            )


def _batch_normalizations(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
