"""Sets of tensorflow-datasets: prepared ones are read offline, others are fetched on request, within bounded time.

TensorFlow itself is imported only when examples are read or fetched, so asking for a set that is not there stays fast.
"""

import contextlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gossipfl.data.bounded_network import bounded_network
from gossipfl.data.conversion import check_size
from gossipfl.data.parts import PARTS, Parts
from gossipfl.data.quiet_tensorflow import tensorflow_quietly
from gossipfl.data.reading import Columns, Reading
from gossipfl.data.tables import select
from gossipfl.errors import DataError
from gossipfl.names.spelling import did_you_mean, listed


def read_tfds(tfds_name: str, name: str, reading: Reading, download: bool, data_dir: Path | None) -> Parts:
    """The splits `train`, `test` and `validation` of a set, in file order: `train[:10%]` is the first tenth.

    Features and target are those that the set declares, unless `reading` names others; those of features within
    features are named as `outer/inner`. Inputs of several columns are put side by side in the order of their names.

    Raises DataError when the set is unknown, is not prepared and not to be downloaded, cannot be fetched, or is not of
    numbers of one shape.
    """
    builder = _builder(tfds_name, name, data_dir)
    if not _is_prepared(builder):
        if not download:
            raise DataError(
                f"{name} is not prepared in {builder.data_dir}. Run again with --download (download=True) to fetch "
                f"{_download_size(builder)}, or give the data_dir (environment variable TFDS_DATA_DIR) that has it"
            )
        _download(builder, name)
        if not _is_prepared(builder):
            raise DataError(f"{name}: {builder.data_dir} is there, but is not a prepared set: remove it and run again")
    splits = builder.info.splits
    if "train" not in splits:
        raise DataError(f"{name} has no 'train' split, only {listed(sorted(splits)) or 'none'}")
    leaves = _leaves(builder.info.features)
    reading = _completed(reading, builder, name)
    needed = [column for column in dict.fromkeys((*reading.columns, *reading.asked)) if column in leaves]
    _check(leaves, needed, max(split.num_examples for split in splits.values()), name)
    tables = {part: _read(builder, part, needed, name) for part in PARTS if part in splits}
    class_names = {
        column: tuple(leaf.names)
        for column, leaf in leaves.items()
        if getattr(leaf, "names", None) and list(leaf.names) != [str(label) for label in range(leaf.num_classes)]
    }
    parts = select(tables, reading, name, class_names)
    label = leaves[reading.target] if isinstance(reading.target, str) else None
    num_classes = getattr(label, "num_classes", None) if reading.task != "regression" else None
    unused = [column for column in leaves if column not in needed]
    notes = [f"{name}: features that are not used: {listed(unused)}"] if unused else []
    return replace(parts.with_notes(*notes), num_classes=parts.num_classes or num_classes)


def _builder(tfds_name: str, name: str, data_dir: Path | None) -> Any:
    tensorflow_quietly()
    import tensorflow_datasets as tfds
    from google.protobuf.json_format import ParseError  # type: ignore[import-untyped, unused-ignore]

    if not re.fullmatch(r"\w+(/[\w.\-]+)*(:[\d.]+)?", tfds_name):
        raise DataError(f"{name}: expected tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION, without a namespace")
    try:
        return tfds.builder(tfds_name, data_dir=data_dir and data_dir.expanduser())
    except tfds.core.DatasetNotFoundError:
        wanted = re.split(r"[/:]", tfds_name)[0]
        hint = did_you_mean(wanted, tfds.list_builders(with_community_datasets=False), before="tfds:")
        raise DataError(f"{name}: tensorflow-datasets {tfds.__version__} has no set {wanted!r}.{hint}") from None
    except (ValueError, AssertionError, RuntimeError, ImportError, OSError, ParseError) as error:
        # no such configuration or version, a package that the set needs, damaged metadata
        raise DataError(f"{name} cannot be opened by tensorflow-datasets: {_summary(error)}") from error


