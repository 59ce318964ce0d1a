"""Data sets of Hugging Face that were saved on disk; nothing is downloaded."""

from pathlib import Path

import pyarrow.lib

from gossipfl.data.columns import table_columns
from gossipfl.data.parts import PARTS, Parts
from gossipfl.data.reading import Reading
from gossipfl.data.tables import select
from gossipfl.errors import DataError
from gossipfl.names.spelling import listed


def read_hugging_face(directory: Path, name: str, reading: Reading) -> Parts:
    """The splits `train`, `test` and `validation` of what `save_to_disk` has written, or a data set without splits.

    Class labels keep their numbers and names, images are decoded, arrays of one shape stay arrays.

    Raises DataError when `datasets` is not installed, or the directory is not such a data set.
    """
    try:
        import datasets  # late: an extra
    except ModuleNotFoundError as error:
        raise DataError(f"{name} needs the package datasets: pip install 'gossipfl[hf]'") from error

    directory = directory.expanduser()
    if not directory.is_dir():
        raise DataError(
            f"{name}: {directory} is not a directory; expected one that save_to_disk of datasets has written"
        )
    try:
        loaded = datasets.load_from_disk(str(directory))
        splits = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
        if "train" not in splits:
            raise DataError(f"{name} has no split 'train', only {listed(sorted(splits)) or 'none'}")
        tables = {part: splits[part].with_format("arrow")[:] for part in PARTS if part in splits}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pyarrow.lib.ArrowException) as error:
        told = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{name}: {directory} is not a data set that datasets can read: {told}") from error
    columns = {part: table_columns(table, f"{name}: {part}") for part, table in tables.items()}
    features = splits["train"].features
    class_names = {
        column: tuple(feature.names) for column, feature in features.items() if isinstance(feature, datasets.ClassLabel)
    }
    parts = select(columns, reading, name, class_names)
    unused = sorted(set(splits) - set(tables))
    return parts.with_notes(f"splits that are not used: {listed(unused)}") if unused else parts
