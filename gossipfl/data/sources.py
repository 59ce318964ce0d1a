"""Data sets by name: one line of text, as it stands in a scenario or on the command line, to a `Dataset`."""

import re
from pathlib import Path

import numpy as np

from gossipfl.data.dataset import Dataset
from gossipfl.data.function import load_function
from gossipfl.data.held_out import split_dataset
from gossipfl.data.idx import load_idx
from gossipfl.data.npz import load_npz
from gossipfl.errors import DataError
from gossipfl.names.spelling import did_you_mean
from gossipfl.randomness import generator

SOURCE_FORMS = {
    "digits": "1,797 images of 8x8 digits, installed with scikit-learn",
    "tfds:NAME": "a set of tensorflow-datasets, for example tfds:kmnist",
    "idx:DIRECTORY": "MNIST-format files, gzipped or not",
    "npz:FILE": "NumPy arrays x_train, y_train, x_test, y_test, or x and y",
    "package.module:function": "a function without arguments that returns a Dataset or ((x, y), (x_test, y_test))",
}
"""The forms that `load` takes, with their meanings."""

_KINDS = ("tfds", "idx", "npz")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def load(
    source: str,
    *,
    download: bool = False,
    data_dir: Path | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """The data set that `source` names, in one of `SOURCE_FORMS`.

    `download` and `data_dir` (default: tensorflow-datasets' own) concern `tfds:` only. A source without a test set has
    a stratified `test_fraction` of its examples held out, by a generator derived from `seed`.

    Raises DataError, saying what to do, for an unknown source and for data that are not there or not usable; and
    ConfigurationError for a `test_fraction` outside (0, 1).
    """
    kind, _, rest = source.partition(":")
    split_generator = generator(seed, "data", "held-out")
    if source == "digits":
        return _load_digits(test_fraction, split_generator)
    if kind in _KINDS and not rest:
        raise DataError(f"data source {source!r} needs a name after the colon. The forms are:\n{_forms()}")
    if kind == "tfds":
        from gossipfl.data.tensorflow_datasets import load_tfds  # late: tensorflow-datasets takes a second to import

        return load_tfds(rest, source, download, data_dir, test_fraction, split_generator)
    if kind == "idx":
        return load_idx(Path(rest), source)
    if kind == "npz":
        return load_npz(Path(rest), source, test_fraction, split_generator)
    if _FUNCTION.fullmatch(source):
        try:
            return load_function(source)
        except DataError as error:
            hint = _nearest(source)  # tfsd:kmnist looks like a function too
            if not hint:
                raise
            raise DataError(f"{error}.{hint} The forms are:\n{_forms()}") from error
    raise DataError(f"unknown data source {source!r}.{_nearest(source)} The forms are:\n{_forms()}")


def names_function(source: str) -> bool:
    """True if a source is a function of a user's, which would be imported and called."""
    kind, colon, _ = source.partition(":")
    return bool(colon) and kind not in _KINDS


def _load_digits(test_fraction: float, split_generator: np.random.Generator) -> Dataset:
    from sklearn.datasets import load_digits  # late: scikit-learn takes a second to import

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[..., np.newaxis]
    return split_dataset("digits", (images, digits.target), test_fraction, split_generator, num_classes=10)


def _nearest(source: str) -> str:
    kind, colon, rest = source.partition(":")
    if hint := did_you_mean(kind.lower(), _KINDS if colon else ["digits"], after=colon + rest):
        return hint
    if not colon and Path(source).expanduser().is_dir():
        return f" Did you mean 'idx:{source}'?"
    if not colon and source.endswith(".npz"):
        return f" Did you mean 'npz:{source}'?"
    if re.fullmatch(r"\w+", source):
        return f" Did you mean 'tfds:{source}'?"
    return ""


def _forms() -> str:
    return "\n".join(f"  {form:<24} {meaning}" for form, meaning in SOURCE_FORMS.items())