def _is_prepared(builder: Any) -> bool:
    return (Path(builder.data_dir) / "dataset_info.json").is_file()


def _download_size(builder: Any) -> str:
    sizes = [int(url.size) for url in (builder.url_infos or {}).values()]
    return f"about {max(1, round(sum(sizes) / 2**20))} MiB" if sizes else "it"


def _download(builder: Any, name: str) -> None:
    import requests
    import tensorflow as tf
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(try_download_gcs=False)
    network_errors = (requests.RequestException, tfds.download.DownloadError, tf.errors.OpError, OSError)
    try:
        # tensorflow-datasets prints to standard output, which belongs to the results of a command
        with contextlib.redirect_stdout(sys.stderr), bounded_network():
            builder.download_and_prepare(download_config=config)
    except network_errors as error:
        raise DataError(
            f"{name} could not be downloaded: {_summary(error)}. Check the network, or prepare the set on another "
            f"machine and copy it to {builder.data_dir}"
        ) from error
    except (tfds.download.NonMatchingChecksumError, AssertionError, ValueError, RuntimeError, ImportError) as error:
        # the archive has changed, is to be fetched by hand, or needs a package that is not installed
        raise DataError(f"{name} could not be prepared by tensorflow-datasets: {_summary(error)}") from error


def _completed(reading: Reading, builder: Any, name: str) -> Reading:
    """The reading with the input and the target that the set declares, where it names none."""
    features, declared = builder.info.features, builder.info.supervised_keys
    if reading.features is not None and reading.target is not None:
        return reading
    inputs, target = declared if declared and len(declared) == 2 else (None, None)
    if not isinstance(inputs, str | dict) or not isinstance(target, str):
        raise DataError(
            f"{name} does not declare one input and one target: name them as data.features and data.target; its "
            f"features: {listed(list(_leaves(features)))}"
        )
    if isinstance(inputs, dict):
        columns: Columns = tuple(sorted(map(str, inputs.values())))
    elif isinstance(features[inputs].shape, dict):
        columns = tuple(f"{inputs}/{column}" for column in sorted(features[inputs]))
    else:
        columns = inputs
    return reading.completed(columns, target)


def _leaves(features: Any, prefix: str = "") -> dict[str, Any]:
    """The features that are arrays, by name; those within others as `outer/inner`."""
    leaves: dict[str, Any] = {}
    for key in features:
        leaf = features[key]
        leaves |= _leaves(leaf, f"{prefix}{key}/") if isinstance(leaf.shape, dict) else {f"{prefix}{key}": leaf}
    return leaves


def _check(leaves: Mapping[str, Any], needed: Sequence[str], num_examples: int, name: str) -> None:
    """Raise DataError for features of many shapes, or too large, before they are read."""
    ragged = [column for column in needed if None in leaves[column].shape]
    if ragged:
        raise DataError(
            f"{name}: examples must have one shape, got {', '.join(f'{c} {leaves[c].shape}' for c in ragged)}; "
            "resize them in a function of yours and name it as the source package.module:function"
        )
    for column in needed:
        check_size((num_examples, *leaves[column].shape), f"{name}: feature {column}")


def _read(builder: Any, split: str, needed: Sequence[str], name: str) -> dict[str, NDArray[Any]]:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    try:
        examples = tfds.as_numpy(
            builder.as_dataset(
                split=split,
                batch_size=-1,
                decoders=tfds.decode.PartialDecoding({column.partition("/")[0]: True for column in needed}),
                # one file after the other, so that index i here is index i of tfds's sub-splits
                read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
            )
        )
    except (tf.errors.OpError, OSError, AssertionError, ValueError) as error:
        raise DataError(f"{name}: the files in {builder.data_dir} cannot be read: {_summary(error)}") from error
    return {column: _at(examples, column.split("/")) for column in needed}


def _at(tree: Any, path: Sequence[str]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _summary(error: BaseException) -> str:
    """The first line of an error that says something; tensorflow-datasets adds pages of advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:400] if lines else type(error).__name__
