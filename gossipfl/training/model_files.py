"""Models on disk: initial weights from a file, and final weights as Keras files."""

import re
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError, SchemaMismatchError
from gossipfl.files.weight_files import digest_of_constants
from gossipfl.training.trainer import ModelFacts
from gossipfl.weights import (
    LARGEST_INTEGER,
    NOTHING,
    Constants,
    ModelVectors,
    StoredModel,
    Vector,
    WeightsSchema,
    frozen,
)

KERAS_SUFFIXES = (".keras", ".weights.h5")


def read_model(path: Path, model: ModelFacts, read_keras: Callable[[Path], StoredModel]) -> StoredModel:
    """A model to begin with, from a file of the user's own.

    `.safetensors`: flat `weights` (and `statistics`, and `local`), as a peer leaves them, or one array per variable by
    its name, as a run leaves its average; constants (frozen variables) by their names, or else those of the model
    function. `.keras` and `.weights.h5`: whatever Keras has saved of a model of the same architecture, constants
    included, as `read_keras` gives it. Raises ConfigurationError when the file cannot be read, or is another model's.
    """
    try:
        if path.name.endswith(KERAS_SUFFIXES):
            stored = read_keras(path)
        else:
            arrays = read_arrays(path)
            vectors = vectors_of(arrays, model.schema, model.statistics_schema, model.local_schema)
            stored = StoredModel(vectors, _constants_beside(path, arrays, model.constants))
        _check_values(stored, model)
        return stored
    except (SchemaMismatchError, ValueError, OSError) as error:
        cause = (isinstance(error, OSError) and error.strerror) or error  # without the path, which is named already
        raise ConfigurationError(f"cannot begin with the weights in {path}: {cause}") from error


def _check_values(stored: StoredModel, model: ModelFacts) -> None:
    """Raise SchemaMismatchError for numbers that no run can begin with."""
    vectors = stored.vectors
    for vector in (vectors.weights, vectors.statistics, vectors.local):
        _check_finite(vector)
    schemas = ((model.statistics_schema, vectors.statistics), (model.local_schema, vectors.local))
    named = chain.from_iterable(zip(one.segments, one.unflatten(part), strict=True) for one, part in schemas)
    for segment, part in named:
        if not segment.dtype.startswith("float") and (np.abs(part) > LARGEST_INTEGER).any():
            raise SchemaMismatchError(
                f"the variable {segment.name!r}, which training changes, has integers beyond {LARGEST_INTEGER}: they "
                "are averaged with other peers' as float32, which is exact up to there only"
            )
    for name, array in zip(stored.constants.names, stored.constants.arrays, strict=True):
        if array.dtype.kind == "f" and np.isnan(array).any():  # infinity may be meant, as in a mask
            raise SchemaMismatchError(f"the frozen variable {name!r} holds NaN")


def _check_finite(vector: Vector) -> None:
    if not np.isfinite(vector).all():
        raise SchemaMismatchError("it holds NaN or infinity")


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


def read_arrays(path: Path, *, keeps_half: bool = False) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file, half precision as float32; with `keeps_half`, float16 stays what it is.

    Raises ConfigurationError when it is none, or holds numbers that are no plain ones, such as those of 8 bits with a
    scale of their own.
    """
    from safetensors import SafetensorError, deserialize, safe_open

    try:
        with safe_open(path, framework="np") as file:
            dtypes = {name: str(file.get_slice(name).get_dtype()) for name in file.keys()}  # noqa: SIM118
            for name, dtype in dtypes.items():
                if re.match(r"F[468]_|F4$|C", dtype):
                    raise ConfigurationError(f"{path}: {name!r} is of {dtype}; save it as F32, F16 or BF16")
            arrays = {name: file.get_tensor(name) for name, dtype in dtypes.items() if dtype != "BF16"}
    except SafetensorError as error:
        raise ConfigurationError(f"{path} is not a safetensors file: {error}") from error
    if len(arrays) < len(dtypes):  # NumPy has no such floats: the upper half of float32
        for name, tensor in deserialize(path.read_bytes()):  # type: ignore[no-untyped-call]
            if dtypes[name] == "BF16":
                bits = np.frombuffer(tensor["data"], "<u2").astype(np.uint32) << 16
                arrays[name] = bits.view(np.float32).reshape(tensor["shape"])
    if keeps_half:
        return arrays
    return {name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in arrays.items()}


def vectors_of(arrays: Mapping[str, NDArray[Any]], *schemas: WeightsSchema) -> ModelVectors:
    """The model in a file's arrays, flat or by name; the schemas are those of weights, statistics and local part.
    Raises SchemaMismatchError when they are not such a model's."""
    flat = arrays.get("weights")
    if flat is not None and flat.ndim == 1:
        parts = [flat, arrays.get("statistics", NOTHING), arrays.get("local", NOTHING)]
    else:
        parts = [_by_names(arrays, schema) for schema in schemas]
    vectors = [frozen(np.ascontiguousarray(part, np.float32)) for part in parts]
    for vector, expected in zip(vectors, schemas, strict=True):
        expected.unflatten(vector)
        _check_finite(vector)
    return ModelVectors(*vectors)


def _by_names(arrays: Mapping[str, NDArray[Any]], schema: WeightsSchema) -> Vector:
    missing = [name for name in schema.names if name not in arrays]
    if missing:
        raise SchemaMismatchError(f"it has no array {missing[0]!r}; it holds {', '.join(sorted(arrays)[:6])}")
    return schema.flatten([arrays[name] for name in schema.names])
