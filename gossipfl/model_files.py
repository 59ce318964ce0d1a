"""Models on disk: initial weights from a file, and final weights as Keras files."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError, SchemaMismatchError
from gossipfl.weight_files import digest_of_constants
from gossipfl.weights import Constants, ModelVectors, StoredModel, Vector, WeightsSchema, frozen

if TYPE_CHECKING:
    from gossipfl.training.keras_trainer import KerasTrainer
    from gossipfl.training.ray_trainer import RayTrainer

KERAS_SUFFIXES = (".keras", ".weights.h5")
_EMPTY = np.zeros(0, np.float32)


def read_model(path: Path, trainer: "KerasTrainer | RayTrainer") -> StoredModel:
    """What is to be begun with, for the trainer's model, from a file of the user's own.

    `.safetensors`: flat `weights` (and `statistics`), as a peer leaves them, or one array per variable by its name, as
    a run leaves its average; constants (frozen variables) by their names, or else those of the model function. `.keras`
    and `.weights.h5`: whatever Keras has saved of a model of the same architecture, constants included. Raises
    ConfigurationError when the file cannot be read or does not fit the model.
    """
    try:
        if path.name.endswith(KERAS_SUFFIXES):
            return trainer.read_keras(path)
        arrays = read_arrays(path)
        vectors = vectors_of(arrays, trainer.schema, trainer.statistics_schema)
        return StoredModel(vectors, _constants_beside(path, arrays, trainer.constants))
    except (SchemaMismatchError, ValueError, OSError) as error:
        raise ConfigurationError(f"cannot begin with the weights in {path}: {error}") from error


def _constants_beside(path: Path, arrays: Mapping[str, NDArray[Any]], own: Constants) -> Constants:
    """The constants that a file holds by name; the model's own, if it holds none and was not made with others."""
    held = [name for name in own.names if name in arrays]
    if not held:
        made_with = digest_of_constants(path)
        if made_with in (None, own.digest):
            return own
        raise SchemaMismatchError(
            "its weights were trained on other frozen variables than the model function gives here; begin with a "
            ".keras file of that run (gossipfl export), which has both"
        )
    missing = [name for name in own.names if name not in arrays]
    if missing:
        raise SchemaMismatchError(f"it has the frozen variable {held[0]!r}, but no array {missing[0]!r}")
    constants = Constants(own.names, tuple(arrays[name] for name in own.names))
    constants.check_shapes([array.shape for array in own.arrays])
    return constants


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file. Raises ConfigurationError when it is none."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ConfigurationError(f"{path} is not a safetensors file: {error}") from error


def vectors_of(
    arrays: Mapping[str, NDArray[Any]], schema: WeightsSchema, statistics_schema: WeightsSchema
) -> ModelVectors:
    """The model in a file's arrays, flat or by name. Raises SchemaMismatchError when they are not such a model's."""
    flat = arrays.get("weights")
    if flat is not None and flat.ndim == 1:
        parts = flat, arrays.get("statistics", _EMPTY)
    else:
        parts = _by_names(arrays, schema), _by_names(arrays, statistics_schema)
    vectors = [frozen(np.ascontiguousarray(part, np.float32)) for part in parts]
    for vector, expected in zip(vectors, (schema, statistics_schema), strict=True):
        expected.unflatten(vector)
        if not np.isfinite(vector).all():
            raise SchemaMismatchError("it holds NaN or infinity")
    return ModelVectors(*vectors)


def _by_names(arrays: Mapping[str, NDArray[Any]], schema: WeightsSchema) -> Vector:
    missing = [name for name in schema.names if name not in arrays]
    if missing:
        raise SchemaMismatchError(f"it has no array {missing[0]!r}; it holds {', '.join(sorted(arrays)[:6])}")
    return schema.flatten([arrays[name] for name in schema.names])
