"""Files that Keras has saved are read as variables alone: no layer is made of one, so none has to be trusted."""

import zipfile
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import keras

from gossipfl.training.keras.state import optimizers_in

_WEIGHTS = "model.weights.h5"
"""The variables in a `.keras` archive."""


def load_variables(model: keras.Model, path: Path) -> None:
    """Give a model the variables in a `.keras` or `.weights.h5` file of the same architecture, its optimizers aside.

    Raises ValueError or OSError when the file is not there, is none of Keras, or has other variables than the model:
    Keras itself leaves out in silence what the model has no place for.
    """
    optimizers = {name: found for name, attribute in vars(model).items() if (found := optimizers_in(attribute))}
    with TemporaryDirectory() as directory:
        own, theirs = Path(directory, "own.weights.h5"), path
        model.save_weights(own)
        if path.suffix == ".keras":
            theirs = Path(directory, "theirs.weights.h5")
            try:
                with zipfile.ZipFile(path) as archive:
                    theirs.write_bytes(archive.read(_WEIGHTS))
            except (zipfile.BadZipFile, KeyError) as error:
                raise ValueError(f"it is no .keras file: {error}") from error
        expected, held = (_shapes(path, tuple(f"{name}/" for name in optimizers)) for path in (own, theirs))
        for place in [*expected, *held]:
            if expected.get(place) != held.get(place):
                raise ValueError(
                    f"it is of another architecture: at {place} it has {_described(held.get(place))}, the model "
                    f"{_described(expected.get(place))}"
                )
        model.load_weights(theirs, objects_to_skip=list(chain(*optimizers.values())))


def _shapes(path: Path, left_out: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """The shapes of the variables in a file by their places; those that begin with one `left_out` are not there."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(place: str, entry: h5py.Group | h5py.Dataset) -> None:
        if isinstance(entry, h5py.Dataset) and not place.startswith(left_out):
            shapes[place] = tuple(entry.shape)

    with h5py.File(path) as file:
        file.visititems(note)
    return shapes


def _described(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else f"a variable of shape {shape}"
