"""The constants of a run's model, once for all its peers: weights/seedN.constants.safetensors.

One array per variable, POSITION/NAME; there is no file where the model has no constants.
"""

from pathlib import Path

import numpy as np

from gossipfl.errors import ConfigurationError
from gossipfl.files.weight_files import write_arrays
from gossipfl.training.model_files import read_arrays
from gossipfl.weights import Constants


def write_constants(directory: Path, seed: int, constants: Constants) -> None:
    """Write the constants of a run, unless the model has none."""
    if constants:
        names = [f"{position}/{name}" for position, name in enumerate(constants.names)]
        arrays = [np.asarray(array, order="C") for array in constants.arrays]
        write_arrays(_path(directory, seed), dict(zip(names, arrays, strict=True)))


def read_constants(directory: Path, seed: int, digest: str | None) -> Constants:
    """The constants of a run, whose manifest gives their `digest`; None says that the model has none.

    Raises ConfigurationError when they are not there, or others.
    """
    if digest is None:
        return Constants()
    path = _path(directory, seed)
    if not path.is_file():
        raise ConfigurationError(f"there is no {path}, which has the frozen variables of the run's model")
    arrays = read_arrays(path, keeps_half=True)  # the digest is over dtypes, too
    places = sorted(arrays, key=_position)
    constants = Constants(tuple(place.partition("/")[2] for place in places), tuple(arrays[place] for place in places))
    if constants.digest != digest:
        raise ConfigurationError(f"{path} does not hold the frozen variables that the run's manifest names")
    return constants


def _path(directory: Path, seed: int) -> Path:
    return directory / f"seed{seed}.constants.safetensors"


def _position(place: str) -> int:
    position = place.partition("/")[0]
    return int(position) if position.isdecimal() else -1
