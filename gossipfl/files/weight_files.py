"""The final weights of a run as safetensors files.

LABEL-seedN.average   the average model: one array per variable, by its name
LABEL-seedN.best      the average model of the best evaluation, where one was looked for
LABEL-seedN.peers     PEER and, where there are any, PEER/statistics and PEER/local: flat vectors

Their metadata have the digest of the constants that belong to them (`gossipfl.runs.constant_files`).
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossipfl.files.whole_files import whole
from gossipfl.weights import ModelVectors, PeerId, Vector, WeightsSchema, as_integers

_CONSTANTS = "constants"

BESIDE_WEIGHTS = ("statistics", "local")
"""The vectors of a model that it may have beside its weights."""

Arrays: TypeAlias = dict[str, NDArray[np.generic]]


def file_stems(labels: Sequence[str]) -> dict[str, str]:
    """A file name for each label; two labels never share one."""
    stems: dict[str, str] = {}
    for label in labels:
        stem = re.sub(r"[^A-Za-z0-9.]+", "-", label)[:100].strip("-.") or "algorithm"
        taken = {other.lower() for other in stems.values()}
        number = 1
        while (f"{stem}-{number}" if number > 1 else stem).lower() in taken:
            number += 1
        stems[label] = f"{stem}-{number}" if number > 1 else stem
    return stems


def by_name(schema: WeightsSchema, vector: Vector) -> Arrays:
    """The arrays of a vector by the names of their variables; those of integers hold the nearest ones."""
    arrays = {}
    for name, segment, part in zip(schema.names, schema.segments, schema.unflatten(vector), strict=True):
        arrays[name] = part if segment.dtype.startswith("float") else as_integers(part, segment.dtype)
    return arrays


def write_weights(
    directory: Path,
    stem: str,
    average: Arrays,
    final: Mapping[PeerId, ModelVectors],
    constants: str | None,
    best: Arrays | None = None,
) -> None:
    """Write STEM.average, STEM.peers and perhaps STEM.best into `directory`; `constants` is their digest, if the model
    has any."""
    metadata = metadata_of(constants)
    if best is not None:
        write_arrays(directory / f"{stem}.best.safetensors", best, metadata)
    write_arrays(directory / f"{stem}.average.safetensors", average, metadata)
    vectors = {peer_id: model.weights for peer_id, model in final.items()}
    for part in BESIDE_WEIGHTS:
        vectors |= {f"{peer_id}/{part}": getattr(model, part) for peer_id, model in final.items()}
    held = {key: vector for key, vector in vectors.items() if vector.size}
    write_arrays(directory / f"{stem}.peers.safetensors", held, metadata)


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[np.generic]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, whole. Raises OSError when the disk says no."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    with whole(path) as unfinished:
        try:
            save_file(dict(arrays), unfinished, None if metadata is None else dict(metadata))
        except SafetensorError as error:  # its own wrapping of what the system says
            number = re.search(r"\(os error (\d+)\)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def metadata_of(constants: str | None) -> dict[str, str] | None:
    """The metadata of a file with weights, from the digest of their constants."""
    return None if constants is None else {_CONSTANTS: constants}


def digest_of_constants(path: Path) -> str | None:
    """The digest of the constants that belong to the weights of a file, from its metadata."""
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        return (file.metadata() or {}).get(_CONSTANTS)
