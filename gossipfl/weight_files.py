"""The final weights of a run as safetensors files.

LABEL-seedN.average   the average model: one array per variable, by its name
LABEL-seedN.peers     PEER and, where there are any, PEER/statistics: flat vectors
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossipfl.weights import ModelVectors, PeerId, Vector, WeightsSchema

Arrays: TypeAlias = dict[str, NDArray[np.floating]]


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
    """The arrays of a vector by the names of their variables, numbered where two variables have one name."""
    names = [segment.name for segment in schema.segments]
    if len(set(names)) < len(names):
        names = [f"{position}/{name}" for position, name in enumerate(names)]
    return dict(zip(names, schema.unflatten(vector), strict=True))


def write_weights(directory: Path, stem: str, average: Arrays, final: Mapping[PeerId, ModelVectors]) -> None:
    """Write STEM.average and STEM.peers into `directory`."""
    from safetensors.numpy import save_file

    save_file(average, directory / f"{stem}.average.safetensors")
    vectors = {peer_id: model.weights for peer_id, model in final.items()}
    statistics = {f"{peer_id}/statistics": model.statistics for peer_id, model in final.items()}
    save_file(
        vectors | {key: vector for key, vector in statistics.items() if vector.size},
        directory / f"{stem}.peers.safetensors",
    )
