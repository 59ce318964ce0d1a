"""Data sets by name or value: what stands in a scenario or on the command line, to a `Dataset`."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples
from gossipfl.data.held_out import dataset_of
from gossipfl.data.parts import Parts
from gossipfl.data.reading import PLAIN, Reading
from gossipfl.data.values import name_of, read_value
from gossipfl.errors import ConfigurationError, DataError
from gossipfl.names.spelling import did_you_mean
from gossipfl.names.user_functions import user_function
from gossipfl.randomness import generator

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_COLUMNS = ("features", "target", "weight", "peer", "categorical", "task")


@dataclass(frozen=True)
class _Request:
    """A source by name, as it is to be read."""

    name: str
    place: str  # after the colon
    reading: Reading
    test_fraction: float
    download: bool
    data_dir: Path | None


# All libraries are imported late: each takes a second or so, and a scenario needs at most one of them.


def _digits(request: _Request) -> Parts:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[..., np.newaxis]
    return Parts({"train": Examples(images, digits.target)}, num_classes=10)


def _csv(request: _Request) -> Parts:
    from gossipfl.data.csv_files import read_csv

    return _table(request, lambda path, name: read_csv(path, name, request.reading.columns))


def _parquet(request: _Request) -> Parts:
    from gossipfl.data.parquet_files import read_parquet

    return _table(request, read_parquet)


def _table(request: _Request, read: Callable[[Path, str], tuple[dict[str, Any], str]]) -> Parts:
    from gossipfl.data.tables import select

    sources = {"train": request.name} | ({"test": request.reading.test_source} if request.reading.test_source else {})
    tables = {part: read(Path(_place(source)), source) for part, source in sources.items() if source}
    parts = select({part: table for part, (table, _) in tables.items()}, request.reading, request.name)
    return parts.with_notes(*(f"{sources[part]} was {note}" for part, (_, note) in tables.items()), first=True)


def _folder(request: _Request) -> Parts:
    from gossipfl.data.folder import read_folder

    return read_folder(Path(request.place), request.name, request.reading.image_size)


def _hugging_face(request: _Request) -> Parts:
    from gossipfl.data.hugging_face import read_hugging_face

    return read_hugging_face(Path(request.place), request.name, request.reading)


def _idx(request: _Request) -> Parts:
    from gossipfl.data.idx import read_idx

    return read_idx(Path(request.place), request.name)


def _npy(request: _Request) -> Parts:
    from gossipfl.data.npy import read_npy

    return read_npy(Path(request.place), request.name, request.reading)


def _npz(request: _Request) -> Parts:
    from gossipfl.data.npz import read_npz

    return read_npz(Path(request.place), request.name, request.reading)


def _text(request: _Request) -> Parts:
    from gossipfl.data.text import read_text

    reading = request.reading
    test = Path(_place(reading.test_source)) if reading.test_source else None
    return read_text(
        Path(request.place),
        request.name,
        reading.vocabulary or "characters",
        reading.window or DEFAULT_WINDOW,
        request.test_fraction,
        test,
    )


def _tfds(request: _Request) -> Parts:
    from gossipfl.data.tensorflow_datasets import read_tfds

    return read_tfds(request.place, request.name, request.reading, request.download, request.data_dir)


DEFAULT_WINDOW = 64
"""Tokens of an example of a text."""


@dataclass(frozen=True)
class _Kind:
    form: str
    meaning: str
    read: Callable[[_Request], Parts]
    takes: tuple[str, ...] = ()


SOURCES = {
    "digits": _Kind("digits", "1,797 images of 8x8 digits, installed with scikit-learn", _digits),
    "csv": _Kind("csv:FILE", "a table as text, with a header or without", _csv, (*_COLUMNS, "test_source")),
    "parquet": _Kind("parquet:FILE", "a table in Parquet", _parquet, (*_COLUMNS, "image_size", "test_source")),
    "folder": _Kind("folder:DIRECTORY", "images, a folder for each class", _folder, ("image_size",)),
    "text": _Kind(
        "text:FILE", "windows of a text, to predict the next token", _text, ("vocabulary", "window", "test_source")
    ),
    "npz": _Kind(
        "npz:FILE", "NumPy arrays x_train, y_train, x_test, y_test, or x and y, or others by name", _npz, _COLUMNS
    ),
    "npy": _Kind("npy:DIRECTORY", "the same in files of their own, which are not read into memory", _npy, _COLUMNS),
    "idx": _Kind("idx:DIRECTORY", "MNIST-format files, gzipped or not", _idx),
    "tfds": _Kind("tfds:NAME", "a set of tensorflow-datasets, for example tfds:kmnist", _tfds, _COLUMNS),
    "hf": _Kind(
        "hf:DIRECTORY", "a Hugging Face data set that was saved to disk", _hugging_face, (*_COLUMNS, "image_size")
    ),
}
"""The sources by the word before their colon."""

SOURCE_FORMS = {kind.form: kind.meaning for kind in SOURCES.values()} | {
    "package.module:function": "a function without arguments that returns what may stand here in Python, such as (x, y)"
}
"""The forms of sources as text, with their meanings."""


def load(
    source: Any,
    *,
    reading: Reading = PLAIN,
    download: bool = False,
    data_dir: Path | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """The data set that `source` names, in one of `SOURCE_FORMS`, or is.

    `download` and `data_dir` (default: tensorflow-datasets' own) concern `tfds:` only. A source without a test set has
    a stratified `test_fraction` of its examples held out, by a generator derived from `seed`.

    Raises DataError, saying what to do, for an unknown source and for data that are not there or not usable; and
    ConfigurationError for a `test_fraction` outside (0, 1), and for what the source does not take.
    """
    check_reading(source, reading)
    name = name_of(source)
    if not isinstance(source, str):
        parts = read_value(source, name, reading)
    elif (kind := SOURCES.get(source.partition(":")[0])) and (":" in kind.form) == bool(_place(source)):
        parts = kind.read(_Request(name, _place(source), reading, test_fraction, download, data_dir))
    else:
        parts = read_value(_function(source), name, reading)
    if isinstance(parts, Dataset):
        return parts
    return dataset_of(parts, name, test_fraction, generator(seed, "data", "held-out"))


def check_reading(source: Any, reading: Reading) -> None:
    """Raise ConfigurationError for a field of `data` that the source does not take, or a test part of another kind."""
    takes = fields_of(source)
    for field in fields(Reading):
        if getattr(reading, field.name) == field.default or field.name in takes or field.name == "asked":
            continue
        takers = [other.form for other in SOURCES.values() if field.name in other.takes]
        raise ConfigurationError(
            f"data.{field.name} does not go with the source {name_of(source)!r}, which takes "
            f"{', '.join(takes) or 'no such fields'}; it goes with {', '.join(takers)}"
        )
    if reading.test_source and reading.test_source.partition(":")[0] != str(source).partition(":")[0]:
        raise ConfigurationError(
            f"data.test_source {reading.test_source!r} must be of the same kind as the source {source!r}, such as "
            f"'{str(source).partition(':')[0]}:{reading.test_source.partition(':')[2] or reading.test_source}'"
        )


def fields_of(source: Any) -> tuple[str, ...]:
    """The fields of a `Reading` that a source takes."""
    kind = SOURCES.get(source.partition(":")[0]) if isinstance(source, str) else None
    return kind.takes if kind else (*_COLUMNS, "image_size")


def names_function(source: str) -> bool:
    """True if a source is a function of a user's, which would be imported and called."""
    kind, colon, _ = source.partition(":")
    return bool(colon) and kind not in SOURCES


def _function(source: str) -> Any:
    if (kind := SOURCES.get(source.partition(":")[0])) is not None:
        raise DataError(f"data source {source!r} is to be written as {kind.form}. The forms are:\n{_forms()}")
    if not _FUNCTION.fullmatch(source):
        raise DataError(f"unknown data source {source!r}.{_nearest(source)} The forms are:\n{_forms()}")
    try:
        return user_function(source)
    except ConfigurationError as error:
        hint = _nearest(source)  # tfsd:kmnist looks like a function too
        raise DataError(
            f"data source {source!r}: {error}" + (f".{hint} The forms are:\n{_forms()}" if hint else "")
        ) from error


def _place(source: str) -> str:
    return source.partition(":")[2]


def _nearest(source: str) -> str:
    kind, colon, rest = source.partition(":")
    kinds = [name for name, kind in SOURCES.items() if (":" in kind.form) == bool(colon)]
    if hint := did_you_mean(kind.lower(), kinds, after=colon + rest):
        return hint
    if colon:
        return ""
    path = Path(source)
    if path.expanduser().is_dir():
        return f" Did you mean 'folder:{source}' or 'idx:{source}'?"
    suffixes = {".csv": "csv", ".tsv": "csv", ".npz": "npz", ".parquet": "parquet", ".txt": "text"}
    if path.suffix in suffixes:
        return f" Did you mean '{suffixes[path.suffix]}:{source}'?"
    return f" Did you mean 'tfds:{source}'?" if re.fullmatch(r"\w+", source) else ""


def _forms() -> str:
    return "\n".join(f"  {form:<24} {meaning}" for form, meaning in SOURCE_FORMS.items())
